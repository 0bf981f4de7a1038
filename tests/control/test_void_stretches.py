from __future__ import annotations

from sidecar.control.void_stretches import VoidStretches


def test_a_stretch_is_void_from_the_faults_beginning_to_its_end() -> None:
    stretches = VoidStretches()
    assert stretches.begin(100.0) == 100.0
    assert stretches.begin(100.0) is None
    assert (stretches.open, stretches.holds(99.9), stretches.holds(100.0), stretches.holds(1e9)) == (
        True, False, True, True,
    )  # fmt: skip
    stretches.end(160.0)
    assert (stretches.open, stretches.holds(160.0), stretches.holds(160.1)) == (False, True, False)
    assert [stretches.seconds(since, 500.0) for since in (0.0, 130.0, 200.0)] == [60.0, 30.0, 0.0]
    stretches.end(900.0)
    assert stretches.spans == [(100.0, 160.0)]


def test_a_fault_that_turns_out_to_be_older_makes_more_void() -> None:
    stretches = VoidStretches()
    stretches.begin(100.0)
    assert stretches.begin(40.0) == 40.0
    assert stretches.begin(70.0) is None
    assert stretches.spans == [(40.0, None)]
    assert stretches.seconds(0.0, 140.0) == 100.0


def test_an_alarm_that_comes_back_with_its_first_beginning_takes_what_was_between_and_no_more() -> None:
    stretches = VoidStretches([(100.0, 160.0)])
    assert stretches.begin(100.0) == 160.0
    assert stretches.begin(50.0) is None
    assert stretches.spans == [(100.0, 160.0), (160.0, None)]


def test_an_end_before_the_beginning_is_an_empty_stretch() -> None:
    stretches = VoidStretches()
    stretches.begin(100.0)
    stretches.end(90.0)
    assert stretches.spans == [(100.0, 100.0)]


def test_the_oldest_become_one_when_there_are_many() -> None:
    stretches = VoidStretches()
    for number in range(100):
        stretches.begin(10.0 * number)
        stretches.end(10.0 * number + 1.0)
    assert len(stretches.spans) == 64
    assert stretches.holds(5.0)
    assert not stretches.holds(985.0)
    assert stretches.spans == sorted(stretches.spans)
