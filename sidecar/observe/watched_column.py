"""One column (a feature, the prediction or the schema) judged against a baseline: evidence, alarm, cause.

Keeps: only counts of whole buckets are judged; an alarm stays until the evidence for it is gone: 30 buckets with rows
in a run, holding at least as many rows as had spoken for the alarm, in which neither a bucket nor the run as a whole
speaks against the tolerance (E < 20), and the run lies within it (E < 1, and by its estimate). So traffic at the border
does not flap.
Memory is bounded: 64 buckets of counts, log histograms of about 2,000 recent rows.
Does not: count, know other columns, or know time beyond the buckets it is given. Called by: the judging of a bucket.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import FeatureBaseline
from registry_client.cells import NumericCells
from registry_client.log_histogram import LogHistogram
from sidecar.observe.bucket_counts import NAMES, ColumnPart
from sidecar.observe.cause_over_time import next_cause, same_cause
from sidecar.observe.column_document import ColumnAlarm, ColumnDocument, NumbersOfBucket
from sidecar.observe.feature_cause import Moved, feature_cause, figures_of
from sidecar.observe.frequent_values import FrequentValues
from sidecar.observe.number_counts import HeldNumbers
from sidecar.reports import Cause
from sidecar.stats.edetector import MOST_BUCKETS, EDetector
from sidecar.stats.eprocess import kl_estimate
from sidecar.stats.fault_bets import Moves, fault_moves
from sidecar.stats.tolerance import effective_tolerance

Counts = NDArray[np.int64]
Explain = Callable[[FeatureBaseline, Moved, float], Cause]

QUIET_BUCKETS = 30
_LOG_LOUD = math.log(20.0)
_ROWS_HELD = 2_000
# Once an alarm is open its rows are held together, which takes less memory: so many, since mixtures need them.
_ROWS_TOGETHER = 6_000
_BUCKETS_APART = 8
_MOST_BETWEEN_LOOKS = 16
_FEWEST_ROWS = 50  # naming says nothing on fewer
_FREQUENT_SHARE = 0.05


class WatchedColumn:
    """`explain` None: a shift is reported but not explained, as that of the prediction."""

    def __init__(
        self,
        baseline: FeatureBaseline,
        *,
        tolerance: float,
        threshold: float,
        now: float,
        explain: Explain | None = feature_cause,
    ) -> None:
        self.baseline = baseline
        self.cells = baseline.cells
        self.baseline_error = tolerance_of(baseline, 0.0, natural=0.0)
        self.tolerance = tolerance_of(baseline, tolerance, natural=baseline.natural_variation)
        self.detector = EDetector(
            baseline.counts,
            self.tolerance,
            threshold,
            now=now,
            overdispersion=baseline.overdispersion,
            ordered=ordered_cells(baseline),
            gaps=gap_tolerance(baseline, tolerance, self.tolerance),
            moves=moves_of(baseline),
        )
        self._explain_with = explain
        self._recent: list[tuple[float, HeldNumbers]] = []
        self._unseen = FrequentValues[str](NAMES)
        self._frequent = FrequentValues[float](NAMES)
        self._wrong_types: Counter[str] = Counter()
        self._lengths: Counter[int] = Counter()
        self._absent = 0
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
        """Closed counts to report: since the onset while alarmed (64 buckets at most), else since the beginning."""
        return self.detector.total if self._alarm is None else self.detector.since(self._alarm.since)

    @property
    def overlay(self) -> Counts:
        """Closed counts of about the last 64 buckets with rows, or since the onset while alarmed."""
        return self.detector.recent(MOST_BUCKETS) if self._alarm is None else self.detector.since(self._alarm.since)

    def judge(self, part: ColumnPart, started_at: float, ended_at: float) -> bool:
        """Takes one bucket that the detector has closed; whether the alarm began or ended."""
        if not part.counts.any():
            return False
        self._fade()
        self._remember(part, started_at)
        before = self._alarm
        if before is None:
            if not self.detector.alarm:
                return False
            onset = self.detector.onset
            self._alarm = ColumnAlarm(onset, None, 0, (0,) * self.cells.size, self._rows_since(onset))
        else:
            self._alarm = self._after_bucket(before, part.counts)
            if self._alarm is None:
                self.detector.reset(ended_at)
                return True
        self._alarm = msgspec.structs.replace(self._alarm, buckets=self._alarm.buckets + 1)
        return before is None

    @property
    def explanation_due(self) -> bool:
        """Whether another look for the cause may tell more: when rows since the onset have about doubled."""
        alarm = self._alarm
        if alarm is None or self._explain_with is None:
            return False
        return alarm.buckets >= min(2 * alarm.looked_at, alarm.looked_at + _MOST_BETWEEN_LOOKS)

    @property
    def looked_at(self) -> int:
        """How many buckets the open alarm had at the last look for its cause; 0 before the first."""
        return self._alarm.looked_at if self._alarm is not None else 0

    def explain(self) -> bool:
        """Looks for the cause of the open alarm; whether it is another one now."""
        if self._alarm is None:
            return False
        before = self._alarm.cause
        self._explain()
        self._alarm = msgspec.structs.replace(self._alarm, looked_at=self._alarm.buckets)
        return not same_cause(before, self._alarm.cause)

    def evidence(self) -> Moved | None:
        """What is known since the onset of the open alarm; None where nothing is open or explained here."""
        if self._alarm is None or self._explain_with is None:
            return None
        since = self._alarm.since
        return self._moved(math.nextafter(since, math.inf), _FEWEST_ROWS) or self._moved(since, 0)

    def take_cause(self, cause: Cause) -> bool:
        """Takes a cause that another look has found, as long as an alarm is open; whether it is news."""
        if self._alarm is None or (self._alarm.cause is not None and self._alarm.cause.confirmed):
            return False
        before, self._alarm = self._alarm, msgspec.structs.replace(self._alarm, cause=cause)
        return not same_cause(before.cause, cause)

    def confirm(self, cause: Cause) -> None:
        """Takes the open alarm's cause with what was proved of it; another cause than the known one is left."""
        if self._alarm is not None and same_cause(self._alarm.cause, cause):
            self._alarm = msgspec.structs.replace(self._alarm, cause=cause)

    def shift(self, seconds: float) -> None:
        """Dates everything so much later or earlier: the clock was set."""
        self.detector.shift(seconds)
        self._recent = [(started_at + seconds, held) for started_at, held in self._recent]
        if self._alarm is not None:
            self._alarm = msgspec.structs.replace(self._alarm, since=self._alarm.since + seconds)

    def to_document(self, *, name_values: bool = True) -> ColumnDocument:
        """All of it, for the snapshot; without `name_values` no value of a row is in it."""
        alarm = self._alarm
        if alarm is not None and alarm.cause is not None and not name_values:
            nameless = msgspec.structs.replace(alarm.cause, value=None, values=())
            alarm = msgspec.structs.replace(alarm, cause=nameless)
        return ColumnDocument(
            detector=self.detector.snapshot(),
            recent=tuple(NumbersOfBucket.of(started_at, held) for started_at, held in self._recent),
            unseen=self._unseen.pairs() if name_values else (),
            frequent=self._frequent.pairs() if name_values else (),
            wrong_types=dict(self._wrong_types),
            lengths=dict(self._lengths),
            absent=self._absent,
            alarm=alarm,
        )

    def restore(self, document: ColumnDocument) -> None:
        """Takes up a document; ValueError where it does not fit these cells."""
        if document.alarm is not None and len(document.alarm.quiet_counts) != self.cells.size:
            raise ValueError(f"the snapshot of {self.baseline.name!r} was not made with these cells")
        recent = [(held.started_at, held.numbers()) for held in document.recent]
        self.detector.restore(document.detector)
        self._recent = recent
        self._unseen = FrequentValues(NAMES, document.unseen)
        self._frequent = FrequentValues(NAMES, document.frequent)
        self._wrong_types = Counter(document.wrong_types)
        self._lengths = Counter(document.lengths)
        self._absent = document.absent
        self._alarm = document.alarm

    def _rows_since(self, onset: float) -> int:
        """Rows that spoke for an alarm: those since its onset, or all where it is older than what is held."""
        rows = int(self.detector.since(onset).sum())
        held = int(self.detector.recent(MOST_BUCKETS).sum())
        return rows if rows < held else int(self.detector.total.sum())

    def _after_bucket(self, alarm: ColumnAlarm, bucket: Counts) -> ColumnAlarm | None:
        """The alarm after one more bucket with rows; None once it is over."""
        run = np.asarray(alarm.quiet_counts, dtype=np.int64) + bucket
        weighed = np.vstack([bucket, run]) / self.detector.overdispersion
        alone, together = self.detector.test.log_e(weighed, self.tolerance)
        if max(alone, together) >= _LOG_LOUD:
            return msgspec.structs.replace(alarm, quiet_buckets=0, quiet_counts=(0,) * self.cells.size)
        buckets = alarm.quiet_buckets + 1
        # An alarm rises where its rows speak loudest; as many others of the same drift may well be silent.
        inside = together < 0 and kl_estimate(weighed[1], self.baseline.counts) <= self.tolerance
        if buckets >= QUIET_BUCKETS and inside and int(run.sum()) >= alarm.rows:
            return None
        return msgspec.structs.replace(alarm, quiet_buckets=buckets, quiet_counts=tuple(run.tolist()))

    def _explain(self) -> None:
        """Looks for the cause; one that was named gives way only to another that more rows support."""
        if self._alarm is None or self._explain_with is None:
            return
        since = self._alarm.since
        # The onset's own bucket holds rows from before the change too: later ones tell the share.
        found = next_cause(
            self._alarm.cause,
            self._cause_from(math.nextafter(since, math.inf), _FEWEST_ROWS),
            lambda: self._cause_from(since, 0),
            healing=self._alarm.quiet_buckets > 0,
        )
        self._alarm = msgspec.structs.replace(self._alarm, cause=found)

    def _cause_from(self, start: float, fewest_rows: int) -> Cause | None:
        """The cause that buckets begun at or after `start` support; None where they hold too few rows."""
        moved = self._moved(start, fewest_rows)
        if moved is None or self._explain_with is None:
            return None
        return self._explain_with(self.baseline, moved, self.tolerance)

    def _moved(self, start: float, fewest_rows: int) -> Moved | None:
        counts = self.detector.since(start)
        if counts.sum() < max(fewest_rows, 1):
            return None
        numbers = LogHistogram()
        for started_at, held in self._recent:
            if started_at >= start:
                numbers.merge(held.histogram())
        unseen = dict(sorted(self._unseen.pairs(), key=lambda pair: (-pair[1], pair[0])))
        return Moved(
            counts=counts,
            numbers=numbers,
            frequent=(*self._atoms_in(counts), *self._frequent.top(NAMES)),
            unseen=tuple(unseen),
            wrong_type=max(self._wrong_types, key=self._wrong_types.__getitem__, default=None),
            unseen_rows=tuple(unseen.values()),
            absent=self._absent_of(counts),
            lengths=tuple(sorted(self._lengths)),
            types=dict(self._wrong_types),
        )

    def _absent_of(self, counts: Counts) -> int:
        """Missing values among `counts` whose key was absent. Older ones fade: the newest bucket tells the share."""
        gap = self.cells.missing_index
        newest = int(self.detector.recent(1)[gap])
        return int(counts[gap]) * min(self._absent, newest) // newest if newest else 0

    def _atoms_in(self, counts: Counts) -> tuple[float, ...]:
        """Numbers with a cell of their own that make up 5 % of the rows: their counts are exact."""
        if not isinstance(self.cells, NumericCells):
            return ()
        enough = _FREQUENT_SHARE * counts.sum()
        return tuple(atom for cell, atom in self.cells.atom_cells if counts[cell] >= enough)

    def _remember(self, part: ColumnPart, started_at: float) -> None:
        if self._explain_with is None:
            return  # only naming needs more than the cells
        odd = part.oddities
        for text, count in odd.unseen:
            self._unseen.add(text, count)
        for value, count in odd.frequent:
            self._frequent.add(value, count)
        self._wrong_types.update(odd.types)
        self._lengths.update(odd.lengths)
        self._absent += odd.absent
        if part.numbers is not None and part.numbers.counts.size:
            self._hold(started_at, part.numbers)
        while len(self._recent) > 1 and sum(held.total for _, held in self._recent[1:]) >= _ROWS_HELD:
            del self._recent[0]

    def _hold(self, started_at: float, numbers: HeldNumbers) -> None:
        """Holds a bucket's numbers by themselves, or with those before where all came after an open alarm's onset."""
        if self._alarm is not None and self._recent:
            at, last = self._recent[-1]
            if at > self._alarm.since and last.total < _ROWS_TOGETHER:
                self._recent[-1] = at, last.plus(numbers)
                return
        self._recent.append((started_at, numbers))
        if len(self._recent) > _BUCKETS_APART:
            # Older ones together: from an onset among them on they are left out, which the rows since make good.
            (at, oldest), (_, next_one) = self._recent[:2]
            self._recent[:2] = [(at, oldest.plus(next_one))]

    def _fade(self) -> None:
        self._unseen.fade()
        self._frequent.fade()
        self._absent //= 2
        self._wrong_types = Counter({name: count // 2 for name, count in self._wrong_types.items() if count > 1})
        self._lengths = Counter({length: count // 2 for length, count in self._lengths.items() if count > 1})


def tolerance_of(baseline: FeatureBaseline, tolerance: float, natural: float) -> float:
    """The effective tolerance in nats against a baseline of this size."""
    filled = sum(count > 0 for count in baseline.counts)
    return effective_tolerance(tolerance, baseline.n, filled, natural, overdispersion=baseline.overdispersion)


def gap_tolerance(baseline: FeatureBaseline, tolerance: float, whole: float) -> float | None:
    """What is tolerated, in nats, of missing and wrong values alone, where it is less than for all cells together."""
    if baseline.gap_variation is None:
        return None
    filled = 1 + sum(count > 0 for count in baseline.counts[-2:])
    phi = baseline.overdispersion
    alone = effective_tolerance(tolerance, baseline.n, filled, baseline.gap_variation, overdispersion=phi)
    return alone if alone < whole else None


def ordered_cells(baseline: FeatureBaseline) -> int:
    """How many of the first cells ascend: those of numbers."""
    return baseline.cells.missing_index if baseline.kind == "numeric" else 0


def moves_of(baseline: FeatureBaseline) -> Moves | None:
    """Where known faults would put the rows of a numeric column; None where there are no quantiles to tell by."""
    if not isinstance(baseline.cells, NumericCells) or not baseline.quantiles:
        return None
    return fault_moves(baseline.quantiles, baseline.cells.borders, figures_of(baseline))
