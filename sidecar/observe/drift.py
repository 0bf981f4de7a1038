"""Live inputs and predictions against what training saw (skew) and against healthy live traffic (drift).

Keeps: the budget of one false alarm per `false_alarm_days` for all columns together, in either comparison; one
baseline, whose digest a snapshot must match. Counting and judging are apart: counts of buckets may come from anywhere
(`merge`), and are judged as if they had been counted here.
Does not: decide what follows from an alarm, sample (the intake does), keep rows, read a clock.
Called by: the control's intake (`fold`, `pass_over`, `tick`) and whoever asks for a report.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import Baseline
from sidecar.observe.alarms import alarms_in
from sidecar.observe.bucket_counts import BucketCounts, BucketDocument, least_names
from sidecar.observe.column_document import ColumnDocument
from sidecar.observe.counting import Counting
from sidecar.observe.drift_report import against_baselines, against_earlier, rows_of, without_evidence
from sidecar.observe.feature_cause import feature_cause
from sidecar.observe.judging import Judging, explanations
from sidecar.observe.reference import Reference, ReferenceDocument, by_column
from sidecar.observe.ruler import Ruler
from sidecar.records import Sample
from sidecar.reports import AlarmChange, Cause, DriftReport, ExtraColumn
from sidecar.stats.edetector import MOST_BUCKETS, threshold

Counts = NDArray[np.int64]

_FORMAT: Literal[2] = 2


class RowTotals(msgspec.Struct):
    """Rows that came, those of them that were counted, and those of which nothing could be read."""

    seen: int = 0
    sampled: int = 0
    undecodable: int = 0

    def add(self, other: RowTotals) -> None:
        """Adds another one's."""
        self.seen += other.seen
        self.sampled += other.sampled
        self.undecodable += other.undecodable


class _HandedOver(msgspec.Struct, frozen=True):
    """Counts on their way from the process that counted to the one that judges."""

    baseline_digest: str
    bucket_s: float
    totals: RowTotals
    buckets: tuple[BucketDocument, ...]


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[2]
    baseline_digest: str
    bucket_s: float
    next_index: int
    totals: RowTotals
    handed: RowTotals
    extra: dict[str, int]
    open: tuple[BucketDocument, ...]
    skew: dict[int, ColumnDocument]
    reference: ReferenceDocument | None
    told: tuple[AlarmChange, ...]


class DriftObserver:
    """Watches the prediction, every feature and the schema of one deployment's champion against one baseline.

    `bucket_s`: seconds of a bucket, which are aligned to the epoch; `tolerance`: drift in nats that nobody needs to
    know about; `now`: seconds since the epoch; `name_values`: whether values of rows may be in a snapshot.
    """

    def __init__(
        self,
        baseline: Baseline,
        *,
        bucket_s: float,
        false_alarm_days: float,
        tolerance: float,
        now: float,
        name_values: bool = False,
    ) -> None:
        self._baseline = baseline
        self._ruler = Ruler(baseline)
        self._bucket_s = bucket_s
        self._tolerance = tolerance
        self._name_values = name_values
        # Even the most generous budget keeps one look in twenty honest.
        self._threshold = max(20.0, threshold(false_alarm_days, bucket_s, len(self._ruler.columns)))
        self._counting = Counting(self._ruler, bucket_s, now)
        self._skew = self._judging(now)
        self._reference: Reference | None = None
        self._totals, self._handed = RowTotals(), RowTotals()
        self._extra: dict[str, int] = {}
        self._told: dict[str, AlarmChange] = {}
        self._reports: dict[str, DriftReport] = {}

    # --- counting --------------------------------------------------------------------------------------------

    def fold(self, sample: Sample) -> None:
        """Takes the rows of one sampled exchange; one that shares no column with the baseline is undecodable."""
        if not sample.rows:
            return
        if not self._counting.add(sample):
            self.count_undecodable(sample.rows, sample.at)
            return
        self._totals.seen += sample.rows
        self._totals.sampled += sample.rows
        if self._reports:
            self._reports.clear()

    @property
    def rows_sampled(self) -> int:
        """Rows that were counted."""
        return self._totals.sampled

    def pass_over(self, rows: int) -> None:
        """Counts rows that were seen but not sampled."""
        self._reports.clear()
        self._totals.seen += rows

    def count_undecodable(self, rows: int = 1, at: float | None = None) -> None:
        """Counts rows (1 where their number is unknown) whose features could not be read, at `at` or just now."""
        self._reports.clear()
        self._totals.seen += rows
        self._totals.undecodable += rows
        self._counting.add_unreadable(rows, at)

    def hand_over(self, now: float) -> bytes:
        """The buckets that ended by `now`, to be judged elsewhere (`merge`); here they are forgotten.

        A process that hands over does not `tick`.
        """
        self._reports.clear()
        self._follow_clock(now)
        totals, handed = self._totals, self._handed
        since = RowTotals(
            totals.seen - handed.seen, totals.sampled - handed.sampled, totals.undecodable - handed.undecodable
        )
        self._handed = RowTotals(totals.seen, totals.sampled, totals.undecodable)
        buckets = self._counting.take(self._counting.index_of(now))
        # On its way to the one that judges a value may be named: only what is stored may not.
        documents = tuple(bucket.to_document(name_values=True) for bucket in buckets)
        return msgspec.msgpack.encode(_HandedOver(self._baseline.digest, self._bucket_s, since, documents))

    def merge(self, handed: bytes) -> None:
        """Adds what another process counted; ValueError, and nothing added, where it is damaged or does not fit.

        What comes before `tick` has passed its buckets is judged bit for bit as if it had been counted here; what
        comes later is counted in the oldest open bucket.
        """
        found = msgspec.msgpack.decode(handed, type=_HandedOver)  # msgspec's errors are ValueErrors as well
        if found.baseline_digest != self._baseline.digest or found.bucket_s != self._bucket_s:
            raise ValueError("the counts were made with another baseline or other buckets")
        buckets = [BucketCounts.from_document(document, self._ruler) for document in found.buckets]
        self._reports.clear()
        self._totals.add(found.totals)
        for bucket in buckets:
            self._counting.merge(bucket)

    # --- judging ---------------------------------------------------------------------------------------------

    def tick(self, now: float) -> tuple[AlarmChange, ...]:
        """Judges every bucket that ended by `now`; the alarms that began, ended, or found their cause."""
        self._follow_clock(now)
        due = self._counting.index_of(now)
        if due <= self._counting.next_index:
            return ()
        changed: set[int] = set()
        for bucket in self._counting.take(due):
            started_at = bucket.index * self._bucket_s
            changed |= self._skew.judge(bucket, started_at, started_at + self._bucket_s)
            if self._reference is not None:
                self._reference.judging.judge(bucket, started_at, started_at + self._bucket_s)
            if bucket.extra:
                self._extra = least_names(Counter(self._extra) + Counter(bucket.extra))
        self._reports.clear()
        if not changed:
            return ()
        keys = {self._ruler.key(number) for number in changed}
        standing = {alarm.key: alarm for alarm in alarms_in(self.report())}
        over = [_ended(alarm) for key, alarm in self._told.items() if key not in standing]
        self._told = standing
        return (*over, *(alarm for key, alarm in standing.items() if key in keys))

    def freeze_reference(self, now: float, fewest_rows: int = 1) -> bool:
        """Makes the last 64 buckets with rows what drift is measured against from now on; False with too few rows.

        That they are healthy is for whoever freezes to say.
        """
        columns = self._skew.columns
        parts = {number: column.detector.recent(MOST_BUCKETS) for number, column in columns.items()}
        if max((int(parts[number].sum()) for number in self._ruler.features), default=0) < fewest_rows:
            return False
        self._reports.clear()
        counts = by_column(self._ruler, parts)
        self._reference = Reference(
            self._ruler, counts, frozen_at=now, tolerance=self._tolerance, threshold=self._threshold
        )
        return True

    @property
    def reference_at(self) -> float | None:
        """When the reference was frozen; None while there is none."""
        return None if self._reference is None else self._reference.frozen_at

    def confirm(self, feature: str, cause: Cause) -> None:
        """Takes the cause of a feature's open alarm with what was proved of it."""
        number = self._ruler.numbers.get(feature)
        if number is not None:
            self._skew.columns[number].confirm(cause)
            self._reports.clear()

    # --- what is known ---------------------------------------------------------------------------------------

    def report(self, against: Literal["training", "recent"] = "training") -> DriftReport:
        """All columns now. `recent`: against the frozen reference, else the last 16 buckets against all before."""
        buckets = self._counting.counted()
        if against in self._reports:
            return self._reports[against]
        counted = [bucket.cells for bucket in buckets]
        open_counts = np.sum(counted, axis=0) if counted else np.zeros(self._ruler.size, dtype=np.int64)
        reference = self._reference if against == "recent" else None
        judging = self._skew if reference is None else reference.judging
        if against == "training" or reference is not None:
            drifts = against_baselines(self._ruler, judging, open_counts)
        else:
            drifts = against_earlier(self._ruler, judging, self._tolerance)
        features, prediction, schema = rows_of(
            self._ruler, drifts, lambda number: without_evidence(self._skew.columns[number])
        )
        extra = least_names(sum((Counter(bucket.extra) for bucket in buckets), Counter(self._extra)))
        report = DriftReport(
            against=against,
            baseline_model=self._baseline.model,
            baseline_version=self._baseline.version,
            baseline_digest=self._baseline.digest,
            rows_seen=self._totals.seen,
            rows_sampled=self._totals.sampled,
            undecodable=self._totals.undecodable,
            severity="none",
            features=features,
            prediction=prediction,
            schema=schema,
            reference_at=None if reference is None else reference.frozen_at,
            reference_rows=None if reference is None else reference.rows,
            moved_now=tuple(self._ruler.key(number) for number in judging.moved_now()),
            extra=tuple(ExtraColumn(*pair) for pair in sorted(extra.items(), key=lambda pair: (-pair[1], pair[0]))),
        )
        gravest = next((alarm.severity for alarm in alarms_in(report)), "none")
        self._reports[against] = msgspec.structs.replace(report, severity=gravest)
        return self._reports[against]

    # --- over restarts ---------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        buckets = self._counting.counted()
        return msgspec.msgpack.encode(
            _Snapshot(
                format=_FORMAT,
                baseline_digest=self._baseline.digest,
                bucket_s=self._bucket_s,
                next_index=self._counting.next_index,
                totals=self._totals,
                handed=self._handed,
                extra=self._extra,
                open=tuple(bucket.to_document(name_values=self._name_values) for bucket in buckets),
                skew=self._skew.to_document(name_values=self._name_values),
                reference=self._reference.to_document() if self._reference is not None else None,
                told=tuple(self._told.values()),
            )
        )

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged or of another baseline."""
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)
        if stored.baseline_digest != self._baseline.digest or stored.bucket_s != self._bucket_s:
            raise ValueError("the snapshot belongs to another baseline or to other buckets")
        counting = Counting(self._ruler, self._bucket_s, stored.next_index * self._bucket_s)
        for document in stored.open:
            counting.merge(BucketCounts.from_document(document, self._ruler))
        skew, reference = self._judging(0.0), None
        skew.restore(stored.skew)
        if stored.reference is not None:
            reference = Reference.from_document(
                stored.reference, self._ruler, tolerance=self._tolerance, threshold=self._threshold
            )
        self._counting, self._skew, self._reference = counting, skew, reference
        self._totals, self._handed = stored.totals, stored.handed
        self._extra = least_names(Counter(stored.extra))
        self._told = {alarm.key: alarm for alarm in stored.told}
        self._reports.clear()

    def _judging(self, now: float) -> Judging:
        return Judging(
            self._ruler,
            dict(enumerate(self._ruler.columns)),
            tolerance=self._tolerance,
            threshold=self._threshold,
            now=now,
            explains=explanations(self._ruler, feature_cause),
        )

    def _follow_clock(self, now: float) -> None:
        """A clock that was set back dates everything anew: what is known stays as long ago as it was."""
        back = self._counting.index_of(now) - self._counting.next_index
        if back >= -1:
            return
        self._counting.shift(back)
        self._skew.shift(back * self._bucket_s)
        if self._reference is not None:
            self._reference.shift(back * self._bucket_s)
        self._told = {
            key: msgspec.structs.replace(alarm, since=alarm.since + back * self._bucket_s)
            for key, alarm in self._told.items()
        }


def _ended(alarm: AlarmChange) -> AlarmChange:
    says = f"{alarm.key.removeprefix('feature/')} is back within tolerance of training"
    return msgspec.structs.replace(alarm, says=says, action="Nothing to do.", ended=True)
