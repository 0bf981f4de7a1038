from __future__ import annotations

import random

import msgspec
import pytest

from sidecar.observe.comparison import ComparisonObserver
from sidecar.reports import Copies
from tests.observe.comparison_ground import exchange, leg, merged, observer, random_observer, said


def test_merging_is_associative_and_free_of_order() -> None:
    rng = random.Random(7)
    for _ in range(10):
        a, b, c = (random_observer(rng) for _ in range(3))
        # Differences are multiples of 1/32: their sums are exact, so that equality may be asked.
        reports = [
            merged(merged(a, b), c).report(9e9),
            merged(a, merged(b, c)).report(9e9),
            merged(c, a, b).report(9e9),
        ]
        assert reports[0] == reports[1] == reports[2]
        assert reports[0].pairs == sum(one.report(9e9).pairs for one in (a, b, c))


def test_a_snapshot_restores_everything_and_counting_goes_on() -> None:
    rng = random.Random(8)
    original, restored = random_observer(rng), observer()
    restored.restore(original.snapshot())
    assert restored.report(9e9) == original.report(9e9)
    for one in (original, restored):
        one.fold(exchange("more", 9000.0), leg(), said(("1",), (0.1,)), said(("0",), (0.9,)))
    assert restored.report(9e9) == original.report(9e9)
    assert restored.snapshot() == original.snapshot()


def test_evidence_of_another_pair_or_damaged_bytes_are_refused_and_change_nothing() -> None:
    comparison = random_observer(random.Random(9))
    before = comparison.report(9e9)
    stranger = ComparisonObserver("3", "5", score_tolerance=0.01, now=0.0)
    other_tolerance = ComparisonObserver("3", "4", score_tolerance=0.02, now=0.0)
    good = comparison.snapshot()
    for blob in (stranger.snapshot(), other_tolerance.snapshot(), b"", good[:-1], b"\x80", b"\xff" * 9):
        with pytest.raises(ValueError, match=r"."):
            comparison.restore(blob)
    with pytest.raises(ValueError, match="does not belong"):
        comparison.merge(stranger)
    assert comparison.report(9e9) == before


def test_new_evidence_of_every_kind_survives_merge_and_restart() -> None:
    def filled(start: int) -> ComparisonObserver:
        comparison = observer()
        for number in range(start, start + 50):
            first, other = said(("1",), (number / 100,)), said((str(number % 2),), (number / 90,))
            comparison.fold(exchange(f"r{number}"), leg(), first, other, [("c=web",)])
            comparison.fold_again(first, first, other)
            comparison.fold_dropped(exchange(), first)
        comparison.fold(exchange(), leg(answer=None, error="reset"), said(("1",)), None)
        comparison.fold_copies(Copies(mirrored=60, answered=55), 1000.0)
        return comparison

    merged = filled(0)
    merged.merge(filled(50))
    restored = observer()
    restored.restore(merged.snapshot())
    assert restored.report(2000.0) == merged.report(2000.0)
    report = restored.report(2000.0)
    assert (report.copies.lost, report.noise is not None, report.challenger_only_failures) == (8, True, 2)
    assert [(one.segment, one.pairs) for one in report.segments] == [("c=web", 100)]


def test_a_snapshot_of_an_earlier_version_is_taken_up() -> None:
    comparison = observer()
    comparison.fold(exchange(), leg(), said(("1", "0"), (0.5, 0.5)), said(("1", "1"), (0.5, 0.7)))
    stored = msgspec.msgpack.decode(comparison.snapshot())
    gaps, agreement = stored["agreement"]["gaps"], stored["agreement"]
    for name in ("confusion", "gaps", "sides", "segments"):
        del agreement[name]
    agreement |= {"flips": {"0→1": 1}, "differences": gaps["signed"]}
    agreement |= {f"difference_{name}": gaps[name] for name in ("sum", "abs_sum", "max")}
    for name in ("relative_tolerance", "threshold", "arrivals", "noise"):
        del stored[name]
    again = observer()
    again.restore(msgspec.msgpack.encode(stored))
    then, now = comparison.report(2000.0), again.report(2000.0)
    assert (now.agreement, now.flips, now.score_difference) == (then.agreement, then.flips, then.score_difference)
    assert now.cohen_kappa is None
