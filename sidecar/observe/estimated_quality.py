"""How good the champion's newest answers probably are, before any outcome has come.

Keeps: counts of the newest 2,000 to 4,000 sampled rows by the baseline's calibration bins; no scores. An estimate that
cannot be trusted is refused in a sentence, and a refusal is never "all is well".
Does not: see a changed relation of inputs and truth; it is evidence for nothing but how grave an alarm is.
Called by control's `truths`. Source: `stats.cbpe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from registry_client.baseline import Calibration
from sidecar.observe.outcomes import class_of
from sidecar.observe.severity import LIGHT
from sidecar.records import Prediction
from sidecar.reports import DriftReport, EstimatedQuality, FeatureDrift
from sidecar.stats.cbpe import Performance, ScoreCounts, at_training, estimate, score_counts
from sidecar.stats.support import share_alike, share_outside

WINDOW_ROWS = 2_000
_FLUSH_ROWS = 256
_METRICS = ("accuracy", "precision", "recall", "f1")
_FORMAT: Literal[1] = 1


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[1]
    before: ScoreCounts
    newest: ScoreCounts


class QualityEstimate:
    """Of one champion by one calibration; without a calibration nothing is estimated."""

    def __init__(self, calibration: Calibration | None) -> None:
        self._calibration = calibration
        self._scores: list[float] = []
        self._called: list[bool] = []
        nothing = (0,) * (len(calibration.counts) if calibration is not None else 0)
        self._before = self._newest = ScoreCounts(positive=nothing, negative=nothing)

    def fold(self, prediction: Prediction) -> None:
        """The champion's answer to one sampled request."""
        if self._calibration is None or prediction.scores is None:
            return
        labels = prediction.labels if prediction.labels is not None else (None,) * len(prediction.scores)
        for score, label in zip(prediction.scores, labels, strict=False):
            self._scores.append(score)
            known = class_of(label) if label is not None else None
            self._called.append(score >= 0.5 if known is None else known == 1)
        if len(self._scores) >= _FLUSH_ROWS:
            self._flush()

    def report(self, drift: DriftReport | None, importance: Mapping[str, float]) -> EstimatedQuality | None:
        """The estimate now; None where the baseline has no calibration, or no row came."""
        calibration = self._calibration
        if calibration is None:
            return None
        self._flush()
        live = self._before + self._newest
        if not live.n:
            return None
        found = estimate(
            calibration.counts,
            calibration.positives,
            live,
            features_outside=features_outside(drift, importance),
            features_alike=features_alike(drift, importance),
        )
        trained = at_training(calibration.counts, calibration.positives, live)
        loss = None
        if found.accuracy is not None and trained.accuracy is not None:
            loss = max(0.0, trained.accuracy.value - found.accuracy.high)
        return EstimatedQuality(
            n=live.n,
            metrics=_values(found),
            low={name: band.low for name in _METRICS if (band := getattr(found, name)) is not None},
            high={name: band.high for name in _METRICS if (band := getattr(found, name)) is not None},
            trained=_values(trained),
            loss=loss,
            refused=found.refused,
        )

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        self._flush()
        return msgspec.msgpack.encode(_Snapshot(_FORMAT, self._before, self._newest))

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged or of another calibration."""
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)
        bins = len(self._newest.positive)
        for counts in (stored.before, stored.newest):
            if not len(counts.positive) == len(counts.negative) == bins:
                raise ValueError("the snapshot belongs to another calibration")
            if min((*counts.positive, *counts.negative, counts.outside, counts.unscored)) < 0:
                raise ValueError("counts are not negative")
        self._before, self._newest = stored.before, stored.newest

    def _flush(self) -> None:
        if not self._scores or self._calibration is None:
            return
        scores, called = np.asarray(self._scores, dtype=np.float64), np.asarray(self._called, dtype=bool)
        self._scores, self._called = [], []
        self._newest += score_counts(self._calibration.edges, scores, called)
        if self._newest.n >= WINDOW_ROWS:
            nothing = (0,) * len(self._newest.positive)
            self._before, self._newest = self._newest, ScoreCounts(positive=nothing, negative=nothing)


def features_outside(drift: DriftReport | None, importance: Mapping[str, float]) -> float:
    """The largest share of recent rows in which one feature lies where training had no row at all.

    Features that the model hardly weighs are left out, where that is known.
    """
    shares = (share_outside(feature.baseline_counts, feature.live_counts) for feature in _weighty(drift, importance))
    return max(shares, default=0.0)


def features_alike(drift: DriftReport | None, importance: Mapping[str, float]) -> float:
    """The least share of training's rows that counts for recent ones, by one feature that moved for certain."""
    moved = [feature for feature in _weighty(drift, importance) if feature.alarm]
    return min((share_alike(feature.baseline_counts, feature.live_counts) for feature in moved), default=1.0)


def _weighty(drift: DriftReport | None, importance: Mapping[str, float]) -> list[FeatureDrift]:
    features = drift.features if drift is not None else ()
    return [
        feature
        for feature in features
        if importance.get(feature.name, 1.0) >= LIGHT and len(feature.baseline_counts) == len(feature.live_counts)
    ]


def _values(found: Performance) -> dict[str, float]:
    bands = {name: getattr(found, name) for name in _METRICS}
    known = {name: band.value for name, band in bands.items() if band is not None}
    return known | ({"auc": found.auc} if found.auc is not None else {})
