"""The area under the ROC curve from counts of scores by cell: exact while few scores differ, with its error beyond.

Keeps: counts add and can be taken back; at most LIMIT cells. While at most that many scores differ, each has a cell
of its own and the area is exact; beyond, cells are the leading bits of the score or of what is missing to 1, whichever
is smaller, so that both ends are seen finely, and `error` bounds what that costs. Which cells there are depends on the
scores alone, not on their order (scores that were taken back may leave cells coarser than they need be).
Does not: know labels' texts. Called by: the quality tallies. Source: Hanley & McNeil 1982 (the area as a share of
pairs); DeLong, DeLong & Clarke-Pearson 1988 (its variance).
"""

from __future__ import annotations

import math
import struct

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.stats.mean_interval import half_width

LIMIT = 65_536
_WAITING = 8_192
_MIDDLE = 0x3FE0_0000_0000_0000  # the bits of 0.5: below it a score counts from 0, from it on from 1
_TOP = 2 * _MIDDLE
_MOST_COARSENING = 52  # an octave a cell: some 2,100 cells
_bits_of = struct.Struct("<q").unpack
_packed = struct.Struct("<d").pack

Integers = NDArray[np.int64]


class RocDocument(msgspec.Struct, frozen=True):
    """Cells ascending with their negatives and positives, little-endian int64 as bytes."""

    cells: bytes = b""
    negatives: bytes = b""
    positives: bytes = b""
    coarsening: int = 0


class Roc(msgspec.Struct, frozen=True):
    """`area`: share of pairs of a positive and a negative that the score puts in order, ties half.

    `error`: the exact area lies within this; 0.0 where every score has a cell of its own. `deviation`: standard
    deviation of the area times the root of all rows.
    """

    area: float
    error: float
    deviation: float
    n: int

    def interval(self, alpha: float = 0.05) -> tuple[float, float] | None:
        """Valid at any look, asymptotically; None for too few rows."""
        half = half_width(self.n, self.deviation, alpha) + self.error
        return (max(0.0, self.area - half), min(1.0, self.area + half)) if math.isfinite(half) else None


def key_of(score: float) -> int:
    """A whole number that rises with the score, 0 to 1; injective.

    >>> key_of(0.0) < key_of(1e-300) < key_of(0.5) < key_of(1 - 2**-53) < key_of(1.0)
    True
    """
    if not 0.0 <= score <= 1.0:
        raise ValueError(f"a score for the ROC curve lies from 0 to 1, not {score}")
    low = score < 0.5
    bits: int = _bits_of(_packed((score if low else 1.0 - score) + 0.0))[0]
    return bits if low else _TOP - bits


def keys_of(scores: NDArray[np.float64]) -> Integers:
    """`key_of` each, of scores that lie from 0 to 1."""
    low = scores < 0.5
    bits = (np.where(low, scores, 1.0 - scores) + 0.0).view(np.int64)
    return np.where(low, bits, _TOP - bits)


class RocCells:
    """Counts by score: add, merge, read.

    >>> cells = RocCells()
    >>> for score, positive in ((0.1, False), (0.4, True), (0.35, False), (0.8, True), (0.4, False)):
    ...     cells.add(key_of(score), positive)
    >>> roc = cells.read()
    >>> round(roc.area, 4), roc.error
    (0.9167, 0.0)
    """

    __slots__ = ("_cells", "_coarsening", "_counts", "_many", "_many_rows", "_read", "_signs", "_waiting")

    def __init__(self) -> None:
        self._cells: Integers = np.zeros(0, dtype=np.int64)
        self._counts: Integers = np.zeros((2, 0), dtype=np.int64)
        self._coarsening = 0
        self._waiting: list[int] = []
        self._signs: list[int] = []  # of each that waits: ±1 a negative, ±2 a positive
        self._many: list[tuple[Integers, Integers]] = []
        self._many_rows = 0
        self._read: Roc | None = None

    def add(self, key: int, positive: bool, sign: int = 1) -> None:
        """One row's score by its `key_of`; sign -1 takes it back."""
        self._waiting.append(key)
        self._signs.append(2 * sign if positive else sign)
        if len(self._waiting) >= _WAITING:
            self._take()

    def add_many(self, keys: Integers, positive: NDArray[np.bool_], signs: Integers) -> None:
        """Rows at once, by their `keys_of`; a sign of -1 takes a row back."""
        self._many.append((keys, np.where(positive, 2 * signs, signs)))
        self._many_rows += keys.size
        if self._many_rows >= _WAITING:
            self._take()

    def merge(self, other: RocCells) -> None:
        """Adds another one, which counts the same afterwards."""
        other._take()
        self._take()
        if not other._cells.size:
            return
        coarsening = max(self._coarsening, other._coarsening)
        self._coarsen(coarsening)
        theirs = _coarser(other._cells, coarsening - other._coarsening)
        self._sum(np.concatenate([self._cells, theirs]), np.concatenate([self._counts, other._counts], axis=1))

    def read(self) -> Roc | None:
        """The curve's area; None without a row of either class."""
        self._take()
        if self._read is None:
            self._read = self._area()
        return self._read

    def to_document(self) -> RocDocument:
        """All counts."""
        self._take()
        negatives, positives = self._counts
        cells, below, above = (part.astype("<i8").tobytes() for part in (self._cells, negatives, positives))
        return RocDocument(cells, below, above, self._coarsening)

    @classmethod
    def from_document(cls, document: RocDocument) -> RocCells:
        """Reads a document back; ValueError where it contradicts itself."""
        try:
            cells, negatives, positives = (
                np.frombuffer(part, dtype="<i8").astype(np.int64)
                for part in (document.cells, document.negatives, document.positives)
            )
            counts = np.stack([negatives, positives])
        except ValueError as error:
            raise ValueError("the ROC curve's counts are damaged") from error
        known = cells.size == counts.shape[1] <= LIMIT and 0 <= document.coarsening <= _MOST_COARSENING
        if not known or (counts < 0).any() or (np.diff(cells) <= 0).any():
            raise ValueError("the ROC curve's counts are damaged")
        read = cls()
        read._cells, read._counts, read._coarsening = cells, counts, document.coarsening
        return read

    def _take(self) -> None:
        if not self._waiting and not self._many:
            return
        parts = [*self._many, (np.array(self._waiting, dtype=np.int64), np.array(self._signs, dtype=np.int64))]
        self._waiting, self._signs, self._many, self._many_rows = [], [], [], 0
        signed = np.concatenate([signs for _, signs in parts])
        counts = np.stack([signed * (np.abs(signed) == 1), signed // 2 * (np.abs(signed) == 2)])
        fresh = _coarser(np.concatenate([keys for keys, _ in parts]), self._coarsening)
        self._sum(np.concatenate([self._cells, fresh]), np.concatenate([self._counts, counts], axis=1))

    def _sum(self, cells: Integers, counts: Integers) -> None:
        self._read = None
        self._cells, place = np.unique(cells, return_inverse=True)
        self._counts = np.stack([_binned(row, place, self._cells.size) for row in counts])
        filled = self._counts.any(axis=0)
        if not filled.all():
            self._cells, self._counts = self._cells[filled], self._counts[:, filled]
        while self._cells.size > LIMIT and self._coarsening < _MOST_COARSENING:
            self._coarsen(self._coarsening + 1)

    def _coarsen(self, coarsening: int) -> None:
        if coarsening > self._coarsening:
            cells = _coarser(self._cells, coarsening - self._coarsening)
            self._coarsening = coarsening
            self._sum(cells, self._counts)

    def _area(self) -> Roc | None:
        negatives, positives = self._counts.astype(np.float64)
        below, above = np.cumsum(negatives) - negatives, np.cumsum(positives[::-1])[::-1] - positives
        n, p = float(negatives.sum()), float(positives.sum())
        if n <= 0 or p <= 0:
            return None
        area = float(np.sum(positives * (below + negatives / 2))) / (n * p)
        of_positives, of_negatives = (below + negatives / 2) / n, (above + positives / 2) / p
        variance = _variance(of_positives, positives, p) / p + _variance(of_negatives, negatives, n) / n
        within = float(np.sum(positives * negatives)) / (2 * n * p) if self._coarsening else 0.0
        # As if one more pair were out of order: an area of 1 so far is no certainty.
        deviation = math.sqrt((variance + 1.0 / (n * p)) * (n + p))
        return Roc(area=area, error=within, deviation=deviation, n=int(n + p))


def _coarser(cells: Integers, bits: int) -> Integers:
    if not bits:
        return cells
    return np.where(cells < _MIDDLE, cells >> bits, _TOP - ((_TOP - cells) >> bits))


def _binned(counts: Integers, place: Integers, size: int) -> Integers:
    return np.bincount(place, weights=counts, minlength=size).astype(np.int64)  # exact below 2**53


def _variance(values: NDArray[np.float64], weights: NDArray[np.float64], total: float) -> float:
    if total < 2:
        return 0.25
    mean = float(np.sum(values * weights)) / total
    return float(np.sum(weights * (values - mean) ** 2)) / (total - 1)
