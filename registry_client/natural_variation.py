"""How much the blocks of time of a training set differ from the whole, in the frozen cells of one column.

Invariant: all figures are functions of the counts only, and are 0 and 1 where fewer than three blocks have enough
rows to say anything. Blocks with few rows are taken together with the next, so that a table of 70 rows a day tells as
well. It decides nothing: what is tolerated of it is for whoever watches. Pure; used by the summary of a column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST_BLOCKS = 3
# Of a block with fewer rows for each cell, chance alone says more than the block does.
FEWEST_ROWS_A_CELL = 5
_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Variation:
    """`natural` in nats, `overdispersion` as a factor of the variance, and from how many blocks both were taken.

    `gaps`: as `natural`, of the shares of rows that are missing or of a wrong type alone; None: unknown.
    """

    natural: float = 0.0
    overdispersion: float = 1.0
    blocks: int = 0
    gaps: float | None = None


def column_variation(counts: NDArray[np.int64]) -> Variation:
    """That of a column's cells, of which the last two are missing and wrong type.

    >>> column_variation(np.array([[500, 500, 500], [400, 500, 600], [0, 0, 0], [0, 0, 0]])).gaps
    0.0
    """
    found = variation_between(counts)
    if not found.blocks:
        return found
    gaps = variation_between(np.vstack((counts[:-2].sum(axis=0), counts[-2:])))
    return replace(found, gaps=gaps.natural)


def variation_between(counts: NDArray[np.int64]) -> Variation:
    """The variation between the columns of `counts[cell, block]`, whose sum is the baseline p0.

    natural: the 95th percentile over blocks of max(0, KL(p0 || p_block) - (B-1)/(2 n)), what is left of the
    divergence when the mean of chance is taken off (so small blocks leave some of chance in: the cautious side);
    p_block with half a row added to each cell, so that it is finite.
    overdispersion: the median over blocks of X2/(B-1), at least 1, X2 being Pearson's statistic against p0; of single
    blocks, of pairs, fours and so on while there are three of them, the largest. What lasts (a front, a season) makes
    it grow with the blocks' length, and the whole is a block as well.
    B counts the cells that are not empty. A block is part of p0, so by chance alone both are smaller by the factor
    1 - n/N than against a p0 that is known; this is allowed for. Blocks come in the order of time; those with fewer
    than 5 B rows are taken together with the next.

    >>> variation_between(np.array([[500, 500, 500], [500, 500, 500]]))
    Variation(natural=0.0, overdispersion=1.0, blocks=3, gaps=None)
    """
    filled = counts[counts.sum(axis=1) > 0].astype(np.float64)
    cells = filled.shape[0]
    if cells < 2:
        return Variation()
    blocks = _joined(filled, FEWEST_ROWS_A_CELL * cells)
    if blocks.shape[1] < FEWEST_BLOCKS:
        return Variation()
    shares, whole = filled.sum(axis=1) / filled.sum(), float(filled.sum())
    sizes = blocks.sum(axis=0)
    estimated = (blocks + 0.5) / (sizes + 0.5 * cells)
    by_chance = (1.0 - sizes / whole) * (cells - 1) / (2.0 * sizes)
    divergences = shares @ np.log(shares[:, None] / estimated) - by_chance
    factors = [1.0]
    longer = blocks
    while longer.shape[1] >= FEWEST_BLOCKS:
        factors.append(_overdispersion(longer, shares, whole))
        pairs = longer.shape[1] // 2
        longer = longer[:, : 2 * pairs].reshape(cells, pairs, 2).sum(axis=2)
    return Variation(
        natural=float(np.quantile(np.maximum(divergences, 0.0), _QUANTILE)),
        overdispersion=max(factors),
        blocks=blocks.shape[1],
    )


def _joined(blocks: Floats, fewest: int) -> Floats:
    """Neighbouring blocks together until they hold `fewest` rows; what is left over at the end is left out."""
    rows = blocks.sum(axis=0)
    place, places, held = 0, [], 0.0
    for count in rows.tolist():
        places.append(place)
        held += count
        if held >= fewest:
            place, held = place + 1, 0.0
    joined = np.zeros((blocks.shape[0], place + 1))
    np.add.at(joined.T, np.asarray(places, dtype=np.int64), blocks.T)
    return joined[:, :place]


def _overdispersion(blocks: Floats, shares: Floats, whole: float) -> float:
    sizes = blocks.sum(axis=0)
    expected = shares[:, None] * sizes
    statistics = (np.square(blocks - expected) / expected).sum(axis=0) / (1.0 - sizes / whole)
    return float(np.median(statistics)) / (len(shares) - 1)
