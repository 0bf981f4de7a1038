"""One version's sums over rows with an outcome, and every metric that can be read from them, with its interval.

Invariant: rows add and can be taken back, so corrected outcomes, merges and the order of arrival leave the same
numbers, also those of amounts: one value far out, once corrected, is gone. Does not match outcomes nor judge versions.
Used by the quality observer.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from sidecar.observe.judged_rows import Flags, Integers, JudgedRows
from sidecar.reports import Interval, ReliabilityBin
from sidecar.stats.calibration import Calibration
from sidecar.stats.exact_sum import as_float, as_text, exact_sum, from_stored
from sidecar.stats.mean_interval import mean_interval
from sidecar.stats.quality import QualityCounts
from sidecar.stats.roc import RocCells, RocDocument

_OF_TWO_CLASSES = frozenset({"precision", "recall", "specificity", "f1", "auc", "ece"})


class TallyDocument(msgspec.Struct, frozen=True):
    """A tally as it is stored."""

    matched: int
    counts: QualityCounts
    many: int
    errors: int
    sums: list[str | float]  # by `exact_sum`; earlier versions wrote floats
    wide: int
    roc: RocDocument
    calibration: Calibration


class Tally:
    """Sums of one version.

    Attributes:
        matched: rows with an outcome, judged or not.
        counts, roc, calibration: labels and probabilities.
        many: judged labels that are not of two classes, so that precision, recall and specificity mean nothing.
        errors: rows with a score and a number as outcome, `sums` of their |error|, its square and its fourth power, in
            units of `exact_sum`.
        wide: those of them that cannot be a probability and a 0 or 1: the version predicts amounts.
    """

    __slots__ = ("calibration", "counts", "errors", "many", "matched", "roc", "sums", "wide")

    def __init__(self) -> None:
        self.matched = self.many = self.errors = self.wide = 0
        self.counts, self.roc, self.calibration = QualityCounts(), RocCells(), Calibration()
        self.sums = [0, 0, 0]

    def add(self, rows: JudgedRows, signs: Integers) -> None:
        """Rows; a sign of -1 takes one back."""
        self.matched += int(signs.sum())
        judged, right = rows.judged, rows.right
        counts, two = self.counts, rows.two & judged
        called, came_true = rows.said == 1, rows.truth == 1
        counts.n += _sum(signs, judged)
        counts.correct += _sum(signs, judged & right)
        counts.tp += _sum(signs, two & called & came_true)
        counts.fp += _sum(signs, two & called & ~came_true)
        counts.fn += _sum(signs, two & ~called & came_true)
        counts.tn += _sum(signs, two & ~called & ~came_true)
        self.many += _sum(signs, judged & ~two)
        scored = rows.scored
        if scored.place.size:
            mine = signs[scored.place]
            counts.add_many(scored.brier, scored.log_loss, mine)
            self.roc.add_many(scored.key, scored.came_true, mine)
            self.calibration.add_many(scored.bin, scored.score, scored.came_true, mine)
        measured = ~np.isnan(rows.error)
        if measured.any():
            sizes, mine = np.abs(rows.error[measured]), signs[measured]
            self.errors += int(mine.sum())
            self.wide += _sum(signs, measured & ~rows.two)
            for place, power in enumerate((1, 2, 4)):
                self.sums[place] += exact_sum(sizes**power, mine)

    def merge(self, other: Tally) -> None:
        """Adds another one, which counts the same afterwards."""
        self.matched += other.matched
        self.many += other.many
        self.errors += other.errors
        self.wide += other.wide
        self.sums = [mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True)]
        self.counts.merge(other.counts)
        self.roc.merge(other.roc)
        self.calibration.merge(other.calibration)

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that are known and mean something."""
        if self.wide:
            size, square = (max(0.0, as_float(total)) / self.errors for total in self.sums[:2])
            return {"mae": size, "rmse": math.sqrt(square)}
        known, roc, error = self.counts.metrics, self.roc.read(), self.calibration.error
        if roc is not None:
            known["auc"] = roc.area
        if error is not None:
            known["ece"] = error
        return {name: value for name, value in known.items() if not (self.many and name in _OF_TWO_CLASSES)}

    def intervals(self) -> dict[str, Interval]:
        """Each metric with its 95 % interval, valid at every look; those without one (too few rows) are left out."""
        values = self.metrics
        bounds: dict[str, tuple[float, float] | None]
        if self.wide:
            size, square, fourth = map(as_float, self.sums)
            squares = mean_interval(self.errors, square, fourth, scale=square / self.errors)
            bounds = {
                "mae": mean_interval(self.errors, size, square, scale=math.sqrt(square / self.errors)),
                "rmse": None if squares is None else (math.sqrt(max(0.0, squares[0])), math.sqrt(squares[1])),
            }
        else:
            roc = self.roc.read()
            bounds = {
                **self.counts.intervals(),
                "auc": None if roc is None else roc.interval(),
                "ece": self.calibration.interval(),
            }
        known = ((name, values.get(name), found) for name, found in bounds.items())
        return {
            name: Interval(value, max(0.0, found[0]), found[1])
            for name, value, found in known
            if value is not None and found is not None
        }

    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """Scores beside what came true, by bin."""
        if self.wide or self.many:
            return ()
        return tuple(
            ReliabilityBin(n=one.n, score=one.score, came_true=one.came_true) for one in self.calibration.reliability()
        )

    def to_document(self, *, ranked: bool = True) -> TallyDocument:
        """All of it, for the snapshot; where not `ranked`, without the ranking's cells, which are nearly all of it."""
        return TallyDocument(
            matched=self.matched,
            counts=self.counts,
            many=self.many,
            errors=self.errors,
            sums=[as_text(total) for total in self.sums],
            wide=self.wide,
            roc=(self.roc if ranked else RocCells()).to_document(),
            calibration=self.calibration,
        )

    @classmethod
    def from_document(cls, document: TallyDocument) -> Tally:
        """Reads a document back; ValueError where it contradicts itself."""
        tally = cls()
        tally.matched, tally.many, tally.errors = document.matched, document.many, document.errors
        tally.wide, tally.counts, tally.calibration = document.wide, document.counts, document.calibration
        if len(document.sums) != len(tally.sums) or not tally.calibration.whole:
            raise ValueError("the sums of outcomes are damaged")
        tally.sums = [from_stored(total) for total in document.sums]
        tally.roc = RocCells.from_document(document.roc)
        return tally


def _sum(signs: Integers, where: Flags) -> int:
    return int(signs[where].sum())
