from __future__ import annotations

import doctest
from typing import Any

import pytest

from sidecar.observe import alarms
from sidecar.observe.alarms import alarms_in, kind_of, moment
from sidecar.reports import Cause, CauseKind, DriftReport, FeatureDrift

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


@pytest.mark.parametrize(
    ("drift", "moved", "severity"),
    [
        (feature(cause="scale"), True, "critical"),
        (feature(cause="scale"), False, "warning"),
        (feature(kl_lower=0.01), False, "info"),
        (feature(kl_lower=0.01), True, "warning"),
        (feature(kl_lower=0.06), False, "warning"),
    ],
)
def test_severity_is_by_cause_size_and_whether_answers_are_hurt(
    drift: FeatureDrift, moved: bool, severity: str
) -> None:
    found = alarms_in(report(drift, prediction=feature("score", alarm=moved)))
    assert next(alarm for alarm in found if alarm.key == "feature/amount").severity == severity


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
    assert [alarm.severity for alarm in found] == ["critical", "warning", "warning"]


@pytest.mark.parametrize("at", [float("nan"), float("inf"), float("-inf"), -1e300, 1e300])
def test_a_time_that_no_calendar_has_does_not_break_a_sentence(at: float) -> None:
    assert moment(at).endswith(" UTC")


def test_the_example_in_the_docstring_runs() -> None:
    result = doctest.testmod(alarms)
    assert (result.failed, result.attempted) == (0, 1)
