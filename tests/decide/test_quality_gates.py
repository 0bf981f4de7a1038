from __future__ import annotations

from typing import Any

import pytest

from sidecar.config_gates import Gates
from sidecar.decide.gates import GATES
from sidecar.observe.quality import QualityObserver, RowPrediction
from sidecar.reports import PairedQuality
from tests.decide.decide_samples import NOW, alarm, evidence, quality


@pytest.mark.parametrize(
    ("policy", "known", "verdict", "says"),
    [
        ({}, None, "insufficient", "post outcomes"),
        ({}, quality(0, 0, 0), "insufficient", "post outcomes"),
        ({}, quality(200, 100, 9_700), "pass", "only the challenger was right on 200, only the champion on 100"),
        ({}, quality(5, 5, 489), "insufficient", "499 of 500 rows"),
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
        observer.fold_row("3", {"3": RowPrediction(champion, None), "4": RowPrediction(challenger, None)}, truth)
    found = GATES["outcome"](Gates().outcome, evidence(quality=observer.paired("3", "4")), NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found


def test_a_smaller_alpha_asks_for_more_evidence() -> None:
    rows = evidence(quality=quality(40, 15, 945))
    strict = Gates.model_validate({"outcome": {"test": "superior", "alpha": 0.0001}})
    usual = Gates.model_validate({"outcome": {"test": "superior"}})
    assert GATES["outcome"](usual.outcome, rows, NOW).verdict == "pass"
    assert GATES["outcome"](strict.outcome, rows, NOW).verdict == "insufficient"


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({}, "pass", "no data.broken alarm"),
        ({"open_alarms": (alarm(),)}, "fail", "amount: live = 0.01 × trained"),
        ({"open_alarms": (alarm(acknowledged=True),)}, "fail", ""),
        ({"open_alarms": (alarm(ended=NOW),)}, "pass", ""),
        ({"open_alarms": (alarm(deployment="other"),)}, "pass", ""),
        ({"open_alarms": (alarm(kind="drift.detected"),)}, "pass", ""),
        ({"baseline_digest": None}, "insufficient", "sidecar baseline build"),
        ({"watched_rows": 0}, "insufficient", "0 of 100 rows were read"),
        ({"watched_rows": 99}, "insufficient", "could not be read"),
        ({"watched_rows": 99, "open_alarms": (alarm(),)}, "fail", ""),
        ({"baseline_digest": None, "open_alarms": (alarm(),)}, "fail", ""),
    ],
)
def test_the_inputs_gate_judges(changes: dict[str, Any], verdict: str, says: str) -> None:
    found = GATES["inputs"](Gates().inputs, evidence(**changes), NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found


def test_no_approval_is_asked_for_and_asking_for_one_is_refused() -> None:
    assert GATES["approvals"](Gates().approvals, evidence(), NOW).verdict == "pass"
    with pytest.raises(ValueError, match="only 0"):
        Gates.model_validate({"approvals": {"min": 1}})


@pytest.mark.parametrize(
    ("require", "verdict", "says"),
    [
        ([], "pass", "no registry field is required"),
        (["data", "code"], "pass", "every required field"),
        (["data", "approved_by", "params"], "fail", "version 4 lacks approved_by, params"),
    ],
)
def test_the_lineage_gate_names_what_is_missing(require: list[str], verdict: str, says: str) -> None:
    settings = Gates.model_validate({"lineage": {"require": require}})
    found = GATES["lineage"](settings.lineage, evidence(), NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found
