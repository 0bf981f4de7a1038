"""Numbers counted in many fine cells that fold in pairs where there are too many: the mergeable summary of a column.

Invariant: the content is a function of the multiset of numbers only. A cell is the bits of a float64 without the
last `shift`; the shift is the smallest at which at most 8,192 cells are occupied, so up to 8,192 different numbers are
kept exactly, and beyond that there are 4,096 cells or more. Parts never have a larger shift than their union: hence
the order of merging is nothing. Counts are in columns (blocks of time). It knows neither NaN nor infinities.
Used by the summary of a column; the edges of frozen cells, quantiles and the log histogram are read off it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry_client.cells import NumericCells, cells_between
from registry_client.log_histogram import INFINITE_CELL, MANTISSA_SHIFT, LogHistogram

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

FINE_CELL_LIMIT = 8_192
# A shift of 51 keeps one bit of the mantissa: 8,184 cells hold every float64 but zero, which has its own.
SHIFT_LIMIT = 51
# Numbers summed into one cell; beyond it their fractions (30 bits) could overflow.
ROWS_LIMIT = 1 << 33
_FRACTION_SHIFT = 22
_FRACTION_MASK = (1 << 30) - 1
_MANTISSA_BITS = 52
# Differs from everything at every shift.
_APART = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class FineCells:
    """Occupied cells, ascending: `keys`, smallest and largest number in each, sums of mantissas, `counts[cell, block]`.

    Key 0 holds zeros; a positive number x has key `(bits(x) >> shift) + 1`, a negative one minus that of -x.
    `fractions` are sums of the upper 30 bits of the mantissas: cells lie inside one octave, so these give exact means
    to one part in 2^30.

    >>> cells = FineCells.of(np.array([0.5, 0.5, -3.0, 0.0]))
    >>> cells.lows.tolist(), cells.totals.tolist(), cells.shift
    ([-3.0, 0.0, 0.5], [1, 1, 2], 0)
    """

    shift: int
    keys: Integers
    lows: Floats
    highs: Floats
    fractions: Integers
    counts: Integers

    @classmethod
    def empty(cls, blocks: int = 1) -> FineCells:
        """No numbers yet."""
        none, nothing = np.empty(0, np.int64), np.empty(0, np.float64)
        return cls(0, none, nothing, nothing, none, np.empty((0, blocks), np.int64))

    @classmethod
    def of(cls, numbers: Floats, *, shift: int = 0) -> FineCells:
        """Finite numbers of one block; a shift that they will be folded to anyway saves work."""
        if not numbers.size:
            return cls.empty()
        ascending = np.sort(numbers + 0.0)  # -0.0 is the same number as 0.0
        magnitudes = np.abs(ascending).view(np.int64)
        differing = magnitudes[1:] ^ magnitudes[:-1]
        zeros = np.searchsorted(ascending, 0.0, "left"), np.searchsorted(ascending, 0.0, "right")
        for border in zeros:
            if 0 < border < ascending.size:
                differing[border - 1] = _APART
        shift = _finest_shift(differing, shift)
        starts = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(differing >> shift) + 1))
        ends = np.append(starts[1:], ascending.size)
        counts = ends - starts
        lows, highs, firsts = ascending[starts], ascending[ends - 1], magnitudes[starts]
        if shift:
            fractions = np.add.reduceat((magnitudes >> _FRACTION_SHIFT) & _FRACTION_MASK, starts)
        else:
            fractions = ((firsts >> _FRACTION_SHIFT) & _FRACTION_MASK) * counts
        keys = np.where(firsts == 0, 0, (firsts >> shift) + 1)
        np.negative(keys, out=keys, where=lows < 0.0)
        return cls(shift, keys, lows, highs, fractions, counts[:, None])

    @classmethod
    def combined(cls, pieces: Sequence[tuple[FineCells, Sequence[int]]], blocks: int) -> FineCells:
        """Add pieces up; each says into which of the `blocks` its own blocks go."""
        pieces = [piece for piece in pieces if piece[0].keys.size]
        if not pieces:
            return cls.empty(blocks)
        shift = max(cells.shift for cells, _ in pieces)
        keys, places = np.unique(
            np.concatenate([_folded(cells.keys, shift - cells.shift) for cells, _ in pieces]), return_inverse=True
        )
        further = 0
        while np.count_nonzero(np.diff(_folded(keys, further))) >= FINE_CELL_LIMIT:
            further += 1
        if further:
            keys, again = np.unique(_folded(keys, further), return_inverse=True)
            places = again[places]
        lows, highs = np.full(keys.size, np.inf), np.full(keys.size, -np.inf)
        np.minimum.at(lows, places, np.concatenate([cells.lows for cells, _ in pieces]))
        np.maximum.at(highs, places, np.concatenate([cells.highs for cells, _ in pieces]))
        fractions = np.zeros(keys.size, np.int64)
        np.add.at(fractions, places, np.concatenate([cells.fractions for cells, _ in pieces]))
        counts = np.zeros((keys.size, blocks), np.int64)
        start = 0
        for cells, targets in pieces:
            rows = places[start : start + cells.keys.size]
            start += cells.keys.size
            for block, target in enumerate(targets):
                np.add.at(counts[:, target], rows, cells.counts[:, block])
        return cls(shift + further, keys, lows, highs, fractions, counts)

    @property
    def totals(self) -> Integers:
        """Numbers in each cell, all blocks together."""
        totals: Integers = self.counts.sum(axis=1)
        return totals

    @property
    def total(self) -> int:
        """Numbers in all."""
        return int(self.counts.sum())

    def distinct(self) -> tuple[Floats, Integers] | None:
        """The different numbers and `counts[number, block]`, as long as all are known; else None."""
        return (self.lows, self.counts) if self.shift == 0 else None

    def frozen(self, target: int | None = None) -> NumericCells:
        """The ruler for this column: cells of about equal mass, cut between fine cells; needs a number."""
        return cells_between(self.lows, self.highs, self.totals, target)

    def counted(self, edges: Sequence[float]) -> Integers:
        """Counts by `cells[cell, block]` of a ruler that `frozen` made: under, between the edges, over."""
        found = self.cells_in(edges)
        counts = np.zeros((len(edges) + 1, self.counts.shape[1]), np.int64)
        np.add.at(counts, found, self.counts)
        return counts

    def cells_in(self, edges: Sequence[float]) -> Integers:
        """For each fine cell, the cell of such a ruler that it lies in."""
        return np.searchsorted(np.asarray(edges), self.lows, side="right").astype(np.int64)

    def quantiles(self, levels: int) -> tuple[float, ...]:
        """`levels` quantiles of equal mass, at (i + 1/2) / levels: numbers that occurred, ascending.

        The smallest number whose rank is not below the level's (inverse of the distribution function), exact where
        all numbers are kept, else the number of its fine cell that is nearest to zero.
        """
        totals = self.totals
        ranks = np.array([-(-int(totals.sum()) * (2 * i + 1) // (2 * levels)) for i in range(levels)], np.int64)
        found = np.searchsorted(np.cumsum(totals), ranks, side="left")
        return tuple(np.where(self.keys >= 0, self.lows, self.highs)[found].tolist())

    def mean_and_sd(self) -> tuple[float, float]:
        """Mean and population standard deviation, the same on every machine.

        Exact to rounding where all numbers are kept. Else the mean is exact to 2^-30 of its terms, and the variance
        leaves out that inside fine cells: less than a millionth of it for distributions without a gap of many octaves.
        """
        largest = max(abs(float(self.lows[0])), abs(float(self.highs[-1]))) or 1.0
        # Scaled, because the sum of squares of large numbers leaves float64; fsum, because its order is nothing.
        means, totals, n = self.means() / largest, self.totals, self.total
        mean = math.fsum((means * totals).tolist()) / n
        variance = math.fsum((np.square(means - mean) * totals).tolist()) / n
        return mean * largest, math.sqrt(variance) * largest

    def means(self) -> Floats:
        """The mean of each cell's numbers."""
        firsts = np.abs(np.where(self.keys >= 0, self.lows, self.highs)).view(np.int64)
        average = (self.fractions / self.totals + 0.5) * (1 << _FRACTION_SHIFT)
        bits = (firsts >> _MANTISSA_BITS << _MANTISSA_BITS) + average.astype(np.int64)
        inside = np.clip(np.copysign(bits.view(np.float64), self.lows), self.lows, self.highs)
        return np.where(self.lows == self.highs, self.lows, inside)

    def log_histogram(self, *, negative_infinities: int, positive_infinities: int, nan: int) -> LogHistogram:
        """The log histogram that these numbers, infinities and NaN would have given one by one."""
        cells = _folded(self.keys, max(0, MANTISSA_SHIFT - self.shift)).tolist()
        counts: dict[int, int] = {-INFINITE_CELL: negative_infinities, INFINITE_CELL: positive_infinities}
        for cell, count in zip(cells, self.totals.tolist(), strict=True):
            counts[cell] = counts.get(cell, 0) + count
        return LogHistogram.of_counts(counts, nan=nan, coarsening=max(0, self.shift - MANTISSA_SHIFT))


def keys_of(numbers: Floats, shift: int) -> Integers:
    """The key of each finite number."""
    magnitudes = np.abs(numbers).view(np.int64)
    keys = np.where(magnitudes == 0, 0, (magnitudes >> shift) + 1)
    return np.where(numbers < 0.0, -keys, keys)


def _folded(keys: Integers, bits: int) -> Integers:
    """The keys with so many bits less: pairs of neighbours of one sign become one, zero stays alone."""
    if not bits:
        return keys
    magnitudes = ((np.abs(keys) - 1) >> bits) + 1
    return np.where(keys == 0, 0, np.where(keys > 0, magnitudes, -magnitudes))


def _finest_shift(differing: Integers, least: int) -> int:
    """The smallest shift from `least` on at which neighbours that differ make no more cells than the limit."""
    low, high = least, SHIFT_LIMIT
    while low < high:
        # The given shift is right for nearly every chunk of a long column.
        middle = low if low == least else (low + high) // 2
        if np.count_nonzero(differing >> middle) < FINE_CELL_LIMIT:
            high = middle
        else:
            low = middle + 1
    return low
