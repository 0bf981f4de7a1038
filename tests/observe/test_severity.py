from __future__ import annotations

import doctest
from typing import Any

import pytest

from sidecar.observe import severity
from sidecar.observe.severity import Harm, Stakes, expected_harm, importance_shares, prediction_severity, severity_of
from sidecar.reports import FeatureDrift, Severity
from tests.observe.test_alarms import feature


def said(**changed: Any) -> FeatureDrift:
    quiet: dict[str, Any] = {"alarm": False, "kl_lower": 0.0, "n": 1_000}
    return feature("score", **quiet | changed)


@pytest.mark.parametrize(
    ("prediction", "stakes", "harm"),
    [
        (said(), Stakes(), "none"),
        (said(), Stakes(estimated_loss=0.0), "none"),
        (None, Stakes(), "unknown"),
        (said(n=499), Stakes(), "unknown"),
        (said(), Stakes(refused="out of support"), "unknown"),
        (said(kl_lower=0.001), Stakes(), "none"),
        (said(kl_lower=0.005), Stakes(), "some"),
        (said(alarm=True), Stakes(), "some"),
        (said(), Stakes(estimated_loss=0.01), "some"),
        (None, Stakes(estimated_loss=0.01), "some"),
        (said(kl_lower=0.05), Stakes(), "grave"),
        (said(), Stakes(estimated_loss=0.05), "grave"),
        (said(), Stakes(realised_loss=0.001), "grave"),
    ],
)
def test_harm_is_read_from_predictions_estimates_and_outcomes(
    prediction: FeatureDrift | None, stakes: Stakes, harm: Harm
) -> None:
    assert expected_harm(prediction, stakes) == harm


@pytest.mark.parametrize(
    ("harm", "broken", "weight", "wanted"),
    [
        ("none", False, None, "info"),
        ("none", True, None, "warning"),
        ("none", True, 0.01, "info"),
        ("none", True, 0.5, "warning"),
        ("unknown", False, None, "warning"),
        ("unknown", True, 0.01, "info"),
        ("some", False, 0.5, "warning"),
        ("some", False, 0.01, "info"),
        ("some", True, None, "critical"),
        ("some", True, 0.01, "warning"),
        ("grave", False, None, "warning"),
        ("grave", True, 0.5, "critical"),
    ],
)
def test_severity_follows_harm_cause_and_weight(
    harm: Harm, broken: bool, weight: float | None, wanted: Severity
) -> None:
    stakes = Stakes(importance={} if weight is None else {"amount": weight})
    assert severity_of(feature("amount"), harm, stakes, broken=broken) == wanted


@pytest.mark.parametrize("psi", [0.0, 0.3, 50.0])
@pytest.mark.parametrize("kl_lower", [0.001, 0.3, 9.0])
def test_how_far_an_input_moved_changes_no_severity(psi: float, kl_lower: float) -> None:
    moved = feature("amount", psi=psi, kl_lower=kl_lower)
    for harm, wanted in (("none", "info"), ("unknown", "warning"), ("some", "warning"), ("grave", "warning")):
        assert severity_of(moved, harm, Stakes(), broken=False) == wanted  # type: ignore[arg-type]


def test_moved_predictions_are_critical_only_where_quality_is_lost_for_certain() -> None:
    assert prediction_severity("grave", Stakes()) == "warning"
    assert prediction_severity("grave", Stakes(estimated_loss=0.02)) == "warning"
    assert prediction_severity("grave", Stakes(estimated_loss=0.07)) == "critical"


def test_predictions_that_moved_far_where_nobody_can_vouch_for_them_are_critical() -> None:
    assert prediction_severity("grave", Stakes(refused="out of support")) == "critical"
    assert prediction_severity("some", Stakes(refused="out of support")) == "warning"


def test_importance_that_is_not_known_weighs_nothing_down() -> None:
    assert importance_shares({}) == {}
    assert importance_shares({"a": 0.0, "b": None}) == {}
    assert sum(importance_shares({"a": 2.0, "b": 5.0, "c": -1.0}).values()) == 1.0


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(severity).failed == 0
