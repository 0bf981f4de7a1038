"""The log histograms of many numeric columns at once, counted from sorted blocks of numbers.

Invariant: column by column the content is that of `LogHistogram` over the same numbers: whole counts in cells of the
float's leading bits, at most 1,024 cells a column, whatever the order of blocks and merges. Cells of all columns lie in
one ascending array (column, cell), so a block is merged in a few numpy steps however many columns there are.
Does not: see NaN (the frozen cells count what is missing), keep values, or read a clock.
Called by: the counts of a bucket. Memory: 8 bytes a cell in use (12 beyond four thousand million rows in one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.log_histogram import CELL_LIMIT, INFINITE_CELL, MANTISSA_SHIFT, LogHistogram

Integers = NDArray[np.int64]
Keys = NDArray[np.uint32]
Floats = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)

# A key is the column's number and the cell, which is put above zero: 19 bits hold every cell there is.
_CELL_BITS = 19
_OFFSET = 1 << (_CELL_BITS - 1)
MOST_COLUMNS = 1 << (32 - _CELL_BITS)
# One beyond the largest finite cell (131,008): the infinities' place here, so that it fits into a key.
INFINITE = 131_010
_NARROW = np.iinfo(np.uint32).max
COARSEST = 9


class NumberCountsDocument(msgspec.Struct, frozen=True):
    """As it is stored: little-endian bytes of the keys (4 each) and the counts (8 each), coarsening a column."""

    keys: bytes
    counts: bytes
    coarsening: bytes


@dataclass(frozen=True, slots=True, eq=False)
class HeldNumbers:
    """One column's share of a bucket: cells from `first` on, their counts, mantissa bits given up.

    In the narrowest types that hold them: `gaps` are those between cells, so most columns take 2 bytes a cell.
    """

    first: int
    gaps: NDArray[np.unsignedinteger]
    counts: NDArray[np.unsignedinteger]
    coarsening: int

    @classmethod
    def of(cls, cells: NDArray[np.integer], counts: NDArray[np.integer], coarsening: int) -> HeldNumbers:
        """Ascending cells with their counts."""
        first = int(cells[0]) if cells.size else 0
        return cls(first, narrowed(np.diff(cells, prepend=first).astype(np.int64)), narrowed(counts), coarsening)

    @property
    def cells(self) -> Integers:
        """The cells, ascending."""
        return self.first + np.cumsum(self.gaps, dtype=np.int64)

    @property
    def total(self) -> int:
        """How many numbers were counted."""
        return int(self.counts.sum())

    def histogram(self) -> LogHistogram:
        """The same as a log histogram."""
        cells = self.cells
        cells = np.where(np.abs(cells) == INFINITE, np.sign(cells) * INFINITE_CELL, cells)
        counts = dict(zip(cells.tolist(), self.counts.tolist(), strict=True))
        return LogHistogram.of_counts(counts, nan=0, coarsening=self.coarsening)

    def plus(self, other: HeldNumbers) -> HeldNumbers:
        """Both together."""
        together = NumberCounts.of_column(self)
        together.merge(NumberCounts.of_column(other))
        return together.column(0)


class NumberCounts:
    """Counts of numbers by column and cell: add blocks, merge, read a column.

    `keys` ascend, `counts` are theirs, `coarsening` is how many mantissa bits each column gave up: to be read only.

    >>> counts = NumberCounts(2)
    >>> counts.add_sorted(np.array([[1.0, 1.0, 250.0], [-2.0, 0.0, np.nan]]), np.array([3, 2]))
    >>> counts.column(0).total, counts.column(1).histogram().quantile(0.5)
    (3, -2.015625)
    """

    __slots__ = ("coarsening", "counts", "keys")

    def __init__(self, columns: int) -> None:
        if columns > MOST_COLUMNS:
            raise ValueError(f"{columns} columns are more than {MOST_COLUMNS}")
        self.coarsening = np.zeros(columns, dtype=np.int64)
        self.keys: Keys = np.empty(0, dtype=np.uint32)
        self.counts: NDArray[np.unsignedinteger] = np.empty(0, dtype=np.uint32)

    @classmethod
    def of_column(cls, held: HeldNumbers) -> NumberCounts:
        """The counts of one column alone."""
        found = cls(1)
        found.keys = (held.cells + _OFFSET).astype(np.uint32)
        found.counts = _four_bytes(held.counts.astype(np.int64))
        found.coarsening = np.array([held.coarsening], dtype=np.int64)
        return found

    @property
    def cells(self) -> int:
        """Cells in use, over all columns."""
        return int(self.keys.size)

    def add_sorted(self, block: Floats, valid: Integers) -> None:
        """Counts `block[column, :valid[column]]`; each row ascends, with NaN behind its valid numbers."""
        columns, width = block.shape
        if not width or not columns:
            return
        shifts = MANTISSA_SHIFT + self.coarsening
        marks = block.view(np.int64) >> (shifts[:, None] if self.coarsening.any() else MANTISSA_SHIFT)
        # Where a run of numbers of one cell begins; cells are worked out for these alone.
        begins = np.empty((columns, width), dtype=np.bool_)
        begins[:, 0] = True
        np.not_equal(marks[:, 1:], marks[:, :-1], out=begins[:, 1:])
        self._add(*self._runs(block, begins, valid, shifts))

    def _runs(
        self, block: Floats, begins: NDArray[np.bool_], valid: Integers, shifts: Integers
    ) -> tuple[Keys, Integers]:
        """Keys that ascend and their counts, from where runs begin."""
        columns, width = block.shape
        short = np.flatnonzero(valid < width)
        begins[short, valid[short]] = True  # NaN is no number's neighbour
        starts = begins.ravel().nonzero()[0]
        column = np.repeat(np.arange(columns), np.count_nonzero(begins, axis=1))
        ends = np.append(starts[1:], block.size)
        if short.size:
            kept = starts - column * width < valid[column]
            starts, ends, column = starts[kept], ends[kept], column[kept]
        numbers = block.ravel()
        first, last = numbers[starts], numbers[ends - 1]
        zero = first == 0.0
        if (zero != (last == 0.0)).any():
            # Zero has a cell of its own, but its leading bits are those of the smallest numbers.
            zeros = block == 0.0
            begins[:, 1:] |= zeros[:, 1:] != zeros[:, :-1]
            return self._runs(block, begins, valid, shifts)
        cells = np.abs(first).view(np.int64)
        cells >>= shifts[column]
        cells += 1
        cells[zero] = 0
        cells[np.isinf(first)] = INFINITE
        np.negative(cells, out=cells, where=first < 0.0)
        cells += (column << _CELL_BITS) + _OFFSET
        counts = ends - starts
        new = cells[1:] != cells[:-1]
        if not new.all():  # 0.0 and -0.0
            runs = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(new) + 1))
            cells, counts = cells[runs], np.add.reduceat(counts, runs)
        return cells.astype(np.uint32), counts

    def merge(self, other: NumberCounts) -> None:
        """Adds the counts of another one of the same columns, which stays as it is."""
        if other.coarsening.size != self.coarsening.size:
            raise ValueError(f"{other.coarsening.size} columns cannot be added to {self.coarsening.size}")
        if not np.array_equal(other.coarsening, self.coarsening):
            level = np.maximum(other.coarsening, self.coarsening)
            other = other.copy()
            other.coarsen_to(level)
            self.coarsen_to(level)
        self._add(other.keys, other.counts.astype(np.int64))

    def copy(self) -> NumberCounts:
        """Another one with the same content."""
        twin = NumberCounts(self.coarsening.size)
        twin.keys, twin.counts = self.keys.copy(), self.counts.copy()
        twin.coarsening = self.coarsening.copy()
        return twin

    def column(self, column: int) -> HeldNumbers:
        """What one column's numbers were, as copies."""
        first, last = self._span(column)
        cells = self.keys[first:last].astype(np.int64) - ((column << _CELL_BITS) + _OFFSET)
        return HeldNumbers.of(cells, self.counts[first:last], int(self.coarsening[column]))

    def to_document(self) -> NumberCountsDocument:
        """The counts as a typed document; equal counts give equal documents."""
        return NumberCountsDocument(
            keys=self.keys.astype("<u4").tobytes(),
            counts=self.counts.astype("<i8").tobytes(),
            coarsening=self.coarsening.astype(np.uint8).tobytes(),
        )

    @classmethod
    def from_document(cls, document: NumberCountsDocument, columns: int) -> NumberCounts:
        """Reads a document back; ValueError where it contradicts itself or has other columns."""
        if len(document.coarsening) != columns or len(document.keys) % 4 or len(document.counts) % 8:
            raise ValueError(f"the log histograms are not those of {columns} columns")
        keys = np.frombuffer(document.keys, dtype="<u4").astype(np.uint32)
        counts = np.frombuffer(document.counts, dtype="<i8")
        found = cls(columns)
        found.coarsening = np.frombuffer(document.coarsening, dtype=np.uint8).astype(np.int64)
        if keys.size != counts.size or np.any(counts < 1) or np.any(keys[1:] <= keys[:-1]):
            raise ValueError("the cells of log histograms ascend, and each has a count")
        if keys.size and int(keys[-1]) >> _CELL_BITS >= columns:
            raise ValueError("a log histogram belongs to no column")
        if np.any(found.coarsening > COARSEST) or np.any(found._in_use(keys) > CELL_LIMIT):
            raise ValueError(f"a log histogram has more than {CELL_LIMIT} cells")
        magnitudes = np.abs((keys & ((1 << _CELL_BITS) - 1)).astype(np.int64) - _OFFSET)
        if np.any(magnitudes > INFINITE):
            raise ValueError("a log histogram has a cell that no number falls into")
        found.keys, found.counts = keys, _four_bytes(counts)
        return found

    def _span(self, column: int) -> tuple[int, int]:
        first = np.searchsorted(self.keys, np.uint32(column << _CELL_BITS))
        if column + 1 == self.coarsening.size:
            return int(first), int(self.keys.size)
        return int(first), int(np.searchsorted(self.keys, np.uint32((column + 1) << _CELL_BITS)))

    def _add(self, keys: Keys, counts: Integers) -> None:
        """Adds counts of ascending, different keys at this resolution."""
        if not self.keys.size:
            self.keys, self.counts = keys.copy(), _four_bytes(counts)
            self._keep_limit()
            return
        places = np.searchsorted(self.keys, keys)
        known = self.keys[np.minimum(places, self.keys.size - 1)] == keys
        if self.counts.dtype == np.uint32:
            most = int(self.counts.max()) + int(counts.max(initial=0))
            self.counts = self.counts if most <= _NARROW else self.counts.astype(np.uint64)
        self.counts[places[known]] += counts[known].astype(self.counts.dtype)
        if known.all():
            return
        new = np.flatnonzero(~known)
        into = places[new] + np.arange(new.size)
        old = np.ones(self.keys.size + new.size, dtype=np.bool_)
        old[into] = False
        self.keys = _spread(self.keys, old, into, keys[new])
        self.counts = _spread(self.counts, old, into, counts[new].astype(self.counts.dtype))
        self._keep_limit()

    def _in_use(self, keys: Keys) -> Integers:
        return np.bincount(keys >> np.uint32(_CELL_BITS), minlength=self.coarsening.size)

    def _keep_limit(self) -> None:
        if self.keys.size <= CELL_LIMIT:
            return
        while (over := self._in_use(self.keys) > CELL_LIMIT).any():
            self.coarsen_to(self.coarsening + over)

    def coarsen_to(self, level: Integers) -> None:
        """Gives up bits until each column is at its level: pairs of neighbours of one sign become one cell."""
        bits = level - self.coarsening
        self.coarsening = level
        if not bits.any() or not self.keys.size:
            return
        columns = (self.keys >> np.uint32(_CELL_BITS)).astype(np.int64)
        cells = (self.keys & np.uint32((1 << _CELL_BITS) - 1)).astype(np.int64) - _OFFSET
        magnitudes = np.abs(cells)
        coarse = ((magnitudes - 1) >> bits[columns]) + 1
        coarse = np.where((cells == 0) | (magnitudes == INFINITE), magnitudes, coarse)
        keys = (columns << _CELL_BITS) + _OFFSET + np.where(cells < 0, -coarse, coarse)
        starts = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(keys[1:] != keys[:-1]) + 1))
        self.keys = keys[starts].astype(np.uint32)
        self.counts = _four_bytes(np.add.reduceat(self.counts.astype(np.int64), starts))


def narrowed(counts: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    """Whole numbers from 0 in the fewest bytes that hold all of them, as a copy."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def _spread(values: NDArray[Number], old: NDArray[np.bool_], into: Integers, new: NDArray[Number]) -> NDArray[Number]:
    """Values with new ones between them."""
    spread = np.empty(old.size, dtype=values.dtype)
    spread[old] = values
    spread[into] = new
    return spread


def _four_bytes(counts: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    """Counts in four bytes each where all of them fit, so that they may grow."""
    return counts.astype(np.uint32 if counts.max(initial=0) <= _NARROW else np.uint64)
