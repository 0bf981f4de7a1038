from __future__ import annotations

import pytest

from sidecar.control.checkpoints import PACE_S, Checkpoints

NOW = 1_700_000_000.0


def kept(seconds: int) -> Checkpoints:
    """One at each tick of a second at which one was due."""
    checkpoints = Checkpoints()
    for second in range(seconds):
        if checkpoints.due(NOW + second):
            checkpoints.add(NOW + second, {"a": str(second).encode()})
    return checkpoints


@pytest.mark.parametrize("age_s", [0, 9, 10, 35, 100, 1_000, 10_000, 86_399])
def test_what_is_lost_with_a_stretch_is_about_as_long_as_the_time_since_it_began(age_s: int) -> None:
    seconds = 86_400
    at = NOW + seconds - 1 - age_s
    found = kept(seconds).before(at)
    assert found is not None
    assert 0.0 <= at - found.at <= age_s + PACE_S
    assert found.states == {"a": str(int(found.at - NOW)).encode()}


def test_there_are_few() -> None:
    assert len(kept(86_400)) <= 32


def test_before_the_first_there_is_none() -> None:
    assert kept(100).before(NOW - 1.0) is None
    assert Checkpoints().before(NOW) is None


def test_what_is_later_is_forgotten_since_it_holds_what_is_void() -> None:
    checkpoints = kept(100)
    assert checkpoints.before(NOW + 55) == checkpoints.before(NOW + 1_000)
    assert checkpoints.due(NOW + 101)


def test_a_clock_that_was_set_back_begins_anew() -> None:
    checkpoints = kept(100)
    assert checkpoints.due(NOW - 3_600)
    checkpoints.add(NOW - 3_600, {})
    assert len(checkpoints) == 1
