"""A block of numeric columns counted in one go: sorted once; cells, log histograms, repeated numbers are read off it.

Invariant: the counts are those that every column would have got by itself. Which columns stand in a block is fixed by
the ruler, so places are worked out once. Keeps no number. Called by: the counting of rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from registry_client.cells import NumericCells
from sidecar.observe.bucket_counts import BucketCounts
from sidecar.observe.ruler import Ruler

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Numbers counted in one go: beyond it a block leaves the processor's cache, and what it takes would have to be held.
BLOCK_VALUES = 65_536
_FEWEST_ROWS = 256
_FREQUENT_SHARE = 0.05


class NumberBlocks:
    """The numeric columns of a ruler, in its order."""

    def __init__(self, ruler: Ruler) -> None:
        self._ruler = ruler
        cells = [ruler.columns[number].cells for number in ruler.numeric]
        rulers = [each for each in cells if isinstance(each, NumericCells)]
        self._atoms = [frozenset(atom for _, atom in each.atom_cells) for each in rulers]
        # How many numbers lie below each border, column after column, with none in front and all behind: the
        # differences are the counts, but for the one between two columns.
        self._borders: list[tuple[int, int, Floats]] = []
        into: list[int] = []
        out_of: list[int] = []
        start = 0
        for number, each in zip(ruler.numeric, rulers, strict=True):
            self._borders.append((start + 1, start + 1 + each.borders.size, each.borders))
            out_of += range(start, start + each.missing_index)
            into += range(ruler.offsets[number], ruler.offsets[number] + each.missing_index)
            start += each.borders.size + 2
        self._width = start
        self._rows = max(_FEWEST_ROWS, BLOCK_VALUES // max(1, len(rulers)))
        self._ends = np.array([end for _, end, _ in self._borders], dtype=np.int64)
        self._into, self._out_of = np.array(into, dtype=np.int64), np.array(out_of, dtype=np.int64)
        missing = [ruler.offsets[n] + each.missing_index for n, each in zip(ruler.numeric, rulers, strict=True)]
        self._missing = np.array(missing, dtype=np.int64)

    def count(self, counts: BucketCounts, values: list[Floats]) -> None:
        """Counts a list of numbers for every column, NaN for missing; they need not have one length."""
        longest = max(map(len, values), default=0)
        if 0 < longest <= self._rows:
            self._count_block(counts, values)
            return
        for start in range(0, longest, self._rows):
            self._count_block(counts, [numbers[start : start + self._rows] for numbers in values])

    def _count_block(self, counts: BucketCounts, values: list[Floats]) -> None:
        lengths = np.array(list(map(len, values)), dtype=np.int64)
        width = int(lengths.max())
        block = np.empty((len(values), width)) if lengths.min() == width else np.full((len(values), width), np.nan)
        for row, numbers in zip(block, values, strict=True):
            row[: len(numbers)] = numbers
        block.sort(axis=1)  # NaN last
        valid = np.full(len(values), width)
        if (short := np.flatnonzero(np.isnan(block[:, -1]))).size:
            valid[short] -= np.isnan(block[short]).sum(axis=1)
        below = np.zeros(self._width, dtype=np.int64)
        # NaN lies above every border.
        for row, (start, end, borders) in zip(block, self._borders, strict=True):
            below[start:end] = row.searchsorted(borders)
        below[self._ends] = valid
        counts.cells[self._into] += (below[1:] - below[:-1])[self._out_of]
        counts.cells[self._missing] += lengths - valid
        counts.numbers.add_sorted(block, valid)
        self._note_frequent(counts, block, valid)

    def _note_frequent(self, counts: BucketCounts, block: Floats, valid: Integers) -> None:
        """Names numbers that make up 5 % of the block or more, those left out that have a cell of their own anyway."""
        least = max(2, math.ceil(_FREQUENT_SHARE * block.shape[1]))
        # A run of that many equal numbers covers two neighbours of this grid.
        grid = block[:, :: max(1, least // 2)]
        places, at = np.nonzero(grid[:, 1:] == grid[:, :-1])
        if not places.size:
            return
        found: dict[int, set[float]] = {}
        for place, value in zip(places.tolist(), grid[places, at].tolist(), strict=True):
            if value not in self._atoms[place] and math.isfinite(value):
                found.setdefault(place, set()).add(value)
        for place, repeated in found.items():
            row, ascending = block[place, : valid[place]], np.array(sorted(repeated))
            runs = np.searchsorted(row, ascending, "right") - np.searchsorted(row, ascending, "left")
            pairs = zip(ascending.tolist(), runs.tolist(), strict=True)
            if often := [(value, run) for value, run in pairs if run >= max(2, _FREQUENT_SHARE * len(row))]:
                counts.add_frequent(self._ruler.numeric[place], often)
