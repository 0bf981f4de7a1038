"""A line that is nearly right made exact by the values that repeat: each must land on a value that was seen.

Keeps: quantiles tell a line to a per cent, and where a column has few different values a per cent misses all of them;
so every trained value is paired with the live one next to where the line puts it, and the line is fitted to the pairs,
nearer ones each time. Where values hardly repeat there is always one near, and the line stays as it was.
Does not: find a line to begin with, nor say whether it is what happened.
Called by: free lines, numeric candidates. Source: iterated closest points (Besl & McKay 1992).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Half a cell of the log histogram, relative; and what absolute error is left, in widths of the middle half.
CELL, LEFT = 0.008, 0.004
_REACHES = (3.0, 2.0, 1.5, 1.0, 1.0)
_FEWEST = 6
_MOST_MOVED = 0.1
_REPEATED = 1 / 3


def repeats(trained: Floats) -> bool:
    """Whether atoms repeat, so that where values lie says more than where quantiles do.

    >>> repeats(np.repeat(np.arange(8.0), 8)), repeats(np.arange(64.0))
    (True, False)
    """
    return np.unique(trained).size <= _REPEATED * trained.size


def aligned(
    trained: Floats, live: Floats, line: tuple[float, float], half: float, *, through_zero: bool = False
) -> tuple[float, float]:
    """Factor and offset near `line` that put trained atoms on live values (ascending); `line` where too few land.

    `half` is the width of the middle half of the rows that moved; `through_zero` keeps the offset as it is.

    >>> trained = np.repeat([3.0, 7.0, 12.0, 20.0, 31.0, 33.0, 47.0, 60.0], 8)
    >>> factor, offset = aligned(trained, np.unique(0.02 * trained - 0.06), (0.0202, -0.064), 0.6)
    >>> round(factor, 4), round(offset, 3)
    (0.02, -0.06)
    """
    distinct, atoms = np.unique(trained, return_counts=True)
    factor, offset = line
    if live.size < 2 or factor <= 0.0:
        return line
    for reach in _REACHES:
        at = factor * distinct + offset
        place = np.clip(np.searchsorted(live, at), 1, live.size - 1)
        below, above = live[place - 1], live[place]
        nearest = np.where(at - below <= above - at, below, above)
        error = CELL * np.abs(nearest) + LEFT * half
        near = (np.abs(at - nearest) <= reach * error) & (error > 0.0)
        if np.count_nonzero(near) < _FEWEST:
            return line
        weight = atoms[near] / error[near] ** 2
        x, y = distinct[near], nearest[near] - (offset if through_zero else 0.0)
        if through_zero:
            factor = float((weight * x * y).sum() / max((weight * x * x).sum(), 1e-300))
            continue
        middle, level = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = float((weight * (x - middle) ** 2).sum())
        if spread <= 0.0:
            return line
        factor = float((weight * (x - middle) * (y - level)).sum() / spread)
        offset = float(level - factor * middle)
    return (factor, offset) if abs(factor / line[0] - 1.0) <= _MOST_MOVED else line
