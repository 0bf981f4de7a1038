from __future__ import annotations

from typing import Any

import pytest

from sidecar.config_gates import Gates
from sidecar.decide.gates import GATES, judge
from tests.decide.decide_samples import NOW, alarm, evidence


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({}, "pass", "no data.broken alarm"),
        ({"void_s": 7_300.0}, "pass", "2 hours of traffic under one are left out"),
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
