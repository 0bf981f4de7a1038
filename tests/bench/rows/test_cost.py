"""CPU per request: runs of whole rounds become figures and ratios."""

from __future__ import annotations

import pytest

from bench.peers import ENVOY_MIRROR, ENVOY_PLAIN, NGINX_KEPT, NGINX_MIRROR, NGINX_PLAIN
from bench.result import Table
from bench.rows import cost
from bench.rows.cost import CONTROL, FORWARD, LIMITS, READER, Run, judged
from bench.spread import Spread

MEMORY = Table(("resident memory",), [])


def run(contender: str, cpu_us: float, **other: object) -> Run:
    fields: dict[str, object] = {
        "requests": 1000,
        "requests_per_s": 500.0,
        "errors": 0,
        "copies": 1.0,
        "new_connections": 0.0,
        "dropped": {},
        "offered": 1500,
        "elsewhere": 0.1,
    }
    return Run(contender, cpu_us, **{**fields, **other})  # type: ignore[arg-type]


def rounds(cpu: dict[str, list[float]], **other: object) -> list[Run]:
    """Whole rounds: every contender of the targets, those not named at 100 µs."""
    named = set(LIMITS) | {peer for limits in LIMITS.values() for peer in limits}
    return [run(name, cpu.get(name, [100.0] * 3)[number], **other) for number in range(3) for name in sorted(named)]


def test_every_target_is_judged_by_ratios_within_rounds() -> None:
    found = judged(rounds({READER: [50, 120, 80], NGINX_MIRROR: [100, 200, 100]}), MEMORY)
    by_name = {(one.measure, one.against): one for one in found.findings}
    reader = by_name[f"CPU per request, {READER}", NGINX_MIRROR]
    assert reader.reached == Spread(0.6, 0.5, 0.8)
    assert reader.met
    assert by_name[f"CPU per request, {CONTROL}", ENVOY_MIRROR].met is False  # 100 µs against 100 µs
    assert len(found.findings) == sum(len(limits) for limits in LIMITS.values())


def test_the_issues_targets_are_the_ones_judged() -> None:
    for name in (READER, CONTROL):
        assert LIMITS[name] == {NGINX_MIRROR: 0.75, NGINX_KEPT: 1.1, ENVOY_MIRROR: 0.6}
    assert LIMITS[cost.READER_ALONE] == {NGINX_PLAIN: 2.0, ENVOY_PLAIN: 0.75}


def test_everything_lost_is_counted_and_told() -> None:
    found = judged(rounds({}, dropped={"capture/bytes_full": 150, "copy/inflight_limit": 7}, errors=1), MEMORY)
    rows = {row[0]: row for row in found.tables[0].rows}
    assert rows[READER] == (READER, "100.0", "500", "100.0%", "0.00", "10.0%", "21")
    assert rows[NGINX_MIRROR][-2:] == ("–", "–")
    assert f"{len(rows) * 3} failed" in found.note


def test_who_copies_nothing_has_no_share_of_copies() -> None:
    found = judged(rounds({}, copies=0.0), MEMORY)
    rows = {row[0]: row for row in found.tables[0].rows}
    assert rows[FORWARD][3:] == ("–", "–", "–", "–")


def test_the_bars_of_ours_are_marked() -> None:
    bars = judged(rounds({}), MEMORY).panels[0].bars
    assert {bar.ours for bar in bars if bar.name.startswith("sidecar")} == {True}
    assert {bar.ours for bar in bars if not bar.name.startswith("sidecar")} == {False}


def test_rounds_that_are_not_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        judged(rounds({})[:-1], MEMORY)
