from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decide.ceiling import Ceiling


def sent(ceiling: Ceiling, since: float, until: float, per_s: int) -> int:
    """How many of evenly spaced copies it lets through."""
    return sum(ceiling.allows(since + step / per_s) for step in range(round((until - since) * per_s)))


def test_no_ceiling_lets_everything_through() -> None:
    ceiling = Ceiling(0.0, 10.0)
    assert all(ceiling.allows(0.0) for _ in range(10_000))


def test_it_rises_in_a_straight_line_and_then_holds() -> None:
    ceiling = Ceiling(100.0, 10.0)
    ceiling.start(50.0)
    rates = [ceiling.rate_per_s(now) for now in (0.0, 50.0, 55.0, 60.0, 1e9)]
    assert rates == pytest.approx([10.0, 10.0, 55.0, 100.0, 100.0])
    assert sent(ceiling, 50.0, 60.0, per_s=1000) == pytest.approx(550, abs=5)
    assert sent(ceiling, 60.0, 70.0, per_s=1000) == pytest.approx(1000, abs=11)


def test_without_a_ramp_all_of_it_is_there_at_once() -> None:
    assert sent(Ceiling(100.0, 0.0), 0.0, 10.0, per_s=1000) == pytest.approx(1000, abs=11)


def test_it_starts_by_itself_and_starts_anew_after_a_recovery() -> None:
    ceiling = Ceiling(100.0, 10.0)
    first = sent(ceiling, 1000.0, 1005.0, per_s=1000)
    assert first == pytest.approx(5 * 32.5, abs=5)
    assert sent(ceiling, 1005.0, 1030.0, per_s=1000) > 5 * first
    ceiling.start(2000.0)
    assert sent(ceiling, 2000.0, 2005.0, per_s=1000) == pytest.approx(first, abs=2)


def test_what_is_not_used_is_not_saved_up() -> None:
    ceiling = Ceiling(200.0, 0.0)
    ceiling.start(0.0)
    assert sum(ceiling.allows(86_400.0) for _ in range(1000)) == 20


@pytest.mark.parametrize("max_per_s", [0.001, 0.5, 1.0, 9.9])
def test_a_ceiling_below_its_burst_still_lets_single_copies_through(max_per_s: float) -> None:
    ceiling = Ceiling(max_per_s, 0.0)
    assert ceiling.allows(0.0)
    assert not ceiling.allows(0.5 / max_per_s)
    assert ceiling.allows(1.001 / max_per_s)
    assert not ceiling.allows(1.001 / max_per_s)


def test_a_clock_that_stands_still_gives_the_burst_only() -> None:
    ceiling = Ceiling(1000.0, 0.0)
    assert sum(ceiling.allows(7.0) for _ in range(10_000)) == 100


def test_a_clock_that_goes_back_gives_nothing() -> None:
    ceiling = Ceiling(1000.0, 10.0)
    assert sum(ceiling.allows(100.0) for _ in range(1000)) == 10
    assert not any(ceiling.allows(100.0 - back) for back in (0.001, 1.0, 50.0, 1e9))


@given(
    st.floats(0.01, 1e5),
    st.floats(0.0, 60.0),
    st.lists(st.one_of(st.just(0.0), st.floats(0.0, 0.01), st.floats(0.0, 2.0), st.floats(0.0, 1e6)), max_size=200),
)
def test_over_no_span_of_time_more_than_the_burst_and_the_rate(
    max_per_s: float, ramp_s: float, gaps: list[float]
) -> None:
    ceiling = Ceiling(max_per_s, ramp_s)
    now, times = 0.0, []
    for gap in gaps:
        now += gap
        times += [now] * sum(ceiling.allows(now) for _ in range(5))
    burst = max(1.0, max_per_s * 0.1)
    for first, since in enumerate(times):
        for last in range(first, len(times)):
            most = burst + max_per_s * (times[last] - since)
            assert last - first + 1 <= most * (1 + 1e-9) + 1e-6


@given(st.floats(1.0, 1e4), st.floats(0.1, 60.0), st.lists(st.floats(0.0, 5.0), min_size=1, max_size=100))
def test_on_the_ramp_it_never_gives_more_than_the_ramp(max_per_s: float, ramp_s: float, gaps: list[float]) -> None:
    ceiling = Ceiling(max_per_s, ramp_s)
    ceiling.start(0.0)
    now, count = 0.0, 0
    for gap in gaps:
        now += gap
        count += sum(ceiling.allows(now) for _ in range(5))
        climbed_s = min(now, ramp_s)
        due = max_per_s * (0.1 * climbed_s + 0.45 * climbed_s * climbed_s / ramp_s + max(0.0, now - ramp_s))
        assert count <= (max(1.0, max_per_s * 0.01) + due) * (1 + 1e-9) + 1e-6
