"""Two versions' scores on the same rows, counted together: how alike they rank.

Keeps: counts add and the order of rows and merges is free; at most LIMIT joint cells whatever numbers come, in any
unit: cells are the leading bits of the scores, given up one by one as cells grow too many.
Does not: keep a score; count rows where one of the two is NaN. Called by: the comparison's agreement.
Source: Spearman 1904, with the mean rank for ties; within a cell ranks are ties, which costs little (a grid of 20 by
20 cells lowers a correlation by about one part in 400).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.log_histogram import INFINITE_CELL, MANTISSA_SHIFT, ZERO_CELL, cell_bounds

LIMIT = 2_048
_MOST_COARSENING = 20


class JointDocument(msgspec.Struct, frozen=True):
    """Joint cells as (champion's cell, challenger's cell, rows)."""

    cells: list[tuple[int, int, int]] = []
    coarsening: int = 0


class JointGrid:
    """Counts of pairs of scores by cell.

    >>> grid = JointGrid()
    >>> scores = np.arange(100) / 100
    >>> grid.add_many(scores, scores**2)
    >>> grid.spearman() > 0.999
    True
    """

    __slots__ = ("_coarsening", "_counts")

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], int] = {}
        self._coarsening = 0

    def add_many(self, champion: NDArray[np.float64], challenger: NDArray[np.float64]) -> None:
        """Rows at once; none is NaN."""
        cells = np.stack([_cells(champion, self._coarsening), _cells(challenger, self._coarsening)])
        found, counts = np.unique(cells, axis=1, return_counts=True)
        for one, two, count in zip(*found.tolist(), counts.tolist(), strict=True):
            self._counts[one, two] = self._counts.get((one, two), 0) + count
        self._coarsen(self._coarsening)

    def merge(self, other: JointGrid) -> None:
        """Adds another one, which stays as it is."""
        coarsening = max(self._coarsening, other._coarsening)
        self._coarsen(coarsening)
        for (one, two), count in other._counts.items():
            bits = coarsening - other._coarsening
            cell = _coarser(one, bits), _coarser(two, bits)
            self._counts[cell] = self._counts.get(cell, 0) + count
        self._coarsen(self._coarsening)

    @property
    def total(self) -> int:
        """Rows counted."""
        return sum(self._counts.values())

    def spearman(self) -> float | None:
        """Rank correlation; None without rows, or where one of the two never changes."""
        if not self._counts:
            return None
        cells = np.array(list(self._counts), dtype=np.int64)
        counts = np.array(list(self._counts.values()), dtype=np.float64)
        return _correlation(_ranks(cells[:, 0], counts), _ranks(cells[:, 1], counts), counts)

    def cells(self) -> tuple[tuple[float, float, float, float, int], ...]:
        """(champion's from, to, challenger's from, to, rows) of the cells between finite bounds, ascending."""
        bounds = {cell: cell_bounds(cell, self._coarsening) for pair in self._counts for cell in pair}
        return tuple(
            (*bounds[one], *bounds[two], count)
            for (one, two), count in sorted(self._counts.items())
            if INFINITE_CELL not in (abs(one), abs(two))
        )

    def to_document(self) -> JointDocument:
        """All counts."""
        return JointDocument([(*cell, count) for cell, count in sorted(self._counts.items())], self._coarsening)

    @classmethod
    def from_document(cls, document: JointDocument) -> JointGrid:
        """Reads a document back; ValueError where it contradicts itself."""
        grid = cls()
        if not 0 <= document.coarsening <= _MOST_COARSENING or any(count < 1 for _, _, count in document.cells):
            raise ValueError("the joint counts of scores are damaged")
        grid._counts = {(one, two): count for one, two, count in document.cells}
        grid._coarsening = document.coarsening
        return grid

    def _coarsen(self, coarsening: int) -> None:
        while coarsening > self._coarsening or (len(self._counts) > LIMIT and self._coarsening < _MOST_COARSENING):
            counts: dict[tuple[int, int], int] = {}
            for (one, two), count in self._counts.items():
                cell = _coarser(one, 1), _coarser(two, 1)
                counts[cell] = counts.get(cell, 0) + count
            self._counts = counts
            self._coarsening += 1


def _cells(scores: NDArray[np.float64], coarsening: int) -> NDArray[np.int64]:
    """`cell_of` each."""
    bits = np.abs(scores).view(np.uint64) >> np.uint64(min(MANTISSA_SHIFT + coarsening, 63))
    cells = bits.astype(np.int64) + 1
    cells[scores == 0.0] = ZERO_CELL
    cells[np.isinf(scores)] = INFINITE_CELL
    return np.where(scores < 0.0, -cells, cells)


def _coarser(cell: int, bits: int) -> int:
    """The same cell with fewer bits; zero and the infinities stay apart."""
    if cell == ZERO_CELL or abs(cell) == INFINITE_CELL:
        return cell
    size = ((abs(cell) - 1) >> bits) + 1
    return size if cell > 0 else -size


def _ranks(cells: NDArray[np.int64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean rank of each joint cell's rows by one version's score."""
    _, place = np.unique(cells, return_inverse=True)
    mass = np.bincount(place, weights=counts)
    ranks: NDArray[np.float64] = (np.cumsum(mass) - mass / 2)[place]
    return ranks


def _correlation(one: NDArray[np.float64], two: NDArray[np.float64], weights: NDArray[np.float64]) -> float | None:
    total = float(weights.sum())
    one, two = one - float(one @ weights) / total, two - float(two @ weights) / total
    spread = math.sqrt(float(one * one @ weights) * float(two * two @ weights))
    return max(-1.0, min(1.0, float(one * two @ weights) / spread)) if spread else None
