"""Two versions' scores on the same rows: how far apart they are, how alike they rank, and which are none.

Invariant: counts add, so merging two is exact but for the rounding of the sums; memory is bounded. Rows where one of
the two has no finite score are in no difference, and counted by what is wrong with them. Does not judge.
Used by the agreement.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from registry_client.log_histogram import INFINITE_CELL, LogHistogram, LogHistogramDocument, cell_bounds
from sidecar.observe.joint_grid import JointDocument, JointGrid
from sidecar.reports import ScoreDifference

_BATCH = 512
_EDGES = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1_000.0, 10_000.0, 1_000_000.0)


class ScoreGapsDocument(msgspec.Struct, frozen=True):
    """Score gaps as they are stored."""

    signed: LogHistogramDocument = LogHistogramDocument()
    sum: float = 0.0
    abs_sum: float = 0.0
    max: float = 0.0
    joint: JointDocument = JointDocument()
    missing: int = 0
    non_finite: int = 0


class ScoreGaps:
    """Challenger's score less champion's.

    Attributes:
        missing: rows where the champion has a finite score and the challenger none (NaN).
        non_finite: rows where the champion has a finite score and the challenger an infinite one.
    """

    __slots__ = ("_abs_sum", "_joint", "_max", "_signed", "_sum", "_waiting", "missing", "non_finite")

    def __init__(self) -> None:
        self._signed, self._joint = LogHistogram(), JointGrid()
        self._sum = self._abs_sum = self._max = 0.0
        self._waiting: list[tuple[float, float, float]] = []
        self.missing = self.non_finite = 0

    def fold(self, champion: float, challenger: float) -> float:
        """The difference; 0 where both are the same infinity or both are missing, else possibly not finite."""
        if champion == challenger:
            difference = 0.0
        else:
            difference = challenger - champion
            if math.isnan(difference):
                if math.isnan(champion) and math.isnan(challenger):
                    return 0.0
                difference = math.inf  # one of them is missing: as far apart as can be
        if math.isfinite(champion):
            if math.isfinite(difference):
                self._waiting.append((champion, challenger, difference))
                if len(self._waiting) >= _BATCH:
                    self._take()
            elif math.isnan(challenger):
                self.missing += 1
            elif math.isinf(challenger):
                self.non_finite += 1
        return difference

    def _take(self) -> None:
        """Sums up the rows that wait: together they cost a small part of what they cost one by one."""
        if not self._waiting:
            return
        champion, challenger, differences = np.array(self._waiting).T
        self._waiting = []
        sizes = np.abs(differences)
        self._signed.update(differences)
        self._sum += float(differences.sum())
        self._abs_sum += float(sizes.sum())
        self._max = max(self._max, float(sizes.max()))
        self._joint.add_many(np.ascontiguousarray(champion), np.ascontiguousarray(challenger))

    def merge(self, other: ScoreGaps) -> None:
        """Adds another one, which counts the same afterwards."""
        self._take()
        other._take()
        self._signed.merge(other._signed)
        self._joint.merge(other._joint)
        self._sum += other._sum
        self._abs_sum += other._abs_sum
        self._max = max(self._max, other._max)
        self.missing += other.missing
        self.non_finite += other.non_finite

    def summary(self) -> ScoreDifference | None:
        """`mean` is signed; mean_abs, p50, p95 and max are of the absolute difference."""
        self._take()
        n = self._signed.total
        if not n:
            return None
        sizes: dict[int, int] = {}
        for cell, count in self._signed.counts.items():
            sizes[abs(cell)] = sizes.get(abs(cell), 0) + count
        absolute = LogHistogram.of_counts(sizes, nan=0, coarsening=self._signed.coarsening)
        return ScoreDifference(
            n=n,
            mean=self._sum / n,
            mean_abs=self._abs_sum / n,
            p50=min(absolute.quantile(0.5), self._max),
            p95=min(absolute.quantile(0.95), self._max),
            max=self._max,
        )

    def histogram(self) -> tuple[tuple[float, float, int], ...]:
        """(from, to, rows) of the signed difference, ascending; to within 2 %, empty ones left out."""
        self._take()
        edges = (*(-edge for edge in reversed(_EDGES)), *_EDGES)
        counts: dict[int, int] = {}
        for value, count in zip(*(part.tolist() for part in self._signed.atoms()), strict=True):
            place = sum(value >= edge for edge in edges)
            counts[place] = counts.get(place, 0) + count
        bounds = (-self._max, *edges, self._max)
        return tuple((bounds[place], bounds[place + 1], counts[place]) for place in sorted(counts))

    def cells(self) -> tuple[tuple[float, float, int], ...]:
        """(from, to, rows) of the signed difference in its finest cells."""
        self._take()
        return finite_cells(self._signed)

    def joint_cells(self) -> tuple[tuple[float, float, float, float, int], ...]:
        """(champion's from, to, challenger's from, to, rows), finite scores only."""
        self._take()
        return self._joint.cells()

    def spearman(self) -> float | None:
        """Rank correlation, ties by their mean rank; None without rows or where one of the two never changes."""
        self._take()
        return self._joint.spearman()

    def to_document(self) -> ScoreGapsDocument:
        """All of it, for the snapshot."""
        self._take()
        return ScoreGapsDocument(
            signed=self._signed.to_document(),
            sum=self._sum,
            abs_sum=self._abs_sum,
            max=self._max,
            joint=self._joint.to_document(),
            missing=self.missing,
            non_finite=self.non_finite,
        )

    @classmethod
    def from_document(cls, document: ScoreGapsDocument) -> ScoreGaps:
        """Reads a document back; ValueError where it contradicts itself."""
        gaps = cls()
        gaps._signed = LogHistogram.from_document(document.signed)
        gaps._joint = JointGrid.from_document(document.joint)
        gaps._sum, gaps._abs_sum, gaps._max = document.sum, document.abs_sum, document.max
        gaps.missing, gaps.non_finite = document.missing, document.non_finite
        return gaps


def finite_cells(histogram: LogHistogram) -> tuple[tuple[float, float, int], ...]:
    """(from, to, count) of each cell between finite bounds, ascending."""
    return tuple(
        (*cell_bounds(cell, histogram.coarsening), count)
        for cell, count in sorted(histogram.counts.items())
        if abs(cell) != INFINITE_CELL
    )
