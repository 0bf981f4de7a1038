from __future__ import annotations

import pytest

from registry_client.asking_pace import AskingPace


def test_nothing_is_paused_before_a_failure() -> None:
    assert AskingPace(5.0, 30.0).due(0.0)


def test_pauses_double_up_to_the_longest() -> None:
    pace, now, pauses = AskingPace(5.0, 30.0), 0.0, []
    for _ in range(5):
        pace.failed(now)
        pause = next(pause for pause in range(100) if pace.due(now + pause))
        pauses.append(pause)
        now += pause
    assert pauses == [5, 10, 20, 30, 30]


def test_an_answer_ends_the_pause_at_once() -> None:
    pace = AskingPace(5.0, 30.0)
    pace.failed(10.0)
    assert not pace.due(10.0)
    pace.answered()
    assert pace.due(10.0)


def test_one_answer_does_not_make_up_for_a_row_of_failures_and_many_do() -> None:
    pace = AskingPace(5.0, 30.0)
    for _ in range(4):
        pace.failed(0.0)
    pace.answered()
    pace.failed(0.0)
    assert not pace.due(25.0)
    for _ in range(100):
        pace.answered()
    pace.failed(0.0)
    assert pace.due(5.0)


@pytest.mark.parametrize("earlier", [99.9, 0.0, -1e9])
def test_a_clock_that_was_set_back_ends_the_pause(earlier: float) -> None:
    pace = AskingPace(5.0, 30.0)
    pace.failed(100.0)
    assert pace.due(earlier)
