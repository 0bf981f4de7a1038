"""The e-detector: when did the rows of one feature leave the tolerated ball around its baseline?

Keeps: while nothing leaves the ball, the mean number of buckets with rows until `alarm` is at least `threshold`,
for any number of looks. S sums the e-values of a subset of start times, and a subset only lowers S.
Rows that depend on each other are counted as fewer: every count is divided by the over-dispersion of the held buckets.
Does not: latch, name a cause, or know of other features (`threshold` pays for their number).
Called by: the drift observer, once a bucket; `edetectors` closes the bucket of many columns in one sweep.
Memory: at most 64 rows of counts (2 bytes a cell, 4 where a count needs them) and one total.
Source: Shin, Ramdas & Rinaldo 2024, "E-detectors" (Shiryaev-Roberts form).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidecar.stats.eprocess import TolerantTest
from sidecar.stats.overdispersion import Overdispersion, take_note

MOST_BUCKETS = 64
_AGES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# Most starts that one look weighs: the ages, and everything since the beginning.
MOST_STARTS = len(_AGES) + 1
_LARGEST_COUNT = int(np.iinfo(np.uint32).max)
_TWO_BYTES = int(np.iinfo(np.uint16).max)  # most buckets' counts take no more
Held = NDArray[np.unsignedinteger]


class ClosedBucket(msgspec.Struct, frozen=True):
    """Counts of one closed bucket with rows; `started_at` in seconds since the epoch."""

    started_at: float
    counts: tuple[int, ...]


class EDetectorState(msgspec.Struct, frozen=True):
    """All that a detector must keep over a restart; the baseline and the settings are given anew.

    `overdispersion` is what was known of it before the held buckets.
    """

    began_at: float
    opened_at: float
    log_s: float
    total: tuple[int, ...]
    buckets: tuple[ClosedBucket, ...]
    overdispersion: float = 1.0


def threshold(false_alarm_days: float, bucket_s: float, features: int) -> float:
    """Threshold of S for one false alarm per `false_alarm_days` over all `features` of a deployment.

    >>> threshold(30, 60, 50)
    2160000.0
    """
    if not (false_alarm_days > 0 and bucket_s > 0 and features > 0):
        raise ValueError("days, seconds of a bucket and features are all above zero")
    return false_alarm_days * 86_400.0 / bucket_s * features


class EDetector:
    """Shiryaev-Roberts sum of tolerant e-processes begun 1, 2, 3, 4, 6 ... 64 buckets ago and at the very start.

    `overdispersion` stands in until live buckets tell: the baseline's, which is that of whole days and so too large
    rather than too small. `ordered`: how many of the first cells ascend (a numeric column's all but missing and wrong
    type; 0 for a categorical one), `gaps`: what is tolerated of missing and wrong values alone, `moves`: where known
    faults would put the rows, see `TolerantTests`.

    >>> detector = EDetector([500, 500], tolerance=0.005, threshold=43_200, now=0.0)
    >>> detector.close([52, 48], now=60.0)
    >>> detector.alarm
    False
    >>> detector.close([190, 10], now=120.0)
    >>> detector.alarm, detector.onset
    (True, 60.0)
    """

    def __init__(
        self,
        baseline_counts: ArrayLike,
        tolerance: float,
        threshold: float,
        *,
        now: float,
        overdispersion: float = 1.0,
        ordered: int = 0,
        gaps: float | None = None,
        moves: ArrayLike | None = None,
    ) -> None:
        if not threshold > 1:
            raise ValueError(f"a threshold lies above 1, not {threshold}")
        if not (tolerance >= 0 and math.isfinite(tolerance)):
            raise ValueError(f"a tolerance is finite and not negative, not {tolerance}")
        test = TolerantTest(baseline_counts, ordered)  # refuses counts that are none
        self.baseline, self.ordered, self.gaps, self.moves = test.baseline, ordered, gaps, moves
        self._cells = test.cells
        self._test: TolerantTest | None = None
        self.tolerance = float(tolerance)
        self._log_threshold = math.log(threshold)
        self.dependence = Overdispersion(MOST_BUCKETS, overdispersion)
        self.reset(now)

    @property
    def test(self) -> TolerantTest:
        """The e-process of this column alone; made when it is first asked for (`EDetectors` has one for all)."""
        if self._test is None:
            self._test = TolerantTest(self.baseline, self.ordered, apart=True, gaps=self.gaps, moves=self.moves)
        return self._test

    def reset(self, now: float) -> None:
        """Forgets every row: evidence begins anew at `now`. How rows depend on each other is remembered."""
        self._began_at = now
        self._opened_at = now
        self._log_s = -math.inf
        self._total = np.zeros(self._cells, dtype=np.int64)
        self._counts: Held = np.zeros((0, self._cells), dtype=np.uint16)
        self._started_at = np.zeros(0)
        self.dependence = Overdispersion(MOST_BUCKETS, self.dependence.factor)

    def close(self, bucket_counts: ArrayLike, now: float, started_at: float | None = None) -> None:
        """Folds the bucket that ends at `now` (integer counts of shape (B,)) and looks.

        It began at `started_at`, by default where the last one ended. A bucket without rows says nothing: the
        evidence stays as it was.
        """
        if self.fold(self.whole(bucket_counts), now, started_at):
            take_note([self.dependence], [self.held])
            self.look(self.test.log_e(self.starts(), self.tolerance))

    def whole(self, bucket_counts: ArrayLike) -> NDArray[np.int64]:
        """The counts of a bucket as integers of shape (B,); ValueError where they are none."""
        counts = np.asarray(bucket_counts)
        if counts.shape != (self._cells,):
            raise ValueError(f"a bucket has {self._cells} cells, got shape {counts.shape}")
        if np.any(counts < 0) or np.any(counts > _LARGEST_COUNT) or np.any(counts != np.floor(counts)):
            raise ValueError(f"counts of a bucket are whole numbers from 0 to {_LARGEST_COUNT}")
        return counts.astype(np.int64)

    def shift(self, seconds: float) -> None:
        """Dates everything so much later (or earlier): for a clock that was set."""
        self._began_at += seconds
        self._opened_at += seconds
        self._started_at = self._started_at + seconds

    def fold(self, counts: NDArray[np.int64], now: float, started_at: float | None = None) -> bool:
        """First half of `close`: adds the bucket that ends at `now`; whether it has rows and a look is due."""
        started_at = self._opened_at if started_at is None else started_at
        self._opened_at = now
        if not counts.any():
            return False
        self._total += counts
        dtype = self._counts.dtype if counts.max() <= _TWO_BYTES else np.dtype(np.uint32)
        self._counts = np.vstack([self._counts[1 - MOST_BUCKETS :], counts.astype(dtype)[None, :]])
        self._started_at = np.append(self._started_at[1 - MOST_BUCKETS :], started_at)
        return True

    def starts(self) -> NDArray[np.float64]:
        """What a look weighs: counts since each start, newest first, over the over-dispersion (at most (13, B))."""
        suffixes = np.cumsum(self._counts[::-1], axis=0, dtype=np.int64)
        rows = [suffixes[age - 1] for age in _AGES if age <= len(suffixes)]
        if not np.array_equal(rows[-1], self._total):  # each start counts once
            rows.append(self._total)
        return np.asarray(rows) / self.dependence.factor

    def look(self, log_e: NDArray[np.float64]) -> None:
        """Second half of `close`: takes the evidence of `starts`."""
        peak = float(log_e.max())
        self._log_s = peak if math.isinf(peak) else peak + math.log(float(np.exp(log_e - peak).sum()))

    @property
    def held(self) -> Held:
        """Counts of the buckets with rows that are held, at most 64, the newest last (shape (T, B))."""
        return self._counts

    @property
    def overdispersion(self) -> float:
        """By what factor live rows are counted as fewer, at least 1; divide counts by it for tests of your own."""
        return self.dependence.factor

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
        if not len(self._counts):
            return self._began_at
        suffixes = np.cumsum(self._counts[::-1], axis=0, dtype=np.int64)
        log_e = self.test.log_e(np.vstack([suffixes, self._total]) / self.dependence.factor, self.tolerance)
        best = int(np.argmax(log_e))
        return self._began_at if best == len(self._counts) else float(self._started_at[-1 - best])

    @property
    def total(self) -> NDArray[np.int64]:
        """Counts of all rows since the start or the last reset (shape (B,), a copy)."""
        return self._total.copy()

    def since(self, start: float) -> NDArray[np.int64]:
        """Counts of the held buckets that began at or after `start` (shape (B,))."""
        counts: NDArray[np.int64] = self._counts[self._started_at >= start].sum(axis=0, dtype=np.int64)
        return counts

    def recent(self, buckets: int) -> NDArray[np.int64]:
        """Counts of the latest `buckets` held buckets with rows (shape (B,)); `buckets` is at least 1."""
        counts: NDArray[np.int64] = self._counts[-buckets:].sum(axis=0, dtype=np.int64)
        return counts

    def snapshot(self) -> EDetectorState:
        """State of plain numbers for `restore`."""
        log_s = max(self._log_s, -1e308) if self._log_s < 0 else min(self._log_s, 1e308)
        held = zip(self._started_at.tolist(), self._counts.tolist(), strict=True)
        buckets = tuple(ClosedBucket(started_at, tuple(counts)) for started_at, counts in held)
        total, prior = tuple(self._total.tolist()), self.dependence.prior
        return EDetectorState(self._began_at, self._opened_at, log_s, total, buckets, prior)

    def restore(self, state: EDetectorState) -> None:
        """Takes up a snapshot; ValueError if its cells are not this baseline's."""
        buckets = state.buckets[-MOST_BUCKETS:]
        rows = [state.total, *(bucket.counts for bucket in buckets)]
        if any(len(row) != self._cells or min(row) < 0 for row in rows):
            raise ValueError(f"the snapshot was not made with these {self._cells} cells")
        if any(max(bucket.counts) > _LARGEST_COUNT for bucket in buckets):
            raise ValueError("a bucket of the snapshot counts more rows than a bucket may have")
        self._began_at, self._opened_at = state.began_at, state.opened_at
        self._log_s = state.log_s if any(state.total) else -math.inf
        self._total = np.asarray(state.total, dtype=np.int64)
        counts = [bucket.counts for bucket in buckets]
        held = np.asarray(counts, dtype=np.uint32).reshape(len(counts), self._cells)
        self._counts = held.astype(np.uint16) if held.max(initial=0) <= _TWO_BYTES else held
        self._started_at = np.asarray([bucket.started_at for bucket in buckets], dtype=np.float64)
        self.dependence = Overdispersion(MOST_BUCKETS, max(1.0, state.overdispersion))
        self.dependence.replace(self._counts)
