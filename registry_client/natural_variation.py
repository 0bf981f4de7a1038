"""How much the blocks of time of a training set differ from the whole, in the frozen cells of one column.

Invariant: both figures are functions of the counts only, and are 0 and 1 where fewer than three blocks have enough
rows to say anything. It decides nothing: what is tolerated of it is for whoever watches. Pure; used by
the summary of a column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_BLOCKS = 3
# Of a block with fewer rows for each cell, chance alone says more than the block does.
FEWEST_ROWS_A_CELL = 5
_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Variation:
    """`natural` in nats, `overdispersion` as a factor of the variance, and from how many blocks both were taken."""

    natural: float = 0.0
    overdispersion: float = 1.0
    blocks: int = 0


def variation_between(counts: NDArray[np.int64]) -> Variation:
    """The variation between the columns of `counts[cell, block]`, whose sum is the baseline p0.

    natural: the 95th percentile over blocks of max(0, KL(p0 || p_block) - (B-1)/(2 n)), what is left of the
    divergence when the mean of chance is taken off (so small blocks leave some of chance in: the cautious side);
    p_block with half a row added to each cell, so that it is finite.
    overdispersion: the median over blocks of X2/(B-1), at least 1, X2 being Pearson's statistic against p0.
    B counts the cells that are not empty. A block is part of p0, so by chance alone both are smaller by the factor
    1 - n/N than against a p0 that is known; this is allowed for.

    >>> variation_between(np.array([[500, 500, 500], [500, 500, 500]]))
    Variation(natural=0.0, overdispersion=1.0, blocks=3)
    """
    filled = counts[counts.sum(axis=1) > 0].astype(np.float64)
    cells = filled.shape[0]
    if cells < 2:
        return Variation()
    shares = filled.sum(axis=1) / filled.sum()
    rows = filled.sum(axis=0)
    enough = rows >= FEWEST_ROWS_A_CELL * cells
    if np.count_nonzero(enough) < FEWEST_BLOCKS:
        return Variation()
    blocks, sizes = filled[:, enough], rows[enough]
    left = 1.0 - sizes / filled.sum()
    estimated = (blocks + 0.5) / (sizes + 0.5 * cells)
    divergences = shares @ np.log(shares[:, None] / estimated) - left * (cells - 1) / (2.0 * sizes)
    expected = shares[:, None] * sizes
    statistics = (np.square(blocks - expected) / expected).sum(axis=0) / left
    return Variation(
        natural=float(np.quantile(np.maximum(divergences, 0.0), _QUANTILE)),
        overdispersion=max(1.0, float(np.median(statistics)) / (cells - 1)),
        blocks=int(np.count_nonzero(enough)),
    )
