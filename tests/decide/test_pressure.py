from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decide.pressure import CAPTURE_AT, HYSTERESIS, KEEP_ALIVE_AT, REQUESTS_AT, SHADOW_AT, Sacrifices, pressure

ORDER = ("shadow", "capture", "keep_alive", "requests")
MIB = 1_048_576


def given_up(sacrifices: Sacrifices) -> tuple[str, ...]:
    return tuple(name for name in ORDER if getattr(sacrifices, name))


@pytest.mark.parametrize(
    ("resident", "memory", "queued", "queue", "lag_s", "expected"),
    [
        (0, 0, 0, 0, 0.0, 0.0),
        (100, 200, 0, 0, 0.0, 0.5),
        (100, 0, 0, 0, 0.0, 0.0),  # nobody set a bound
        (300, 200, 0, 0, 0.0, 1.0),
        (0, 0, 50, 100, 0.0, 0.42),
        (0, 0, 100, 100, 0.0, 0.84),
        (0, 0, 900, 100, 0.0, 0.84),
        (0, 0, 0, 0, 0.05, 0.4),
        (0, 0, 0, 0, 0.1, 0.80),
        (0, 0, 0, 0, 0.2, 0.85),
        (0, 0, 0, 0, 0.4, 0.90),
        (0, 0, 0, 0, 0.8, 0.95),
        (0, 0, 0, 0, 1e9, 1.0),
        (90, 100, 100, 100, 0.1, 0.9),  # the scarcest counts
    ],
)
def test_the_scarcest_resource_presses(
    resident: int, memory: int, queued: int, queue: int, lag_s: float, expected: float
) -> None:
    assert pressure(resident, memory, queued, queue, lag_s) == pytest.approx(expected)


sizes = st.integers(0, 1 << 40)


@given(sizes, sizes, sizes, sizes, st.floats(0.0, 1e9))
def test_it_is_a_share_whatever_is_measured(resident: int, memory: int, queued: int, queue: int, lag_s: float) -> None:
    assert 0.0 <= pressure(resident, memory, queued, queue, lag_s) <= 1.0


@given(sizes, sizes)
def test_a_full_queue_of_copies_costs_copies_and_nothing_else(queued: int, queue: int) -> None:
    """No challenger can make its copies pile up so high that a caller notices."""
    sacrifices = Sacrifices()
    sacrifices.weigh(pressure(100 * MIB, 512 * MIB, queued, queue, 0.001))
    assert given_up(sacrifices) in {(), ("shadow",)}


@given(st.lists(st.floats(0.0, 1.0)))
def test_they_go_in_order_and_come_back_in_the_opposite_one(pressures: list[float]) -> None:
    sacrifices = Sacrifices()
    for now in pressures:
        before = given_up(sacrifices)
        assert sacrifices.weigh(now) == (given_up(sacrifices) != before)
        assert given_up(sacrifices) == ORDER[: sacrifices.level]


def test_each_threshold_takes_one_more() -> None:
    taken = []
    for now in (0.0, 0.79, SHADOW_AT, CAPTURE_AT, KEEP_ALIVE_AT, REQUESTS_AT, 1.0):
        sacrifices = Sacrifices()
        sacrifices.weigh(now)
        taken.append(sacrifices.level)
    assert taken == [0, 0, 1, 2, 3, 4, 4]


def test_a_pressure_that_trembles_about_a_threshold_switches_once() -> None:
    sacrifices = Sacrifices()
    changes = [sacrifices.weigh(KEEP_ALIVE_AT + tremble) for tremble in (0.0, -0.04, 0.01, -0.049, 0.0, -0.01)]
    assert changes == [True, False, False, False, False, False]
    assert sacrifices.weigh(KEEP_ALIVE_AT - HYSTERESIS - 0.001)
    assert given_up(sacrifices) == ("shadow", "capture")


def test_everything_comes_back_when_the_pressure_is_gone() -> None:
    sacrifices = Sacrifices()
    sacrifices.weigh(1.0)
    assert sacrifices.weigh(0.2)
    assert given_up(sacrifices) == ()
