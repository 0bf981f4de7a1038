"""Throughput and memory with a sick challenger, judged."""

from __future__ import annotations

from bench.rows.sick_challenger import DOWN, DRIP, HEALTHY, NONE, RESET, SICK, SIDECAR, STUCK, Sick, judged


def run(challenger: str, rate: float, opened: float | None = None, **other: object) -> Sick:
    fields: dict[str, object] = {
        "cpu_us": 50.0,
        "errors": 0,
        "most_mib": 1.0,
        "elsewhere": 0.0,
        "opened_cpu_us": None if opened is None else 40.0,
        "contender": SIDECAR,
    }
    return Sick(challenger=challenger, requests_per_s=rate, opened_per_s=opened, **{**fields, **other})  # type: ignore[arg-type]


def rounds(**sick: Sick) -> list[Sick]:
    one = [run(NONE, 2000), run(HEALTHY, 1000), *(sick.get(name, run(name, 990, 1900, after_mib=2.0)) for name in SICK)]
    return one * 2


def test_a_sick_challenger_is_measured_against_a_healthy_one_and_against_none() -> None:
    runs = rounds(stuck=run(STUCK, 960, 1900), drip=run(DRIP, 980, 1700), reset=run(RESET, 970, 1800))
    findings = {(one.measure, one.against): one.met for one in judged(runs).findings}
    assert findings["throughput, challenger stuck", "healthy challenger"] is False
    assert findings["throughput, challenger stuck, breaker open", "no shadow"] is True
    assert findings["throughput, challenger drip", "healthy challenger"] is True
    assert findings["throughput, challenger drip, breaker open", "no shadow"] is False
    assert findings["throughput, challenger reset", "healthy challenger"] is True
    assert findings["throughput, challenger reset, breaker open", "no shadow"] is True


def test_memory_may_grow_a_little_and_must_come_back() -> None:
    runs = rounds(stuck=run(STUCK, 990, 1900, most_mib=33.0, after_mib=9.0), down=run(DOWN, 990, 1900))
    findings = {one.measure: one.met for one in judged(runs).findings}
    assert findings["memory growth, challenger stuck"] is False
    assert findings["memory growth 10 s after, challenger stuck"] is False
    assert findings["memory growth, challenger reset"] is True
    assert findings["memory growth 10 s after, challenger reset"] is True
    assert findings["memory growth 10 s after, challenger down"] is None  # was not waited for


def test_peers_stand_in_the_table_and_are_not_judged() -> None:
    peer = run(STUCK, 7, contender="nginx mirror, as documented")
    alone, with_peer = judged(rounds()), judged([*rounds(), peer])
    assert len(alone.findings) == len(with_peer.findings)
    rows = with_peer.tables[0].rows
    assert [row[:2] for row in rows][:3] == [(SIDECAR, NONE), (SIDECAR, HEALTHY), (SIDECAR, STUCK)]
    assert rows[-1] == ("nginx mirror, as documented", STUCK, "7", "50", "–", "–", "1.0", "–", "0")
    assert [bar.ours for bar in with_peer.panels[0].bars] == [True] * 6 + [False]
