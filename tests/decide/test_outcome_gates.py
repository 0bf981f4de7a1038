from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.config_gates import Gates
from sidecar.decide.gates import GATES
from sidecar.observe.quality import QualityObserver, RowPrediction
from sidecar.reports import Interval, PairedQuality, SegmentAgreement, SegmentQuality
from tests.decide.decide_samples import NOW, evidence, maturity, quality


@pytest.mark.parametrize(
    ("policy", "known", "verdict", "says"),
    [
        # Only rows whose outcomes have had their time judge.
        ({}, quality(200, 100, 9_700, after_s=None), "insufficient", "too few to know how long outcomes take"),
        ({}, quality(200, 100, 9_700, maturity=None), "insufficient", "too few to know"),
        ({}, quality(200, 100, 9_700, maturity=maturity(0, 0, 0)), "insufficient", "none is older than the 60 s"),
        ({}, quality(900, 0, 9_100, maturity=maturity(0, 900, 9_100)), "fail", ""),
        ({}, quality(0, 900, 9_100, maturity=maturity(200, 100, 9_700)), "pass", ""),
        ({}, quality(200, 100, 9_700, matched=499), "insufficient", "499 of 500 mature rows"),
        # Where the champion's decision prevents outcomes nothing is known, neither good nor bad.
        ({}, quality(200, 100, 9_700, refused="outcomes come for one side"), "insufficient", "come for one side"),
        ({}, quality(100, 400, 9_500, refused="outcomes come for one side"), "insufficient", "come for one side"),
        # Where they come for some scores rather than others, what is missing counts against whoever it would help.
        ({}, quality(200, 100, 9_700, arrival_e=19.9, bounds=(-0.9, 0.9)), "pass", ""),
        ({}, quality(200, 100, 9_700, arrival_e=20.0, bounds=(-0.9, 0.9)), "insufficient", "label-queue"),
        ({}, quality(200, 100, 9_700, arrival_e=20.0, bounds=(-0.0049, 0.9)), "pass", ""),
        ({}, quality(200, 100, 9_700, arrival_e=20.0, bounds=None), "insufficient", "rather than for others"),
        ({}, quality(100, 400, 9_500, arrival_e=20.0, bounds=(-0.9, 0.9)), "insufficient", ""),
        ({}, quality(100, 400, 9_500, arrival_e=20.0, bounds=(-0.9, -0.006)), "fail", ""),
        ({"test": "superior"}, quality(200, 100, 9_700, arrival_e=99.0, bounds=(-0.001, 0.9)), "insufficient", ""),
        ({"test": "superior"}, quality(200, 100, 9_700, arrival_e=99.0, bounds=(0.001, 0.9)), "pass", ""),
        ({}, None, "insufficient", "post outcomes"),
        ({}, quality(0, 0, 0), "insufficient", "post outcomes"),
        ({}, quality(200, 100, 9_700), "pass", "only the challenger was right on 200, only the champion on 100"),
        ({}, quality(5, 5, 489), "insufficient", "499 of 500 mature rows"),
        ({"min_matched": 499}, quality(60, 5, 434), "pass", ""),
        ({}, quality(5, 5, 490), "insufficient", "not enough to call it no more than 0.005 worse"),
        ({}, quality(100, 120, 3_780), "insufficient", ""),
        ({}, quality(100, 100, 29_800), "pass", "E = "),
        ({}, quality(100, 400, 9_500), "fail", "worse by more than 0.005"),
        ({}, quality(0, 60, 0), "fail", ""),
        ({"test": "superior"}, quality(200, 100, 9_700), "pass", ""),
        ({"test": "superior"}, quality(100, 100, 99_800), "insufficient", "not enough to call it better"),
        ({"test": "superior"}, quality(100, 400, 9_500), "fail", ""),
        ({"test": "superior"}, quality(50_000, 0, 0), "pass", "E = "),
    ],
)
def test_the_outcome_gate_judges(policy: dict[str, Any], known: PairedQuality | None, verdict: str, says: str) -> None:
    settings = Gates.model_validate({"outcome": policy})
    found = GATES["outcome"](settings.outcome, evidence(quality=known), NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found


Rows = list[tuple[str | None, str | None, str | float]]


@pytest.mark.parametrize(
    ("rows", "verdict", "says"),
    [
        # Labels that no outcome ever uses: both versions wrong on each row, hence "the same".
        ([("1", "1", "chargeback")] * 5_000, "insufficient", "was right on none of 5,000 rows"),
        ([("legit", "1", "ok")] * 2_500 + [("fraud", "1", "bad")] * 2_500, "insufficient", "use the labels"),
        # One class only.
        ([("0", "0", "0")] * 5_000, "insufficient", "all 5,000 outcomes are negative"),
        ([("true", "true", True)] * 5_000, "insufficient", "all 5,000 outcomes are positive"),
        # A constant, nearly as accurate as the champion where positives are rare.
        ([("0", "0", "0")] * 4_990 + [("1", "0", "1")] * 10, "insufficient", "wrong on every positive outcome"),
        ([("1", "1", "1")] * 4_990 + [("0", "1", "0")] * 10, "insufficient", "wrong on every negative outcome"),
        # What a constant is not, and what is not of two classes.
        ([("0", "0", "0")] * 4_990 + [("1", "0", "1")] * 9 + [("1", "1", "1")], "pass", ""),
        ([("0", "0", "0")] * 4_990 + [("0", "0", "1")] * 10, "pass", ""),
        ([("a", "a", "a")] * 3_000 + [("b", "b", "b")] * 2_000, "pass", ""),
        ([("0", "0", "false")] * 4_000 + [("1", "1", "true")] * 1_000, "pass", ""),
        # Evidence of harm is never hidden behind it.
        ([("0", "1", "0")] * 5_000, "fail", ""),
    ],
)
def test_many_rows_that_cannot_tell_are_insufficient(rows: Rows, verdict: str, says: str) -> None:
    observer = QualityObserver()
    for champion, challenger, truth in rows:
        said, at = {"3": RowPrediction(champion, None), "4": RowPrediction(challenger, None)}, NOW - 600.0
        observer.fold_row_predicted(at, "3", said)
        observer.fold_row("3", said, truth, at=at, received=at + 1.0)
    found = GATES["outcome"](Gates().outcome, evidence(quality=observer.paired("3", "4", NOW)), NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found


def test_a_smaller_alpha_asks_for_more_evidence() -> None:
    rows = evidence(quality=quality(40, 15, 945))
    strict = Gates.model_validate({"outcome": {"test": "superior", "alpha": 0.0001}})
    usual = Gates.model_validate({"outcome": {"test": "superior"}})
    assert GATES["outcome"](usual.outcome, rows, NOW).verdict == "pass"
    assert GATES["outcome"](strict.outcome, rows, NOW).verdict == "insufficient"


def probable(gap: Interval | None, **changes: Any) -> PairedQuality:
    """Versions that answer with probabilities, and what is between their calibration errors."""
    known = quality(200, 100, 9_700, **changes)
    champion = msgspec.structs.replace(known.champion, metrics={"brier": 0.1})
    return msgspec.structs.replace(known, champion=champion, gaps={} if gap is None else {"ece": gap})


@pytest.mark.parametrize(
    ("known", "verdict", "says"),
    [
        (None, "insufficient", "post outcomes"),
        (quality(0, 0, 0), "insufficient", "post outcomes"),
        (quality(10, 10, 79), "insufficient", "99 of 100 rows"),
        (quality(200, 100, 9_700), "pass", "without probabilities"),
        (probable(None), "insufficient", "no interval yet"),
        (probable(Interval(0.001, -0.004, 0.01)), "pass", "+0.0010 beside the champion's"),
        (probable(Interval(-0.2, -0.4, 0.0101)), "insufficient", "beyond the limit"),
        (probable(Interval(0.05, 0.0099, 0.09)), "insufficient", ""),
        (probable(Interval(0.05, 0.0101, 0.09)), "fail", "+0.0500"),
        (probable(Interval(0.05, 0.0101, 0.09), refused="selected"), "insufficient", "selected"),
        (probable(Interval(0.0, 0.0, 0.0), arrival_e=20.0), "insufficient", "rather than for others"),
        (probable(Interval(0.0, 0.0, 0.0), maturity=None), "insufficient", "not known yet"),
        (probable(Interval(0.0, 0.0, 0.0), after_s=None), "insufficient", "not known yet"),
        (probable(Interval(0.0, 0.0, 0.0), maturity=maturity(50, 50, 4_899)), "insufficient", "4,999 of 10,000 rows"),
        (probable(Interval(0.0, 0.0, 0.0), maturity=maturity(50, 50, 4_900)), "pass", ""),
    ],
)
def test_the_calibration_gate_judges_by_the_whole_interval(
    known: PairedQuality | None, verdict: str, says: str
) -> None:
    found = GATES["calibration"](Gates().calibration, evidence(quality=known), NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found


NAMED = ("channel=web", "channel=app")


def parted(*inferior: str, **changes: Any) -> PairedQuality:
    each = tuple(
        SegmentQuality(
            segment=name,
            matched=1_000,
            better=10,
            worse=90,
            same=900,
            e_inferior=99.0 if name in inferior else 1.0,
            inferior=name in inferior,
        )
        for name in NAMED
    )
    return msgspec.structs.replace(quality(200, 100, 9_700, **changes), segments=each)


@pytest.mark.parametrize(
    ("named", "pairs", "known", "verdict", "says"),
    [
        ((), {}, None, "pass", "no segments are named"),
        (NAMED, {}, None, "insufficient", "post outcomes"),
        (NAMED, {"channel=web": 200, "channel=app": 200}, parted(), "pass", "none of 2 segments"),
        (NAMED, {"channel=web": 200, "channel=app": 199}, parted(), "insufficient", "channel=app has 199 of 200"),
        (NAMED, {"channel=web": 199}, parted(), "insufficient", "channel=app has 0 of 200 pairs, and 1 more have"),
        (NAMED, {}, parted("channel=app"), "fail", "worse in channel=app: of 1,000 rows"),
        (NAMED, {}, parted("channel=app", refused="selected"), "insufficient", "but selected"),
        (NAMED, {"channel=web": 500, "channel=app": 500}, parted(arrival_e=30.0), "insufficient", "rather than"),
    ],
)
def test_the_segments_gate_judges(
    named: tuple[str, ...], pairs: dict[str, int], known: PairedQuality | None, verdict: str, says: str
) -> None:
    seen = tuple(SegmentAgreement(segment=name, pairs=n, agreement=None) for name, n in pairs.items())
    known_now = evidence(quality=known)
    beside = msgspec.structs.replace(known_now.comparison, segments=seen)
    asked = msgspec.structs.replace(known_now, comparison=beside, segments=named)
    found = GATES["segments"](Gates().segments, asked, NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found


@pytest.mark.parametrize("written", ["off", False])
def test_without_the_outcome_gate_no_other_gate_waits_for_outcomes_unless_it_is_set(written: object) -> None:
    gates = Gates.model_validate({"outcome": written})
    assert (gates.calibration, gates.segments) == (False, False)
    kept = Gates.model_validate({"outcome": written, "calibration": {"max_increase": 0.02}})
    assert kept.calibration
    assert Gates().calibration
    assert Gates().segments
