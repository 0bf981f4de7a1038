"""Summed buckets in, evidence and alarms out: all columns against one set of baselines.

Invariant: what stands afterwards is a function of the buckets' counts in their order, and of nothing else; so counts
that were added up over replicas are judged bit for bit as if one process had counted them.
Does not: count rows, or decide what follows from an alarm.
Called by: the drift observer, once against training and once against the frozen reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import FeatureBaseline
from sidecar.observe.bucket_counts import BucketCounts
from sidecar.observe.column_document import ColumnDocument
from sidecar.observe.ruler import Ruler
from sidecar.observe.schema_cause import schema_cause
from sidecar.observe.swapped import swaps_in
from sidecar.observe.watched_column import Explain, WatchedColumn
from sidecar.stats.e_bh import e_bh
from sidecar.stats.edetectors import EDetectors

Counts = NDArray[np.int64]

RECENT_BUCKETS = 16
MOST_EXPLAINED = 24
_FALSE_DISCOVERIES = 0.05
_LARGEST_LOG = math.log(1e300)


class Judging:
    """The columns of a ruler, each against its own baseline. A column without one is counted and not judged."""

    def __init__(
        self,
        ruler: Ruler,
        baselines: Mapping[int, FeatureBaseline],
        *,
        tolerance: float,
        threshold: float,
        now: float,
        explains: Mapping[int, Explain],
    ) -> None:
        self._ruler = ruler
        self.columns: dict[int, WatchedColumn] = {
            number: WatchedColumn(
                baseline, tolerance=tolerance, threshold=threshold, now=now, explain=explains.get(number)
            )
            for number, baseline in sorted(baselines.items())
        }
        self._detectors = EDetectors([column.detector for column in self.columns.values()])

    def judge(self, bucket: BucketCounts, started_at: float, ended_at: float) -> set[int]:
        """One closed bucket; the columns whose alarm began, ended, or found another cause."""
        parts = {number: bucket.part(number) for number in self.columns}
        self._detectors.close([part.counts for part in parts.values()], ended_at, started_at)
        changed = {
            number for number, column in self.columns.items() if column.judge(parts[number], started_at, ended_at)
        }
        # Naming takes long: a feed that breaks whole is explained over several buckets, the newest alarms first.
        due = [number for number, column in self.columns.items() if column.explanation_due]
        due = sorted(due, key=lambda number: self.columns[number].looked_at)[:MOST_EXPLAINED]
        changed.update(number for number in due if self.columns[number].explain())
        return changed | (self._swapped() if due else set())

    def _swapped(self) -> set[int]:
        """Columns whose values came in each other's place: only several columns together show it."""
        numbers = [number for number in self._ruler.features if number in self.columns]
        alarmed = [number for number in numbers if self.columns[number].alarmed_since is not None]
        if not 2 <= len(alarmed) <= MOST_EXPLAINED:
            return set()
        by_name = {self._ruler.columns[number].name: number for number in alarmed}
        evidence = {
            name: (self.columns[number].baseline, moved)
            for name, number in by_name.items()
            if (moved := self.columns[number].evidence()) is not None
        }
        found = swaps_in(evidence)
        return {by_name[name] for name, cause in found.items() if self.columns[by_name[name]].take_cause(cause)}

    def moved_now(self) -> tuple[int, ...]:
        """Columns that moved within the last 16 buckets, the prediction first, then those with most evidence (e-BH)."""
        columns = list(self.columns.values())
        if not columns:
            return ()
        tests = self._detectors.tests
        recent = [column.detector.recent(RECENT_BUCKETS) / column.detector.overdispersion for column in columns]
        tolerances = [column.tolerance for column in columns]
        log_e = tests.log_e(tests.padded(recent)[:, None, :], tolerances)[:, 0]
        numbers = list(self.columns)
        moved = [numbers[place] for place in e_bh(np.exp(np.minimum(log_e, _LARGEST_LOG)), _FALSE_DISCOVERIES)]
        return tuple(sorted(moved, key=lambda number: number in self._ruler.features or number == self._ruler.schema))

    def sizes(self, live: Mapping[int, Counts], alpha: float) -> dict[int, tuple[float, float]]:
        """For each column the lower bound on its drift (nats) and the log of E, given all its counts."""
        columns = list(self.columns.items())
        if not columns:
            return {}
        tests = self._detectors.tests
        weighed = tests.padded([live[number] / column.detector.overdispersion for number, column in columns])
        bounds = tests.kl_lower(weighed, alpha, [column.baseline_error for _, column in columns])
        log_e = tests.log_e(weighed[:, None, :], [column.tolerance for _, column in columns])[:, 0]
        pairs = zip(bounds.tolist(), log_e.tolist(), strict=True)
        return {number: pair for (number, _), pair in zip(columns, pairs, strict=True)}

    def shift(self, seconds: float) -> None:
        """Dates everything so much later or earlier: the clock was set."""
        for column in self.columns.values():
            column.shift(seconds)

    def to_document(self, *, name_values: bool) -> dict[int, ColumnDocument]:
        """All of it, for the snapshot."""
        return {number: column.to_document(name_values=name_values) for number, column in self.columns.items()}

    def restore(self, documents: Mapping[int, ColumnDocument]) -> None:
        """Takes up documents; ValueError where they are of other columns. Not to be used after that."""
        if documents.keys() != self.columns.keys():
            raise ValueError("the snapshot belongs to another baseline")
        for number, column in self.columns.items():
            column.restore(documents[number])


def explanations(ruler: Ruler, feature: Explain) -> dict[int, Explain]:
    """Which columns are explained, and how: features by `feature`, the schema by its cells, the prediction not."""
    return dict.fromkeys(ruler.features, feature) | {ruler.schema: schema_cause}
