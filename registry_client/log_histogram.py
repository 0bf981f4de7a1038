"""A histogram whose cells are the leading bits of a float64, so that any two of them add up.

Invariant: a number falls into the same cell whatever data came before; counts are exact integers; at most 1,024
cells. The order of updates and merges never matters: the result depends only on the numbers (and on the coarsest
histogram that went in). A cell holds sign, exponent and the top 6 mantissa bits (64 linear sub-cells per octave,
0.8 to 1.6 % wide), so multiplying the data by a factor shifts the histogram. Zero and the infinities have cells of
their own; NaN is counted aside and is no number. It keeps no values. Used by baselines, the drift watcher, latency.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

CELL_LIMIT = 1_024
ZERO_CELL = 0
# Beyond every finite cell at every resolution, so that the order of cells is the order of numbers.
INFINITE_CELL = 1 << 20
MANTISSA_SHIFT = 46  # 52 mantissa bits, of which the top 6 are kept
_COARSEST = 9  # eight octaves a cell: 256 cells for either sign, so the limit can always be kept
_INFINITE_BITS = 0x7FF0_0000_0000_0000
_LARGEST = float(np.finfo(np.float64).max)

_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]


class LogHistogramDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A log histogram as it is stored: cells ascending, their counts, NaN seen, and mantissa bits given up."""

    cells: tuple[int, ...] = ()
    counts: tuple[_Count, ...] = ()
    nan: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0
    coarsening: Annotated[int, msgspec.Meta(ge=0, le=_COARSEST)] = 0


def cell_of(value: float, coarsening: int = 0) -> int:
    """The cell of one number (not NaN); larger numbers never have smaller cells.

    >>> cell_of(0.0), cell_of(-0.0), cell_of(-1.0) == -cell_of(1.0), cell_of(1.0) < cell_of(1.02)
    (0, 0, True, True)
    """
    if value == 0.0:
        return ZERO_CELL
    if math.isinf(value):
        return INFINITE_CELL if value > 0 else -INFINITE_CELL
    bits: int = struct.unpack("<q", struct.pack("<d", abs(value)))[0]
    magnitude = (bits >> (MANTISSA_SHIFT + coarsening)) + 1
    return magnitude if value > 0 else -magnitude


def cell_bounds(cell: int, coarsening: int = 0) -> tuple[float, float]:
    """The smallest and largest number of a cell, both inside it.

    >>> low, high = cell_bounds(cell_of(12.5)); low <= 12.5 <= high, high / low < 1.016
    (True, True)
    """
    if cell == ZERO_CELL:
        return 0.0, 0.0
    if abs(cell) == INFINITE_CELL:
        return math.copysign(math.inf, cell), math.copysign(math.inf, cell)
    shift = MANTISSA_SHIFT + coarsening
    first = max(1, (abs(cell) - 1) << shift)  # bits 0 would be zero, which has its own cell
    last = min((abs(cell) << shift) - 1, _INFINITE_BITS - 1)
    low, high = _number(first), _number(last)
    return (low, high) if cell > 0 else (-high, -low)


def _number(bits: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return value


def _representative(cell: int, coarsening: int) -> float:
    """The number in the middle of a cell's bits: the arithmetic middle in an octave, near the geometric beyond."""
    if cell == ZERO_CELL:
        return 0.0
    if abs(cell) == INFINITE_CELL:
        return math.copysign(math.inf, cell)
    shift = MANTISSA_SHIFT + coarsening
    middle = min(_number(min(((abs(cell) - 1) << shift) | (1 << (shift - 1)), _INFINITE_BITS)), _LARGEST)
    return math.copysign(middle, cell)


class LogHistogram:
    """Counts of numbers by cell: update, merge, read.

    >>> histogram = LogHistogram()
    >>> histogram.update([1.0, 1.0, 250.0, float("nan")])
    >>> histogram.total, histogram.nan, round(histogram.quantile(0.99))
    (3, 1, 251)

    Reference: the mapping is DDSketch's (Masson, Rim, Lee 2019) with linear sub-cells, read from the float's bits.
    """

    __slots__ = ("_coarsening", "_counts", "_nan", "_total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = 0
        self._nan = 0
        self._coarsening = 0

    @classmethod
    def of_counts(cls, counts: Mapping[int, int], *, nan: int, coarsening: int) -> LogHistogram:
        """A histogram of numbers that were counted by cell elsewhere; cells without a count are left out."""
        histogram = cls()
        histogram._counts = {cell: count for cell, count in counts.items() if count}
        histogram._total = sum(histogram._counts.values())
        histogram._nan = nan
        histogram._coarsening = coarsening
        histogram._keep_limit()
        return histogram

    @property
    def counts(self) -> dict[int, int]:
        """A copy: cell to count, without NaN."""
        return dict(self._counts)

    @property
    def total(self) -> int:
        """Numbers counted, infinities included, NaN not."""
        return self._total

    @property
    def nan(self) -> int:
        """How many NaN were offered."""
        return self._nan

    @property
    def coarsening(self) -> int:
        """How many trailing bits were given up to keep the limit of cells; 0 is the full resolution."""
        return self._coarsening

    def add(self, value: float) -> None:
        """Count one number; for batches `update` is far cheaper per value."""
        if value != value:  # noqa: PLR0124 -- only NaN differs from itself
            self._nan += 1
            return
        cell = cell_of(value, self._coarsening)
        self._counts[cell] = self._counts.get(cell, 0) + 1
        self._total += 1
        self._keep_limit()

    def update(self, values: ArrayLike) -> None:
        """Count an array of any shape, read as float64."""
        array = np.asarray(values, dtype=np.float64).ravel()
        numbers = array[~np.isnan(array)]
        self._nan += array.size - numbers.size
        if not numbers.size:
            return
        bits = np.abs(numbers).view(np.uint64) >> np.uint64(MANTISSA_SHIFT + self._coarsening)
        cells = bits.astype(np.int64) + 1
        cells[numbers == 0.0] = ZERO_CELL
        cells[np.isinf(numbers)] = INFINITE_CELL
        np.negative(cells, out=cells, where=numbers < 0.0)
        found, counts = np.unique(cells, return_counts=True)
        for cell, count in zip(found.tolist(), counts.tolist(), strict=True):
            self._counts[cell] = self._counts.get(cell, 0) + count
        self._total += numbers.size
        self._keep_limit()

    def merge(self, other: LogHistogram) -> None:
        """Add the counts of another one, which stays as it is; the finer of the two is coarsened."""
        counts, coarsening = other._counts, other._coarsening
        while self._coarsening < coarsening:
            self._counts = _coarsened(self._counts)
            self._coarsening += 1
        for _ in range(self._coarsening - coarsening):
            counts = _coarsened(counts)
        # A copy first: a histogram may be merged with itself.
        for cell, count in list(counts.items()):
            self._counts[cell] = self._counts.get(cell, 0) + count
        self._total += other.total
        self._nan += other.nan
        self._keep_limit()

    def quantile(self, q: float) -> float:
        """The representative value of the cell in which the q-th share of numbers ends; NaN where there are none."""
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile lies between 0 and 1, not {q}")
        wanted = max(1, math.ceil(q * self._total))
        reached = 0
        for cell in sorted(self._counts):
            reached += self._counts[cell]
            if reached >= wanted:
                return _representative(cell, self._coarsening)
        return math.nan

    def atoms(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Ascending representative values of the finite cells and their counts, two arrays of equal length."""
        cells = sorted(cell for cell in self._counts if abs(cell) != INFINITE_CELL)
        values = np.array([_representative(cell, self._coarsening) for cell in cells], dtype=np.float64)
        return values, np.array([self._counts[cell] for cell in cells], dtype=np.int64)

    def to_document(self) -> LogHistogramDocument:
        """The histogram as a typed document; equal histograms give equal documents."""
        cells = tuple(sorted(self._counts))
        counts = tuple(self._counts[cell] for cell in cells)
        return LogHistogramDocument(cells=cells, counts=counts, nan=self._nan, coarsening=self._coarsening)

    @classmethod
    def from_document(cls, document: LogHistogramDocument) -> LogHistogram:
        """Read a document back; ValueError in a sentence where it contradicts itself."""
        cells, counts = document.cells, document.counts
        if len(cells) != len(counts):
            raise ValueError(f"a log histogram has {len(cells)} cells but {len(counts)} counts")
        if len(cells) > CELL_LIMIT:
            raise ValueError(f"a log histogram has {len(cells)} cells, more than {CELL_LIMIT}")
        if any(left >= right for left, right in pairwise(cells)):
            raise ValueError("the cells of a log histogram must ascend")
        if not 0 <= document.coarsening <= _COARSEST:
            raise ValueError(f"a log histogram cannot give up {document.coarsening} bits")
        if document.nan < 0 or any(count < 1 for count in counts):
            raise ValueError("the counts of a log histogram must be positive")
        largest = cell_of(_LARGEST, document.coarsening)
        if any(abs(cell) > largest and abs(cell) != INFINITE_CELL for cell in _ends(cells)):
            raise ValueError("a log histogram has a cell that no number falls into")
        histogram = cls()
        histogram._counts = dict(zip(cells, counts, strict=True))
        histogram._total = sum(counts)
        histogram._nan = document.nan
        histogram._coarsening = document.coarsening
        return histogram

    def _keep_limit(self) -> None:
        while len(self._counts) > CELL_LIMIT:
            self._counts = _coarsened(self._counts)
            self._coarsening += 1


def _ends(cells: Sequence[int]) -> Sequence[int]:
    """The cells next to the ends: those inside cannot be out of range when these are not."""
    return [*cells[:2], *cells[-2:]]


def _coarsened(counts: dict[int, int]) -> dict[int, int]:
    """The same counts with one bit less in every finite cell: pairs of neighbours of one sign become one."""
    merged: dict[int, int] = {}
    for cell, count in counts.items():
        if cell == ZERO_CELL or abs(cell) == INFINITE_CELL:
            coarse = cell
        else:
            coarse = ((abs(cell) - 1) >> 1) + 1
            coarse = coarse if cell > 0 else -coarse
        merged[coarse] = merged.get(coarse, 0) + count
    return merged
