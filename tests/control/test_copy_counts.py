from __future__ import annotations

from sidecar.control.copy_counts import CopyCounts
from tests.control.live_samples import shadow_counts


def test_only_what_is_new_counts_and_a_frame_seen_twice_adds_nothing() -> None:
    counts = CopyCounts()
    assert counts.delta("w0", shadow_counts(10, errors={"timeout": 2})).mirrored == 10
    again = counts.delta("w0", shadow_counts(10, errors={"timeout": 2}))
    assert (again.mirrored, again.errors["timeout"]) == (0, 0)
    more = counts.delta("w0", shadow_counts(15, errors={"timeout": 3}, dropped={"rate_limit": 4}))
    assert (more.mirrored, more.errors["timeout"], more.dropped["rate_limit"]) == (5, 1, 4)


def test_totals_that_went_back_are_another_process() -> None:
    counts = CopyCounts()
    counts.delta("w0", shadow_counts(100))
    assert counts.delta("w0", shadow_counts(3)).mirrored == 3


def test_versions_and_workers_are_apart_and_bounded() -> None:
    counts = CopyCounts()
    for number in range(1000):
        assert counts.delta(f"w{number}", shadow_counts(1)).mirrored == 1
    assert counts.delta("w999", shadow_counts(1, version="5")).mirrored == 1
    assert len(counts.seen) == 256


def test_it_goes_on_from_what_was_seen() -> None:
    before = CopyCounts()
    before.delta("w0", shadow_counts(100))
    assert CopyCounts(before.seen).delta("w0", shadow_counts(130)).mirrored == 30
