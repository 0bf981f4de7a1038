"""One column (a feature or the prediction) watched against its baseline: counts, evidence, alarm, cause.

Keeps: every row falls into exactly one frozen cell; memory is bounded (64 buckets of counts, log histograms of about
2,000 recent rows); an alarm stays until the evidence for it is gone: 30 buckets with rows in a run in which neither
a bucket nor the run as a whole speaks against the tolerance (E < 20), and the run speaks for it (E < 1).
Does not: know of other columns or of time beyond the buckets it is given.
Called by: the drift observer.
"""

from __future__ import annotations

import math
from collections import Counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import FeatureBaseline
from registry_client.cells import CategoricalCells
from registry_client.column import Column, category_text, numbers_in
from registry_client.log_histogram import LogHistogram, LogHistogramDocument
from sidecar.observe.feature_cause import Moved, feature_cause, printable
from sidecar.observe.frequent_values import FrequentValues
from sidecar.reports import Cause
from sidecar.stats.edetector import MOST_BUCKETS, EDetector, EDetectorState
from sidecar.stats.tolerance import effective_tolerance

Counts = NDArray[np.int64]

QUIET_BUCKETS = 30
_LOG_LOUD = math.log(20.0)
_ROWS_HELD = 2_000
_FEWEST_ROWS = 50  # naming says nothing on fewer
_NAMES = 16
_TYPE_NAMES = {str: "text", bool: "boolean", list: "list", tuple: "list", dict: "object"}


class NumbersOfBucket(msgspec.Struct, frozen=True):
    """Log histogram of one closed bucket; `started_at` in seconds since the epoch."""

    started_at: float
    numbers: LogHistogramDocument


class ColumnAlarm(msgspec.Struct, frozen=True):
    """An open alarm: since when, why, and the run of quiet buckets that may end it."""

    since: float
    cause: Cause | None
    quiet_buckets: int
    quiet_counts: tuple[int, ...]


class ColumnDocument(msgspec.Struct, frozen=True):
    """All that a watched column keeps over a restart."""

    detector: EDetectorState
    opened_at: float
    open_counts: tuple[int, ...]
    open_numbers: LogHistogramDocument
    recent: tuple[NumbersOfBucket, ...]
    unseen: tuple[tuple[str, int], ...]
    frequent: tuple[tuple[float, int], ...]
    wrong_types: tuple[tuple[str, int], ...]
    alarm: ColumnAlarm | None


class WatchedColumn:
    """`names_causes` False: the prediction, whose shift is reported but not explained."""

    def __init__(
        self, baseline: FeatureBaseline, *, tolerance: float, threshold: float, now: float, names_causes: bool = True
    ) -> None:
        self.baseline = baseline
        self.cells = baseline.cells
        self.labels = self.cells.labels
        filled = sum(count > 0 for count in baseline.counts)
        self.baseline_error = effective_tolerance(0.0, baseline.n, filled)
        self.tolerance = effective_tolerance(tolerance, baseline.n, filled)
        self.detector = EDetector(baseline.counts, self.tolerance, threshold, now=now)
        self._names_causes = names_causes
        self._opened_at = now
        self._open = np.zeros(self.cells.size, dtype=np.int64)
        self._open_numbers = LogHistogram()
        self._recent: list[tuple[float, LogHistogram]] = []
        self._unseen = FrequentValues[str](_NAMES)
        self._frequent = FrequentValues[float](_NAMES)
        self._wrong_types: Counter[str] = Counter()
        self._alarm: ColumnAlarm | None = None

    @property
    def alarmed_since(self) -> float | None:
        """Onset of the open alarm in seconds since the epoch; None when all is well."""
        return self._alarm.since if self._alarm else None

    @property
    def cause(self) -> Cause | None:
        """Cause of the open alarm, if there is one and it was looked for."""
        return self._alarm.cause if self._alarm else None

    @property
    def shown(self) -> Counts:
        """Counts to report: since the onset while alarmed (64 buckets at most), else since counting began."""
        closed = self.detector.total if self._alarm is None else self.detector.since(self._alarm.since)
        return closed + self._open

    @property
    def overlay(self) -> Counts:
        """Counts of about the last 64 buckets with rows, or since the onset while alarmed."""
        closed = self.detector.recent(MOST_BUCKETS) if self._alarm is None else self.detector.since(self._alarm.since)
        return closed + self._open

    def count(self, column: Column) -> None:
        """Counts the values of some rows into the open bucket."""
        counts = self.cells.count(column)
        self._open += counts
        if counts[self.cells.wrong_type_index]:
            self._count_types(column)
        if isinstance(self.cells, CategoricalCells):
            if counts[self.cells.unseen_index]:
                for text, count in self.cells.unseen(column).most_common(_NAMES):
                    self._unseen.add(printable(text), count)
            return
        numbers, _ = numbers_in(column)
        self._open_numbers.update(numbers[~np.isnan(numbers)])
        distinct, repeats = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
        for index in np.flatnonzero(repeats >= max(2.0, 0.05 * len(column))):
            self._frequent.add(float(distinct[index]), int(repeats[index]))

    def close(self, now: float) -> bool:
        """Closes the open bucket at `now`; whether the alarm began, ended, or changed its cause."""
        bucket, started_at = self._open, self._opened_at
        self.detector.close(bucket, now)
        self._opened_at = now
        self._open = np.zeros(self.cells.size, dtype=np.int64)
        if not bucket.any():
            return False
        self._hold_numbers(started_at)
        before = self._alarm
        if before is None:
            if not self.detector.alarm:
                self._fade()
                return False
            nothing = (0,) * self.cells.size
            self._alarm = ColumnAlarm(self.detector.onset, None, 0, nothing)
        else:
            self._alarm = self._after_bucket(before, bucket)
            if self._alarm is None:
                self.detector.reset(now)
                self._fade()
                return True
        self._explain()
        self._fade()
        return before is None or _identity(before.cause) != _identity(self._alarm.cause)

    def to_document(self) -> ColumnDocument:
        """All of it, for the snapshot."""
        return ColumnDocument(
            detector=self.detector.snapshot(),
            opened_at=self._opened_at,
            open_counts=tuple(self._open.tolist()),
            open_numbers=self._open_numbers.to_document(),
            recent=tuple(NumbersOfBucket(started_at, held.to_document()) for started_at, held in self._recent),
            unseen=self._unseen.pairs(),
            frequent=self._frequent.pairs(),
            wrong_types=tuple(self._wrong_types.items()),
            alarm=self._alarm,
        )

    def restore(self, document: ColumnDocument) -> None:
        """Takes up a document; ValueError where it does not fit these cells."""
        quiet = document.alarm.quiet_counts if document.alarm else document.open_counts
        if not len(document.open_counts) == len(quiet) == self.cells.size or min(document.open_counts) < 0:
            raise ValueError(f"the snapshot of {self.baseline.name!r} was not made with these cells")
        recent = [(held.started_at, LogHistogram.from_document(held.numbers)) for held in document.recent]
        open_numbers = LogHistogram.from_document(document.open_numbers)
        self.detector.restore(document.detector)
        self._opened_at = document.opened_at
        self._open = np.asarray(document.open_counts, dtype=np.int64)
        self._open_numbers, self._recent = open_numbers, recent
        self._unseen = FrequentValues(_NAMES, document.unseen)
        self._frequent = FrequentValues(_NAMES, document.frequent)
        self._wrong_types = Counter(dict(document.wrong_types))
        self._alarm = document.alarm

    def _after_bucket(self, alarm: ColumnAlarm, bucket: Counts) -> ColumnAlarm | None:
        """The alarm after one more bucket with rows; None once it is over."""
        run = np.asarray(alarm.quiet_counts, dtype=np.int64) + bucket
        alone, together = self.detector.test.log_e(np.vstack([bucket, run]), self.tolerance)
        if max(alone, together) >= _LOG_LOUD:
            return msgspec.structs.replace(alarm, quiet_buckets=0, quiet_counts=(0,) * self.cells.size)
        buckets = alarm.quiet_buckets + 1
        if buckets >= QUIET_BUCKETS and together < 0:
            return None
        return msgspec.structs.replace(alarm, quiet_buckets=buckets, quiet_counts=tuple(run.tolist()))

    def _explain(self) -> None:
        """Looks for the cause; one that was named stays, and only its share is kept up to date."""
        if self._alarm is None or not self._names_causes:
            return
        since, known = self._alarm.since, self._alarm.cause
        # The onset's own bucket holds rows from before the change too: later ones tell the share.
        found = self._cause_from(math.nextafter(since, math.inf))
        if known is not None and known.kind != "unexplained":
            if _identity(found) == _identity(known) and self._alarm.quiet_buckets == 0:
                self._alarm = msgspec.structs.replace(self._alarm, cause=found)
            return
        if found is None or found.kind == "unexplained":
            found = self._cause_from(since, fewest_rows=0)
        self._alarm = msgspec.structs.replace(self._alarm, cause=found)

    def _cause_from(self, start: float, fewest_rows: int = _FEWEST_ROWS) -> Cause | None:
        """The cause that buckets begun at or after `start` support; None where they hold too few rows."""
        counts = self.detector.since(start)
        if counts.sum() < fewest_rows:
            return None
        numbers = LogHistogram()
        for started_at, held in self._recent:
            if started_at >= start:
                numbers.merge(held)
        moved = Moved(
            counts=counts,
            numbers=numbers,
            frequent=self._frequent.top(_NAMES),
            unseen=self._unseen.top(_NAMES),
            wrong_type=max(self._wrong_types, key=self._wrong_types.__getitem__, default=None),
        )
        return feature_cause(self.baseline, moved, self.tolerance)

    def _hold_numbers(self, started_at: float) -> None:
        if self._open_numbers.total:
            self._recent.append((started_at, self._open_numbers))
            self._open_numbers = LogHistogram()
        while len(self._recent) > 1 and (
            len(self._recent) > MOST_BUCKETS or sum(held.total for _, held in self._recent[1:]) >= _ROWS_HELD
        ):
            del self._recent[0]

    def _fade(self) -> None:
        self._unseen.fade()
        self._frequent.fade()
        self._wrong_types = Counter({name: count // 2 for name, count in self._wrong_types.items() if count > 1})

    def _count_types(self, column: Column) -> None:
        numeric = self.baseline.kind == "numeric"
        for value in column[:_ROWS_HELD]:
            plain = value.item() if isinstance(value, np.generic) else value
            wrong = isinstance(plain, (str, bool)) if numeric else category_text(plain) is None
            if wrong or isinstance(plain, (list, tuple, dict)):
                self._wrong_types[_TYPE_NAMES.get(type(plain), "another type")] += 1


def _identity(cause: Cause | None) -> tuple[object, ...] | None:
    """What makes two causes the same although their shares differ."""
    return None if cause is None else (cause.kind, cause.factor, cause.offset, cause.value, cause.type_to)
