"""Live inputs and predictions against what training saw: skew, alarms with their causes, one report.

Keeps: the budget of one false alarm per `false_alarm_days` for all columns together; one baseline, whose digest a
snapshot must match; a column that a request lacks is missing in all its rows.
Does not: decide what follows from an alarm, sample (the intake does), keep feature values, read a clock.
Called by: the control's intake (`fold`, `pass_over`, `tick`) and whoever asks for a report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import Baseline
from registry_client.column import Column
from sidecar.observe.alarms import PREDICTION_KEY, alarms_in
from sidecar.observe.watched_column import ColumnDocument, WatchedColumn
from sidecar.records import Prediction, Sample
from sidecar.reports import AlarmChange, DriftReport, FeatureDrift
from sidecar.stats.edetector import threshold
from sidecar.stats.eprocess import TolerantTest
from sidecar.stats.psi import psi, psi_noise
from sidecar.stats.tolerance import effective_tolerance

Counts = NDArray[np.int64]

FLUSH_ROWS = 256
RECENT_BUCKETS = 16
_FORMAT: Literal[1] = 1
_LARGEST_LOG = math.log(1e300)
_LEVEL = 0.01


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[1]
    baseline_digest: str
    opened_at: float
    rows_seen: int
    rows_sampled: int
    undecodable: int
    features: dict[str, ColumnDocument]
    prediction: ColumnDocument | None
    told: tuple[AlarmChange, ...]


class DriftObserver:
    """Watches every feature and the prediction of one deployment's champion against one baseline.

    `bucket_s`: seconds of a bucket; `tolerance`: drift in nats that nobody needs to know about; `now`: seconds
    since the epoch.
    """

    def __init__(
        self, baseline: Baseline, *, bucket_s: float, false_alarm_days: float, tolerance: float, now: float
    ) -> None:
        columns = len(baseline.features) + (baseline.prediction is not None)
        self._baseline = baseline
        self._bucket_s = bucket_s
        self._tolerance = tolerance
        # Even the most generous budget keeps one look in twenty honest.
        self._threshold = max(20.0, threshold(false_alarm_days, bucket_s, max(columns, 1)))
        self._opened_at = now
        self._rows_seen = self._rows_sampled = self._undecodable = 0
        self._features, self._prediction = self._columns(now)
        self._waiting: list[Sample] = []
        self._waiting_rows = 0
        self._told: dict[str, AlarmChange] = {}
        self._reports: dict[str, DriftReport] = {}

    def fold(self, sample: Sample) -> None:
        """Takes the rows of one sampled exchange; one that shares no column with the baseline is undecodable."""
        names = self._features.keys()
        if any(len(column) != sample.rows for column in sample.features.values()) or (
            names and not names & sample.features.keys()
        ):
            self.count_undecodable(sample.rows)
            return
        if not sample.rows:
            return
        self._rows_seen += sample.rows
        self._rows_sampled += sample.rows
        self._reports.clear()
        self._waiting.append(sample)
        self._waiting_rows += sample.rows
        if self._waiting_rows >= FLUSH_ROWS:
            self._flush()

    @property
    def rows_sampled(self) -> int:
        """Rows that were counted."""
        return self._rows_sampled

    def pass_over(self, rows: int) -> None:
        """Counts rows that were seen but not sampled."""
        self._reports.clear()
        self._rows_seen += rows

    def count_undecodable(self, rows: int = 1) -> None:
        """Counts rows (1 where their number is unknown) whose features could not be read."""
        self._reports.clear()
        self._rows_seen += rows
        self._undecodable += rows

    def tick(self, now: float) -> tuple[AlarmChange, ...]:
        """Closes the bucket if it is due at `now`; the alarms that began, ended, or found their cause."""
        if now < self._opened_at + self._bucket_s:
            return ()
        self._flush()
        self._opened_at = now
        self._reports.clear()
        changed = {key for key, column in self._watched() if column.close(now)}
        if not changed:
            return ()
        standing = {alarm.key: alarm for alarm in alarms_in(self.report())}
        over = [_ended(alarm) for key, alarm in self._told.items() if key not in standing]
        self._told = standing
        return (*over, *(alarm for key, alarm in standing.items() if key in changed))

    def report(self, against: Literal["training", "recent"] = "training") -> DriftReport:
        """All columns now; `recent` compares the last 16 buckets with all earlier live rows instead of training."""
        self._flush()
        if against in self._reports:
            return self._reports[against]
        look = self._against_training if against == "training" else self._against_earlier
        prediction = self._prediction
        report = DriftReport(
            against=against,
            baseline_model=self._baseline.model,
            baseline_version=self._baseline.version,
            baseline_digest=self._baseline.digest,
            rows_seen=self._rows_seen,
            rows_sampled=self._rows_sampled,
            undecodable=self._undecodable,
            severity="none",
            features=tuple(look(column) for column in self._features.values()),
            prediction=look(prediction) if prediction else None,
        )
        gravest = next((alarm.severity for alarm in alarms_in(report)), "none")
        self._reports[against] = msgspec.structs.replace(report, severity=gravest)
        return self._reports[against]

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        self._flush()
        return msgspec.msgpack.encode(
            _Snapshot(
                format=_FORMAT,
                baseline_digest=self._baseline.digest,
                opened_at=self._opened_at,
                rows_seen=self._rows_seen,
                rows_sampled=self._rows_sampled,
                undecodable=self._undecodable,
                features={name: column.to_document() for name, column in self._features.items()},
                prediction=self._prediction.to_document() if self._prediction else None,
                told=tuple(self._told.values()),
            )
        )

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged or of another baseline."""
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)  # msgspec's errors are ValueErrors as well
        features, prediction = self._columns(self._opened_at)
        if (
            stored.baseline_digest != self._baseline.digest
            or stored.features.keys() != features.keys()
            or (stored.prediction is None) != (prediction is None)
        ):
            raise ValueError("the snapshot belongs to another baseline")
        for name, column in features.items():
            column.restore(stored.features[name])
        if prediction is not None and stored.prediction is not None:
            prediction.restore(stored.prediction)
        self._features, self._prediction = features, prediction
        self._opened_at = stored.opened_at
        self._rows_seen, self._rows_sampled = stored.rows_seen, stored.rows_sampled
        self._undecodable = stored.undecodable
        self._waiting, self._waiting_rows = [], 0
        self._told = {alarm.key: alarm for alarm in stored.told}
        self._reports.clear()

    def _columns(self, now: float) -> tuple[dict[str, WatchedColumn], WatchedColumn | None]:
        features = {
            feature.name: WatchedColumn(feature, tolerance=self._tolerance, threshold=self._threshold, now=now)
            for feature in self._baseline.features
        }
        if self._baseline.prediction is None:
            return features, None
        return features, WatchedColumn(
            self._baseline.prediction,
            tolerance=self._tolerance,
            threshold=self._threshold,
            now=now,
            names_causes=False,
        )

    def _watched(self) -> Iterator[tuple[str, WatchedColumn]]:
        """Every column under the key of its alarm."""
        yield from ((f"feature/{name}", column) for name, column in self._features.items())
        if self._prediction is not None:
            yield PREDICTION_KEY, self._prediction

    def _flush(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        for name, column in self._features.items():
            column.count(_joined([_column_of(sample, name) for sample in waiting]))
        if self._prediction is not None:
            scored = self._prediction.baseline.kind == "numeric"
            parts = [_said(sample.prediction, scored) for sample in waiting if sample.prediction is not None]
            self._prediction.count(_joined(parts))

    def _against_training(self, column: WatchedColumn) -> FeatureDrift:
        trained = np.asarray(column.baseline.counts, dtype=np.int64)
        return _feature_drift(
            column,
            trained,
            column.shown,
            column.overlay,
            evidence=(column.detector.test, column.tolerance, column.baseline_error),
            watched=True,
        )

    def _against_earlier(self, column: WatchedColumn) -> FeatureDrift:
        recent = column.detector.recent(RECENT_BUCKETS)
        earlier = column.detector.total - recent
        evidence = None
        if earlier.any():
            n, filled = int(earlier.sum()), int(np.count_nonzero(earlier))
            tolerance = effective_tolerance(self._tolerance, n, filled)
            evidence = TolerantTest(earlier), tolerance, effective_tolerance(0.0, n, filled)
        return _feature_drift(column, earlier, recent, recent, evidence=evidence, watched=False)


def _feature_drift(
    column: WatchedColumn,
    before: Counts,
    live: Counts,
    overlay: Counts,
    *,
    evidence: tuple[TolerantTest, float, float] | None,
    watched: bool,
) -> FeatureDrift:
    """One column's row: `evidence` is the test against `before`, its tolerance, and the error of `before` itself."""
    cells, n = column.cells, int(live.sum())
    known = n > 0 and evidence is not None
    kl, log_e = 0.0, 0.0
    if known and evidence is not None:
        test, tolerance, error = evidence
        kl = test.kl_lower(live, _LEVEL, error)
        log_e = float(test.log_e(live[None, :], tolerance)[0])
    shares = {
        name: float(live[index] / n) if n and index is not None else 0.0
        for name, index in (
            ("missing", cells.missing_index),
            ("wrong_type", cells.wrong_type_index),
            ("unseen", cells.unseen_index),
        )
    }
    return FeatureDrift(
        name=column.baseline.name,
        kind=column.baseline.kind,
        n=n,
        psi=psi(before, live) if known else None,
        psi_noise=psi_noise(n, int(before.sum()), cells.size).mean if known else None,
        kl_lower=kl,
        e_value=math.exp(min(log_e, _LARGEST_LOG)),
        alarm=watched and column.alarmed_since is not None,
        since=column.alarmed_since if watched else None,
        cause=column.cause if watched else None,
        cells=column.labels,
        baseline_counts=tuple(before.tolist()),
        live_counts=tuple(overlay.tolist()),
        **shares,
    )


def _ended(alarm: AlarmChange) -> AlarmChange:
    says = f"{alarm.key.removeprefix('feature/')} is back within tolerance of training"
    return msgspec.structs.replace(alarm, says=says, action="Nothing to do.", ended=True)


def _column_of(sample: Sample, name: str) -> Column:
    column = sample.features.get(name)
    if column is None:
        return [None] * sample.rows
    # Rows of tensors are no numbers: as a list each counts as one value of a wrong type.
    return list(column) if isinstance(column, np.ndarray) and column.ndim != 1 else column


def _said(prediction: Prediction, scored: bool) -> Column:
    return (prediction.scores if scored else prediction.labels) or ()


def _joined(parts: list[Column]) -> Column:
    """One column of several; arrays of numbers stay one array."""
    if len(parts) == 1:
        return parts[0]
    arrays = [part for part in parts if isinstance(part, np.ndarray) and part.dtype.kind in "fiu"]
    if arrays and len(arrays) == len(parts):
        return np.concatenate(arrays)
    return [value for part in parts for value in (part.tolist() if isinstance(part, np.ndarray) else part)]
