from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decide.breaker import SLOW_START, Breaker
from sidecar.decide.routing_table import BreakerPolicy

POLICY = BreakerPolicy(failures=3, open_s=5.0, max_open_s=40.0)


def opened(at: float, policy: BreakerPolicy = POLICY) -> Breaker:
    breaker = Breaker(policy)
    for _ in range(policy.failures):
        breaker.allows(at)
        breaker.failed(breaker.epoch, at)
    return breaker


def test_it_begins_closed_and_lets_everything_through() -> None:
    breaker = Breaker(POLICY)
    assert breaker.state == "closed"
    assert all(breaker.allows(0.0) for _ in range(1000))


def test_failures_in_a_row_open_it_and_others_do_not() -> None:
    breaker = Breaker(POLICY)
    for _ in range(100):
        assert not breaker.failed(breaker.epoch, 1.0)
        assert not breaker.failed(breaker.epoch, 1.0)
        assert not breaker.succeeded(breaker.epoch)
    assert breaker.state == "closed"
    assert [breaker.failed(breaker.epoch, 1.0) for _ in range(3)] == [False, False, True]
    assert breaker.state == "open"
    assert not breaker.allows(1.0)


def test_a_policy_of_no_failures_still_needs_one() -> None:
    breaker = Breaker(BreakerPolicy(failures=0))
    assert breaker.allows(0.0)
    assert breaker.failed(breaker.epoch, 0.0)
    assert not breaker.allows(0.0)


def test_when_its_time_is_over_there_is_one_probe_and_its_success_closes() -> None:
    breaker = opened(at=100.0)
    assert not breaker.allows(104.999)
    assert breaker.allows(105.0)
    assert breaker.state == "probing"
    assert not any(breaker.allows(105.0 + later) for later in (0.0, 1.0, 1e9))
    assert breaker.succeeded(breaker.epoch)
    assert breaker.state == "closed"
    assert breaker.allows(105.0)


def test_a_probe_that_was_never_sent_frees_its_place() -> None:
    breaker = opened(at=0.0)
    assert breaker.allows(5.0)
    breaker.gave_up(breaker.epoch)
    assert breaker.state == "open"
    assert breaker.allows(5.0)
    assert not breaker.allows(5.0)


def test_giving_up_a_copy_while_closed_says_nothing() -> None:
    breaker = Breaker(POLICY)
    for _ in range(10):
        breaker.gave_up(breaker.epoch)
    assert breaker.state == "closed"


def test_copies_from_before_it_changed_move_it_no_more() -> None:
    breaker = Breaker(POLICY)
    old = breaker.epoch
    for _ in range(3):
        breaker.failed(old, 0.0)
    assert not breaker.failed(old, 1.0)  # else it would count as reopened
    assert not breaker.succeeded(old)
    assert breaker.state == "open"
    assert breaker.allows(5.0)
    assert not breaker.succeeded(old)
    assert not breaker.failed(old, 5.0)
    breaker.gave_up(old)
    assert breaker.state == "probing"
    assert not breaker.allows(6.0)
    probe = breaker.epoch
    assert breaker.succeeded(probe)
    for _ in range(10):
        assert not breaker.failed(old, 7.0)
        assert not breaker.failed(probe, 7.0)  # told twice
    assert breaker.state == "closed"


def test_each_reopening_doubles_the_time_up_to_the_most() -> None:
    breaker = opened(at=0.0)
    now, times = 0.0, []
    for _ in range(6):
        times.append(breaker.open_s)
        now += breaker.open_s
        assert breaker.allows(now)
        assert breaker.failed(breaker.epoch, now)
    assert times == [5.0, 10.0, 20.0, 40.0, 40.0, 40.0]


@pytest.mark.parametrize(("held_s", "next_open_s"), [(0.0, 10.0), (4.9, 10.0), (5.0, 5.0), (1e9, 5.0)])
def test_only_a_challenger_that_held_begins_anew(held_s: float, next_open_s: float) -> None:
    breaker = opened(at=0.0)
    assert breaker.allows(5.0)
    breaker.succeeded(breaker.epoch)
    breaker.allows(5.0 + held_s)
    breaker.succeeded(breaker.epoch)
    for _ in range(3):
        breaker.allows(6.0 + held_s)
        breaker.failed(breaker.epoch, 6.0 + held_s)
    assert breaker.open_s == next_open_s


def test_copies_that_hang_for_long_are_no_proof_of_having_held() -> None:
    breaker = opened(at=0.0)
    assert breaker.allows(5.0)
    breaker.succeeded(breaker.epoch)
    for _ in range(3):
        breaker.allows(5.1)
    for _ in range(3):
        breaker.failed(breaker.epoch, 65.1)  # after their timeout
    assert breaker.open_s == 10.0


def test_the_window_begins_small_and_grows_with_each_success() -> None:
    breaker = Breaker(POLICY)
    sizes = []
    for _ in range(4):
        sizes.append(breaker.window(100))
        for _ in range(sizes[-1]):  # a round trip: all that may be in flight is answered
            breaker.succeeded(breaker.epoch)
    assert sizes == [SLOW_START, 2 * SLOW_START, 4 * SLOW_START, 8 * SLOW_START]
    assert breaker.window(100) == 100
    assert breaker.window(2) == 2


def test_after_a_recovery_the_window_is_small_again() -> None:
    breaker = Breaker(POLICY)
    for _ in range(1000):
        breaker.succeeded(breaker.epoch)
    for _ in range(3):
        breaker.failed(breaker.epoch, 0.0)
    assert breaker.allows(5.0)
    breaker.succeeded(breaker.epoch)
    assert breaker.window(1000) == SLOW_START


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "succeed", "fail", "give_up"]),
        st.integers(0, 1 << 30),  # which of the copies under way
        st.one_of(st.just(0.0), st.floats(0.0, 30.0), st.floats(0.0, 1e12)),
    ),
    max_size=300,
)


@given(STEPS, st.integers(1, 5), st.floats(0.001, 10.0), st.floats(0.001, 100.0))
def test_whatever_happens_there_is_one_probe_and_a_bounded_time(
    steps: list[tuple[str, int, float]], failures: int, open_s: float, max_open_s: float
) -> None:
    """Copies end in any order, at any time, with the clock standing or leaping."""
    breaker = Breaker(BreakerPolicy(failures, open_s, max_open_s))
    under_way: list[int] = []
    now, last_open_s = 0.0, 0.0
    opened_at: float | None = None
    for step, which, elapsed_s in steps:
        now += elapsed_s
        if step == "send":
            before = breaker.state
            due = before == "closed" or (opened_at is not None and now - opened_at >= breaker.open_s)
            allowed = breaker.allows(now)
            assert allowed == (due and before != "probing")
            if allowed:
                under_way.append(breaker.epoch)
        elif under_way:
            epoch = under_way.pop(which % len(under_way))
            if step == "succeed":
                if breaker.succeeded(epoch):
                    opened_at = None
            elif step == "fail":
                if breaker.failed(epoch, now):
                    opened_at = now
                    assert open_s <= breaker.open_s <= max(open_s, max_open_s)
                    assert breaker.open_s in {open_s, min(2.0 * last_open_s, max(open_s, max_open_s))}
                    last_open_s = breaker.open_s
            else:
                breaker.gave_up(epoch)
        probes = under_way.count(breaker.epoch) if breaker.state != "closed" else 0
        assert probes == (1 if breaker.state == "probing" else 0)
        assert 1 <= breaker.window(1000) <= 1000


@given(st.floats(0.0, 1e12))
def test_a_breaker_never_stays_open_for_good(at: float) -> None:
    breaker = opened(at)
    assert not breaker.allows(at)
    assert breaker.allows(at + 2 * POLICY.max_open_s)
