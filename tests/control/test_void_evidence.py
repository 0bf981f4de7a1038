"""What came since an input broke is taken out of the evidence, also what was counted before the alarm."""

from __future__ import annotations

from sidecar.control.watch import DeploymentWatch
from tests.control.live_samples import NOW, exchange, shadow_counts, state
from tests.control.watch_ground import BASELINE, joined, watch


def seconds(watched: DeploymentWatch, begin: int, end: int, broken_since: float | None = None) -> None:
    """One exchange of ten rows a second, and the look at the alarms that follows."""
    for number in range(begin, end):
        watched.fold(exchange(number, rows=10, at=NOW + number))
        watched.leave_out(broken_since, NOW + number)


def pairs(watched: DeploymentWatch) -> int:
    return watched.comparisons["4"].report(NOW + 1e6).pairs


def matched(watched: DeploymentWatch) -> int:
    return watched.paired.paired("3", "4").matched


def test_evidence_goes_back_to_before_the_fault_and_on_from_there_when_it_is_mended() -> None:
    watched = watch()
    seconds(watched, 0, 100)
    for at in (10.0, 50.0, 95.0):
        watched.fold_joined(joined(1, NOW + at))
    assert (pairs(watched), matched(watched)) == (1_000, 3)
    seconds(watched, 100, 110, broken_since=NOW + 60.0)
    # A checkpoint every ten seconds, and about half of the distance is lost with an older one.
    assert 200 <= pairs(watched) <= 610
    assert watched.void
    before = pairs(watched)
    seconds(watched, 110, 130, broken_since=NOW + 60.0)
    assert pairs(watched) == before
    watched.leave_out(None, NOW + 130.0)
    seconds(watched, 131, 151)
    assert pairs(watched) == before + 200
    assert watched.stretches.seconds(NOW, NOW + 1e6) == 70.0


def test_outcomes_of_rows_from_the_stretch_are_no_evidence_whenever_they_come() -> None:
    watched = watch()
    seconds(watched, 0, 30)
    watched.leave_out(NOW + 20.0, NOW + 30.0)
    watched.leave_out(None, NOW + 40.0)
    was = matched(watched)
    for at in (20.0, 29.0, 40.0):
        watched.fold_joined(joined(1, NOW + at))
    assert matched(watched) == was
    watched.fold_joined(joined(1, NOW + 19.0))
    watched.fold_joined(joined(1, NOW + 41.0))
    assert matched(watched) == was + 2
    assert watched.quality.report("3").matched == 5


def test_a_fault_that_is_older_than_the_evidence_leaves_nothing_of_it() -> None:
    watched = watch()
    seconds(watched, 0, 30)
    watched.fold_joined(joined(1, NOW + 5.0))
    watched.leave_out(NOW - 60.0, NOW + 30.0)
    assert (pairs(watched), matched(watched)) == (0, 0)
    assert watched.comparisons["4"].since == NOW + 30.0


def test_a_fault_that_turns_out_to_be_older_takes_more_out() -> None:
    watched = watch()
    seconds(watched, 0, 100)
    watched.leave_out(NOW + 90.0, NOW + 100.0)
    first = pairs(watched)
    watched.leave_out(NOW + 40.0, NOW + 101.0)
    assert 0 < pairs(watched) <= 410 < first


def test_evidence_that_began_anew_meanwhile_is_not_given_an_older_ones_counts() -> None:
    watched = watch()
    seconds(watched, 0, 50)
    watched.evidence.forget({"4"}, NOW + 50.0)
    seconds(watched, 50, 55)
    watched.leave_out(NOW + 52.0, NOW + 55.0)
    assert pairs(watched) <= 20
    assert watched.comparisons["4"].since >= NOW + 50.0
    watched.begin(watched.deployment, state(generation=2), BASELINE, NOW + 60.0)
    assert pairs(watched) == 0


def test_a_restart_under_a_broken_input_keeps_what_was_evidence_before() -> None:
    watched = watch()
    seconds(watched, 0, 100)
    watched.leave_out(NOW + 90.0, NOW + 100.0)
    kept, saved = pairs(watched), watched.snapshots(NOW + 101.0)
    again = watch()
    assert again.restore({each.observer: each for each in saved}) == ()
    again.leave_out(NOW + 90.0, NOW + 102.0)
    assert pairs(again) == kept > 0
    assert again.void
    assert again.stretches.holds(NOW + 95.0)
    assert not again.stretches.holds(NOW + 89.0)


def test_copies_that_are_on_their_way_when_a_stretch_begins_or_ends_are_not_lost() -> None:
    watched = watch()
    for second in range(120):
        for number in range(20):
            watched.fold(exchange(20 * second + number, at=NOW + second))
        watched.leave_out(NOW + 40.0 if 50 <= second < 70 else None, NOW + second)
        # Told a second late, as by a worker.
        watched.fold_counts("w0", shadow_counts(20 * second), NOW + second)
    watched.fold_counts("w0", shadow_counts(20 * 120), NOW + 120)
    copies = watched.comparisons["4"].report(NOW + 120).copies
    assert copies.lost == 0
    assert 0 < copies.mirrored < 20 * 120
