from __future__ import annotations

from typing import Any

import pytest

from sidecar.config_gates import Gates
from sidecar.decide.gates import GATES, judge
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
        # A baseline of the registry is one only as long as the registry says so; a file's has no age.
        ({"baseline_limit_s": 86_400.0, "baseline_age_s": 0.0}, "pass", ""),
        ({"baseline_limit_s": 86_400.0, "baseline_age_s": 86_400.0}, "pass", ""),
        ({"baseline_limit_s": 86_400.0, "baseline_age_s": 86_401.0}, "insufficient", "24 hours ago"),
        ({"baseline_limit_s": 60.0, "baseline_age_s": 61.0}, "insufficient", "registry.max_age_s is 60"),
        ({"baseline_limit_s": 86_400.0, "baseline_age_s": 30 * 86_400.0}, "insufficient", "30 days ago"),
        ({"baseline_limit_s": 86_400.0, "baseline_age_s": None}, "insufficient", "nobody knows when"),
        ({"baseline_limit_s": None, "baseline_age_s": 1e9}, "pass", ""),
        ({"baseline_limit_s": 60.0, "baseline_age_s": 61.0, "baseline_digest": None}, "insufficient", "no baseline"),
        ({"baseline_limit_s": 60.0, "baseline_age_s": 61.0, "open_alarms": (alarm(),)}, "fail", ""),
    ],
)
def test_the_inputs_gate_judges(changes: dict[str, Any], verdict: str, says: str) -> None:
    found = GATES["inputs"](Gates().inputs, evidence(**changes), NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found


def test_a_baseline_that_grows_older_is_not_other_evidence_with_every_second() -> None:
    says = {
        GATES["inputs"](Gates().inputs, evidence(baseline_limit_s=3_600.0, baseline_age_s=90_000.0 + second), NOW)
        for second in range(60)
    }
    assert len(says) == 1


@pytest.mark.parametrize(
    ("require", "age_s", "verdict", "says"),
    [
        (["data"], 3_600.0, "pass", ""),
        (["data"], 3_601.0, "insufficient", "last confirmed the lineage"),
        (["data"], None, "insufficient", "nobody knows when the registry last confirmed the lineage"),
        (["data", "approved_by"], 3_601.0, "fail", "approved_by"),
        ([], 1e9, "pass", ""),
    ],
)
def test_the_lineage_gate_takes_no_word_that_is_too_old(
    require: list[str], age_s: float | None, verdict: str, says: str
) -> None:
    settings = Gates.model_validate({"lineage": {"require": require}})
    found = GATES["lineage"](settings.lineage, evidence(lineage_limit_s=3_600.0, lineage_age_s=age_s), NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found


def test_a_stale_baseline_holds_up_nothing_where_the_gate_is_off() -> None:
    table = judge(Gates(inputs=False), evidence(baseline_limit_s=60.0, baseline_age_s=1e6), NOW)
    assert table.verdict == "pass"


def test_the_lineage_gate_waits_for_a_registry_that_has_not_told_yet() -> None:
    settings = Gates.model_validate({"lineage": {"require": ["data"]}})
    found = GATES["lineage"](settings.lineage, evidence(lineage=None), NOW)
    assert (found.verdict, found.n, "told nothing of version 4" in found.says) == ("insufficient", 0, True)
    assert GATES["lineage"](settings.lineage, evidence(lineage={}), NOW).verdict == "fail"
    assert GATES["lineage"](Gates().lineage, evidence(lineage=None), NOW).verdict == "pass"


@pytest.mark.parametrize(
    ("require", "verdict", "says"),
    [
        ([], "pass", "no registry field is required"),
        (["data", "code"], "pass", "every required field"),
        (["data", "approved_by", "params"], "fail", "version 4 lacks approved_by, params"),
        (["metrics.*"], "fail", "lacks metrics.*"),
    ],
)
def test_the_lineage_gate_names_what_is_missing(require: list[str], verdict: str, says: str) -> None:
    settings = Gates.model_validate({"lineage": {"require": require}})
    found = GATES["lineage"](settings.lineage, evidence(), NOW)
    assert (found.verdict, says in found.says) == (verdict, True), found
