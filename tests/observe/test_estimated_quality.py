from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry_client.baseline import Calibration
from sidecar.observe.estimated_quality import WINDOW_ROWS, QualityEstimate, features_alike, features_outside
from sidecar.records import Prediction
from sidecar.reports import EstimatedQuality
from tests.observe.test_alarms import feature, report

EDGES = tuple(index / 10 for index in range(11))
COUNTS = (1_000,) * 10
CALIBRATION = Calibration(
    edges=EDGES, counts=COUNTS, positives=tuple(round(1_000 * (index + 0.5) / 10) for index in range(10)),
    means=tuple((index + 0.5) / 10 for index in range(10)),
)  # fmt: skip


def estimated(scores: list[float], labels: list[str] | None = None) -> EstimatedQuality | None:
    estimate = QualityEstimate(CALIBRATION)
    for start in range(0, len(scores), 50):
        said = tuple(labels[start : start + 50]) if labels is not None else None
        estimate.fold(Prediction(said, tuple(scores[start : start + 50])))
    return estimate.report(None, {})


def test_scores_as_in_training_lose_nothing() -> None:
    found = estimated([float(score) for score in np.random.default_rng(1).uniform(size=2_000)])
    assert found is not None
    assert found.refused is None
    assert found.metrics["accuracy"] == pytest.approx(0.75, abs=0.02)
    assert found.loss == 0.0
    assert found.low["accuracy"] < found.metrics["accuracy"] < found.high["accuracy"]


def test_scores_that_crowd_where_the_model_is_unsure_lose_accuracy_for_certain() -> None:
    found = estimated([float(score) for score in np.random.default_rng(1).uniform(0.4, 0.6, size=3_000)])
    assert found is not None
    assert found.metrics["accuracy"] == pytest.approx(0.55, abs=0.02)
    assert found.loss is not None
    assert 0.1 < found.loss < 0.25


def test_labels_say_what_was_called_positive() -> None:
    scores = [0.05] * 500
    wrong = estimated(scores, ["1"] * 500)
    right = estimated(scores, ["false"] * 500)
    assert wrong is not None
    assert right is not None
    assert (wrong.metrics["accuracy"], right.metrics["accuracy"]) == pytest.approx((0.05, 0.95), abs=0.01)


def test_scores_outside_of_training_are_refused_in_a_sentence() -> None:
    found = estimated([0.5] * 900 + [7.0] * 100)
    assert found is not None
    assert found.refused is not None
    assert "outside what training saw" in found.refused
    assert (found.metrics, found.loss) == ({}, None)


def test_an_important_feature_outside_of_training_is_refused_and_a_light_one_is_not() -> None:
    estimate = QualityEstimate(CALIBRATION)
    estimate.fold(Prediction(None, tuple(np.random.default_rng(1).uniform(size=500))))
    moved = report(feature("amount", baseline_counts=(0, 50, 50), live_counts=(30, 35, 35)))
    heavy, light = estimate.report(moved, {}), estimate.report(moved, {"amount": 0.01, "age": 0.99})
    assert heavy is not None
    assert light is not None
    assert heavy.refused is not None
    assert light.refused is None
    assert features_outside(moved, {}) == pytest.approx(0.3)
    assert features_outside(None, {}) == 0.0


def test_a_feature_that_crowds_in_a_corner_of_training_is_refused_once_it_is_certain() -> None:
    estimate = QualityEstimate(CALIBRATION)
    estimate.fold(Prediction(None, tuple(np.random.default_rng(1).uniform(size=500))))
    cells: dict[str, Any] = {"baseline_counts": (500,) * 10, "live_counts": (0,) * 8 + (250, 250)}
    crowded, unsure = report(feature("latitude", **cells)), report(feature("latitude", alarm=False, **cells))
    assert features_alike(crowded, {}) == pytest.approx(0.2, abs=0.01)
    refused = estimate.report(crowded, {})
    assert refused is not None
    assert "of training's rows are like live ones" in str(refused.refused)
    for known, importance in ((unsure, {}), (crowded, {"latitude": 0.01, "age": 0.99}), (None, {})):
        found = estimate.report(known, importance)
        assert found is not None
        assert found.refused is None


def test_only_the_newest_rows_count() -> None:
    estimate = QualityEstimate(CALIBRATION)
    for score in (0.5, 0.95):
        for _ in range(2 * WINDOW_ROWS // 100 + 3):
            estimate.fold(Prediction(None, (score,) * 100))
    found = estimate.report(None, {})
    assert found is not None
    assert found.n <= 2 * WINDOW_ROWS + 256
    assert found.metrics["accuracy"] == pytest.approx(0.95, abs=0.03)


def test_without_a_calibration_or_a_row_there_is_no_estimate() -> None:
    assert QualityEstimate(None).report(None, {}) is None
    assert QualityEstimate(CALIBRATION).report(None, {}) is None
    nothing = QualityEstimate(None)
    nothing.fold(Prediction(None, (0.5,)))
    nothing.fold(Prediction(("1",), None))
    assert nothing.report(None, {}) is None


def test_it_goes_on_after_a_restart_and_refuses_another_calibration() -> None:
    first, second = QualityEstimate(CALIBRATION), QualityEstimate(CALIBRATION)
    first.fold(Prediction(None, (0.2, 0.9, float("nan"), 3.0)))
    second.restore(first.snapshot())
    assert second.report(None, {}) == first.report(None, {})
    with pytest.raises(ValueError, match="another calibration"):
        QualityEstimate(None).restore(first.snapshot())
    with pytest.raises(ValueError, match=r"."):
        second.restore(b"garbage")
