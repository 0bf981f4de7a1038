"""The e-detector: when did the rows of one feature leave the tolerated ball around its baseline?

Keeps: while nothing leaves the ball, the mean number of buckets with rows until `alarm` is at least `threshold`,
for any number of looks. S sums the e-values of a subset of start times, and a subset only lowers S.
Does not: latch, name a cause, or know of other features (`threshold` pays for their number).
Called by: the drift observer, once a bucket. Memory: at most 64 rows of counts and one total.
Source: Shin, Ramdas & Rinaldo 2024, "E-detectors" (Shiryaev-Roberts form).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidecar.stats.eprocess import TolerantTest

MOST_BUCKETS = 64
_AGES = (1, 2, 4, 8, 16, 32, 64)


class ClosedBucket(msgspec.Struct, frozen=True):
    """Counts of one closed bucket with rows; `started_at` in seconds since the epoch."""

    started_at: float
    counts: tuple[int, ...]


class EDetectorState(msgspec.Struct, frozen=True):
    """All that a detector must keep over a restart; the baseline and the settings are given anew."""

    began_at: float
    opened_at: float
    log_s: float
    total: tuple[int, ...]
    buckets: tuple[ClosedBucket, ...]


def threshold(false_alarm_days: float, bucket_s: float, features: int) -> float:
    """Threshold of S for one false alarm per `false_alarm_days` over all `features` of a deployment.

    >>> threshold(30, 60, 50)
    2160000.0
    """
    if not (false_alarm_days > 0 and bucket_s > 0 and features > 0):
        raise ValueError("days, seconds of a bucket and features are all above zero")
    return false_alarm_days * 86_400.0 / bucket_s * features


class EDetector:
    """Shiryaev-Roberts sum of tolerant e-processes begun 1, 2, 4 ... 64 buckets ago and at the very start.

    >>> detector = EDetector([500, 500], tolerance=0.005, threshold=43_200, now=0.0)
    >>> detector.close([52, 48], now=60.0)
    >>> detector.alarm
    False
    >>> detector.close([190, 10], now=120.0)
    >>> detector.alarm, detector.onset
    (True, 60.0)
    """

    def __init__(self, baseline_counts: ArrayLike, tolerance: float, threshold: float, *, now: float) -> None:
        if not threshold > 1:
            raise ValueError(f"a threshold lies above 1, not {threshold}")
        if not (tolerance >= 0 and math.isfinite(tolerance)):
            raise ValueError(f"a tolerance is finite and not negative, not {tolerance}")
        self.test = TolerantTest(baseline_counts)
        self._tolerance = tolerance
        self._log_threshold = math.log(threshold)
        self.reset(now)

    def reset(self, now: float) -> None:
        """Forgets every row: evidence begins anew at `now`."""
        self._began_at = now
        self._opened_at = now
        self._log_s = -math.inf
        self._total = np.zeros(self.test.cells, dtype=np.int64)
        self._buckets: list[ClosedBucket] = []

    def close(self, bucket_counts: ArrayLike, now: float) -> None:
        """Folds the bucket that ends at `now` (integer counts of shape (B,)) and looks.

        A bucket without rows says nothing: the evidence stays as it was.
        """
        counts = np.asarray(bucket_counts)
        if counts.shape != (self.test.cells,):
            raise ValueError(f"a bucket has {self.test.cells} cells, got shape {counts.shape}")
        if np.any(counts < 0) or np.any(counts != np.floor(counts)):
            raise ValueError("counts of a bucket are whole numbers, none negative")
        started_at, self._opened_at = self._opened_at, now
        if not counts.any():
            return
        self._total += counts.astype(np.int64)
        self._buckets.append(ClosedBucket(started_at, tuple(int(count) for count in counts)))
        del self._buckets[:-MOST_BUCKETS]
        log_e = self.test.log_e(self._starts(), self._tolerance)
        peak = float(log_e.max())
        self._log_s = peak if math.isinf(peak) else peak + math.log(float(np.exp(log_e - peak).sum()))

    @property
    def log_s(self) -> float:
        """Log of S after the last bucket with rows; minus infinity before the first."""
        return self._log_s

    @property
    def alarm(self) -> bool:
        """Whether S stands at or above the threshold now."""
        return self._log_s >= self._log_threshold

    @property
    def onset(self) -> float:
        """Start (seconds since the epoch) of the run of buckets that speaks loudest for a change.

        Looks at every bucket still held; when all that was ever seen speaks louder, the very beginning.
        """
        if not self._buckets:
            return self._began_at
        suffixes = np.cumsum(self._counts()[::-1], axis=0)
        log_e = self.test.log_e(np.vstack([suffixes, self._total]), self._tolerance)
        best = int(np.argmax(log_e))
        return self._began_at if best == len(self._buckets) else self._buckets[-1 - best].started_at

    @property
    def total(self) -> NDArray[np.int64]:
        """Counts of all rows since the start or the last reset (shape (B,), a copy)."""
        return self._total.copy()

    def since(self, start: float) -> NDArray[np.int64]:
        """Counts of the held buckets that began at or after `start` (shape (B,))."""
        held = [bucket.counts for bucket in self._buckets if bucket.started_at >= start]
        counts: NDArray[np.int64] = np.asarray(held, dtype=np.int64).reshape(-1, self.test.cells).sum(axis=0)
        return counts

    def recent(self, buckets: int) -> NDArray[np.int64]:
        """Counts of the latest `buckets` held buckets with rows (shape (B,))."""
        held = [bucket.counts for bucket in self._buckets[-buckets:]]
        counts: NDArray[np.int64] = np.asarray(held, dtype=np.int64).reshape(-1, self.test.cells).sum(axis=0)
        return counts

    def snapshot(self) -> EDetectorState:
        """State of plain numbers for `restore`."""
        total = tuple(int(count) for count in self._total)
        log_s = max(self._log_s, -1e308) if self._log_s < 0 else min(self._log_s, 1e308)
        return EDetectorState(self._began_at, self._opened_at, log_s, total, tuple(self._buckets))

    def restore(self, state: EDetectorState) -> None:
        """Takes up a snapshot; ValueError if its cells are not this baseline's."""
        rows = [state.total, *(bucket.counts for bucket in state.buckets)]
        if any(len(row) != self.test.cells or min(row) < 0 for row in rows):
            raise ValueError(f"the snapshot was not made with these {self.test.cells} cells")
        self._began_at, self._opened_at = state.began_at, state.opened_at
        self._log_s = state.log_s if any(state.total) else -math.inf
        self._total = np.asarray(state.total, dtype=np.int64)
        self._buckets = list(state.buckets[-MOST_BUCKETS:])

    def _counts(self) -> NDArray[np.int64]:
        return np.asarray([bucket.counts for bucket in self._buckets], dtype=np.int64)

    def _starts(self) -> NDArray[np.int64]:
        suffixes = np.cumsum(self._counts()[::-1], axis=0)
        rows = [suffixes[age - 1] for age in _AGES if age <= len(suffixes)]
        if not np.array_equal(rows[-1], self._total):  # each start counts once
            rows.append(self._total)
        return np.asarray(rows)
