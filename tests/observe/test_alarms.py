from __future__ import annotations

import doctest
from typing import Any

import msgspec
import pytest

from sidecar.observe import alarms
from sidecar.observe.alarms import alarms_in, as_one_story, kind_of, moment
from sidecar.observe.cause_over_time import SO_FAR
from sidecar.observe.severity import Stakes
from sidecar.reports import AlarmChange, AlarmKind, Cause, CauseKind, DriftReport, FeatureDrift, Severity, SharedShift

ONSET = 1_700_000_000.0


def feature(name: str = "amount", cause: CauseKind | None = None, **changed: Any) -> FeatureDrift:
    known: dict[str, Any] = {
        "name": name, "kind": "numeric", "n": 100, "psi": 0.2, "psi_noise": None, "kl_lower": 0.2, "e_value": 1e9,
        "alarm": True, "since": ONSET, "missing": 0.0, "wrong_type": 0.0, "unseen": 0.0,
        "cause": Cause(kind=cause, says="live = 0.01 × trained") if cause else None,
        "cells": (), "baseline_counts": (), "live_counts": (),
    }  # fmt: skip
    return FeatureDrift(**known | changed)


def report(*features: FeatureDrift, prediction: FeatureDrift | None = None) -> DriftReport:
    return DriftReport(
        against="training", baseline_model=None, baseline_version=None, baseline_digest="sha256:0", rows_seen=1,
        rows_sampled=1, undecodable=0, severity="none", features=features, prediction=prediction,
    )  # fmt: skip


def test_a_report_without_alarms_gives_reason_for_none() -> None:
    assert alarms_in(report(feature(alarm=False), prediction=feature("score", alarm=False))) == ()
    assert alarms_in(report()) == ()


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("scale", "data.broken"),
        ("constant", "data.broken"),
        ("missing", "data.broken"),
        ("type", "data.broken"),
        ("unexplained", "drift.detected"),
        ("new_category", "drift.detected"),
        (None, "drift.detected"),
    ],
)
def test_a_named_fault_is_a_broken_feed_and_anything_else_is_drift(cause: CauseKind | None, kind: str) -> None:
    assert kind_of(feature(cause=cause)) == kind
    (alarm,) = alarms_in(report(feature(cause=cause)))
    assert alarm.kind == kind
    assert ("do not retrain" in alarm.action) == (kind == "data.broken")


def test_a_feature_alarm_says_what_moved_how_far_and_since_when() -> None:
    (alarm,) = alarms_in(report(feature(cause="scale", kl_lower=0.2134, psi=1.5)))
    assert alarm.key == "feature/amount"
    assert alarm.since == ONSET
    assert alarm.says == (
        "amount: live = 0.01 × trained; at least 0.213 nats from training (PSI 1.50) since 2023-11-14 22:13:20 UTC"
    )


QUIET = feature("score", alarm=False, kl_lower=0.0, n=1_000)


@pytest.mark.parametrize(
    ("drift", "prediction", "severity", "action"),
    [
        (feature(cause="scale"), feature("score"), "critical", "do not retrain"),
        (feature(cause="scale"), QUIET, "warning", "can wait for working hours"),
        (feature(cause="scale"), None, "warning", "do not retrain"),
        (feature(kl_lower=9.0, psi=30.0), QUIET, "info", "Nothing to do now"),
        (feature(kl_lower=0.01), feature("score"), "warning", "Look at what changed"),
        (feature(kl_lower=0.01), None, "warning", "Look at what changed"),
    ],
)
def test_severity_and_action_are_by_cause_and_expected_harm(
    drift: FeatureDrift, prediction: FeatureDrift | None, severity: str, action: str
) -> None:
    found = alarms_in(report(drift, prediction=prediction))
    alarm = next(alarm for alarm in found if alarm.key == "feature/amount")
    assert alarm.severity == severity
    assert action in alarm.action
    assert alarm.says.endswith("predictions have not moved") == (prediction is QUIET)


def test_a_feature_that_the_model_hardly_weighs_is_a_note() -> None:
    stakes = Stakes(importance={"amount": 0.01, "age": 0.99})
    (alarm,) = alarms_in(report(feature(), prediction=feature("score", alarm=False)), stakes)
    assert alarm.severity == "info"


def test_a_broken_feature_and_the_shift_that_it_explains_are_one_story() -> None:
    found = alarms_in(report(feature(cause="scale"), prediction=feature("score")))
    assert [(alarm.kind, alarm.severity, alarm.explained_by) for alarm in found] == [
        ("data.broken", "critical", None),
        ("prediction.shifted", "info", "feature/amount"),
    ]
    assert found[1].action == found[0].action


def test_a_shift_that_nothing_broken_explains_is_a_story_of_its_own() -> None:
    found = alarms_in(report(feature(), prediction=feature("score")))
    assert [alarm.explained_by for alarm in found] == [None, None]
    assert {alarm.severity for alarm in found} == {"warning"}


def test_the_story_is_told_by_the_feature_that_weighs_most() -> None:
    stakes = Stakes(importance={"amount": 0.05, "age": 0.95})
    moved = [feature("amount", "scale", kl_lower=0.5), feature("age", "constant", kl_lower=0.2)]
    found = alarms_in(report(*moved, prediction=feature("score")), stakes)
    assert found[-1].explained_by == "feature/age"
    assert "age (and 1 more)" in found[-1].says


def test_estimated_loss_is_told_with_the_shift() -> None:
    (alarm,) = alarms_in(report(prediction=feature("score")), Stakes(estimated_loss=0.08))
    assert (alarm.severity, "estimated accuracy fell by at least 8.0%" in alarm.says) == ("critical", True)


def change(key: str, kind: AlarmKind, severity: Severity = "warning", **more: Any) -> AlarmChange:
    return AlarmChange(key=key, kind=kind, severity=severity, says=key, action=f"do {key}", since=ONSET, **more)


def explained(*found: AlarmChange) -> dict[str, str | None]:
    return {alarm.key: alarm.explained_by for alarm in as_one_story(found)}


def test_worse_outcomes_under_a_broken_feed_are_part_of_its_story() -> None:
    told = explained(
        change("outcome/3", "outcome.degraded", "critical"), change("feature/a", "data.broken", "critical")
    )
    assert told == {"feature/a": None, "outcome/3": "feature/a"}
    assert explained(change("outcome/3", "outcome.degraded")) == {"outcome/3": None}


def test_two_halves_of_a_swap_are_one_story() -> None:
    halves = [
        change("feature/b", "data.broken", swapped_with="a"),
        change("feature/a", "data.broken", swapped_with="b"),
    ]
    assert explained(*halves) == {"feature/a": None, "feature/b": "feature/a"}


def test_what_the_rows_show_explains_what_the_distribution_shows() -> None:
    assert explained(change("rows/a", "data.broken"), change("feature/a", "drift.detected")) == {
        "rows/a": None,
        "feature/a": "rows/a",
    }
    assert explained(change("rows/a", "drift.detected"), change("feature/a", "data.broken")) == {
        "feature/a": None,
        "rows/a": "feature/a",
    }


def test_no_two_alarms_explain_each_other() -> None:
    kinds: tuple[AlarmKind, ...] = ("data.broken", "drift.detected")
    for first in kinds:
        for second in kinds:
            found = [
                change("rows/a", first, swapped_with="b"), change("feature/a", second, swapped_with="b"),
                change("feature/b", first, swapped_with="a"), change("rows/b", second),
                change("prediction", "prediction.shifted"), change("outcome/3", "outcome.degraded"),
                change("mirror/4", "mirror.silent"),
            ]  # fmt: skip
            told = explained(*found)
            assert len(told) == len(found)
            assert all(by is None or told[by] is None for by in told.values()), told
            assert told["mirror/4"] is None


def test_requests_that_are_built_otherwise_are_a_broken_feed() -> None:
    built = msgspec.structs.replace(report(), schema=feature("schema", "missing"))
    (alarm,) = alarms_in(built)
    assert (alarm.key, alarm.kind, alarm.severity) == ("schema", "data.broken", "warning")


def test_what_is_not_known_yet_is_said_so() -> None:
    (alarm,) = alarms_in(report(feature(psi=None, since=None)))
    assert "cause not known yet" in alarm.says
    assert alarm.since == 0.0


@pytest.mark.parametrize(
    ("features", "because", "fix"),
    [
        ([], "no feature moved by itself", False),
        ([feature(alarm=False, cause="scale")], "no feature moved by itself", False),
        ([feature()], "amount moved too and may explain it", False),
        ([feature(cause="scale"), feature("age", kl_lower=9.0)], "amount, whose feed is broken, explains it", True),
        (
            [feature(cause="scale"), feature("age", "constant", kl_lower=9.0)],
            "age (and 1 more), whose feed is broken, explains it",
            True,
        ),
    ],
)
def test_the_prediction_alarm_names_the_feature_that_explains_it(
    features: list[FeatureDrift], because: str, fix: bool
) -> None:
    found = alarms_in(report(*features, prediction=feature("score")))
    alarm = next(alarm for alarm in found if alarm.kind == "prediction.shifted")
    assert alarm.key == "prediction"
    assert alarm.says.endswith(because)
    assert "since 2023-11-14 22:13:20 UTC" in alarm.says
    assert ("do not retrain" in alarm.action) == fix


def test_the_gravest_comes_first() -> None:
    found = alarms_in(
        report(feature("a", kl_lower=0.01), feature("b", cause="sign"), prediction=feature("score", since=None))
    )
    assert [alarm.severity for alarm in found] == ["critical", "warning", "info"]


@pytest.mark.parametrize("at", [float("nan"), float("inf"), float("-inf"), -1e300, 1e300])
def test_a_time_that_no_calendar_has_does_not_break_a_sentence(at: float) -> None:
    assert moment(at).endswith(" UTC")


def test_the_example_in_the_docstring_runs() -> None:
    result = doctest.testmod(alarms)
    assert (result.failed, result.attempted) == (0, 1)


def test_a_key_that_requests_lack_is_one_story_told_by_its_feature() -> None:
    gone = msgspec.structs.replace(
        report(feature("a", "scale"), feature("b", "missing")), schema=feature("schema", "missing")
    )
    told = {alarm.key: alarm.explained_by for alarm in alarms_in(gone)}
    assert told == {"feature/a": None, "feature/b": None, "schema": "feature/b"}
    for other in (feature("schema", "type"), feature("schema")):
        unread = msgspec.structs.replace(report(feature("b", "missing")), schema=other)
        assert {alarm.key: alarm.explained_by for alarm in alarms_in(unread)} == {"feature/b": None, "schema": None}


def test_features_that_were_lost_together_are_one_alarm_that_names_them() -> None:
    cells, trained, live = ("low", "high", "missing"), (500, 500, 0), (400, 400, 200)
    gone = [
        msgspec.structs.replace(
            feature(name, "missing", kl_lower=size, cells=cells, baseline_counts=trained, live_counts=live, n=1_000),
            cause=Cause(kind="missing", says="20.0% of the values are missing" + SO_FAR, share=0.2),
        )
        for name, size in (("age", 0.1), ("city", 0.3), ("income", 0.2))
    ]
    found = alarms_in(report(*gone, feature("amount", "scale")))
    told = {alarm.key: alarm.explained_by for alarm in found}
    alone = {"feature/age": None, "feature/amount": None}
    assert told == alone | {"feature/city": "feature/age", "feature/income": "feature/age"}
    root = next(alarm for alarm in found if alarm.key == "feature/age")
    assert root.says.startswith("city, income and age are missing together, in 20% of the rows"), "by evidence"
    assert f"{SO_FAR}; since 2023" in root.says
    assert "since 2023-11-14 22:13:20 UTC" in root.says
    assert {alarm.severity for alarm in found if alarm.explained_by} == {"info"}
    again = {alarm.key: alarm.explained_by for alarm in as_one_story(found)}
    assert again == told


@pytest.mark.parametrize(
    ("shares", "together", "because"),
    [
        ({"age": 0.714, "income": 0.2, "city": 0.01}, 0.88, "age explains 71% of it, income explains 20% of it"),
        ({"age": 0.97}, None, "age explains 97% of it (put back by rank on 256 kept rows)"),
        ({"age": 0.02, "income": -0.3}, 0.01, "age and income moved too, which hardly explains it"),
    ],
)
def test_the_prediction_alarm_says_which_features_the_shift_goes_with(
    shares: dict[str, float], together: float | None, because: str
) -> None:
    stakes = Stakes(shift=SharedShift(since=ONSET, rows=256, shares=shares, together=together))
    found = alarms_in(report(feature("age"), feature("income"), prediction=feature("score")), stakes)
    says = next(alarm.says for alarm in found if alarm.kind == "prediction.shifted")
    assert because in says
    assert ("together 88%" in says) == (together == 0.88)
    broken = alarms_in(report(feature("age", "scale"), prediction=feature("score")), stakes)
    assert "age, whose feed is broken, explains it" in broken[-1].says
