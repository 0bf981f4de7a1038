"""Added latency: what goes through, less what goes straight, in the same round."""

from __future__ import annotations

from bench.open_loop import Latencies
from bench.peers import NGINX_KEPT, NGINX_MIRROR
from bench.rows.latency import CONTROL, DIRECT, READER, judged


def ms(p50: float, p99: float, failed: int = 0) -> Latencies:
    return Latencies(due=1000, failed=failed, p50_ms=p50, p99_ms=p99, most_ms=9.0, late_p99_ms=0.1)


FOUND = {
    DIRECT: [ms(0.1, 1.0), ms(0.2, 5.0), ms(0.1, 1.0)],
    NGINX_MIRROR: [ms(0.3, 2.0), ms(0.4, 6.0), ms(0.3, 2.0)],
    NGINX_KEPT: [ms(0.2, 1.5), ms(0.3, 5.5), ms(0.2, 1.5)],
    READER: [ms(0.25, 2.4), ms(0.35, 6.4), ms(0.25, 2.4)],
    CONTROL: [ms(0.35, 3.0, failed=1), ms(0.45, 7.0), ms(0.35, 3.0)],
}


def test_what_the_machine_adds_to_a_round_is_not_the_proxys() -> None:
    findings = {(one.measure, one.against): one for one in judged(FOUND).findings}
    p50 = findings[f"added latency p50, {READER}", NGINX_MIRROR]
    assert p50.reached is not None
    assert round(p50.reached.least, 6) == round(p50.reached.most, 6) == 0.75
    assert p50.met
    assert findings[f"added latency p50, {READER}", NGINX_KEPT].met is False
    assert findings[f"added latency p99, {READER}", NGINX_MIRROR].met
    assert findings[f"added latency p99, {CONTROL}", NGINX_MIRROR].met is False


def test_a_difference_in_the_noise_counts_as_next_to_nothing() -> None:
    quiet = FOUND | {READER: [ms(0.05, 0.5)] * 3, NGINX_MIRROR: [ms(0.05, 0.5)] * 3}
    findings = {(one.measure, one.against): one for one in judged(quiet).findings}
    reached = findings[f"added latency p99, {READER}", NGINX_MIRROR].reached
    assert reached is not None
    assert reached.median == 1.0


def test_the_table_has_everyone_and_what_failed() -> None:
    rows = judged(FOUND).tables[0].rows
    assert [row[0] for row in rows] == list(FOUND)
    assert rows[0][3:5] == ("–", "–")
    assert [row[-1] for row in rows] == ["0", "0", "0", "0", "1"]
