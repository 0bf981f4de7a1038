"""How often the outcome was positive for each range of the prediction, as a baseline keeps it.

Invariant: counts only, of rows whose score is a finite number and whose outcome is known; reliability, expected
calibration error, Brier score and estimates of quality without outcomes can be derived from them. It smooths and
judges nothing. Built from the scores of a table summary.
Half of the bins are of equal mass; the others lie where the rate of positives changes most, however few rows are
there: live scores may crowd where training had few, and within one bin all rows count as alike.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import Calibration
from registry_client.fine_cells import FineCells

CALIBRATION_BINS = 50
_FEWEST_ROWS = 10  # on either side of a border that is set for the rate's sake

Floats = NDArray[np.float64]


def calibration_of(scores: FineCells) -> Calibration:
    """About 50 bins from scores counted by outcome (block 0 negative, 1 positive); needs a score."""
    edges = _edges(scores)
    counted = scores.counted(edges)
    # The largest and smallest finite float64 count as over and under.
    counted[1] += counted[0]
    counted[-2] += counted[-1]
    positives, counts = counted[1:-1, 1].tolist(), counted[1:-1].sum(axis=1).tolist()
    shares: list[list[float]] = [[] for _ in counts]
    for cell, mean, total in zip(
        scores.cells_in(edges).tolist(), scores.means().tolist(), scores.totals.tolist(), strict=True
    ):
        found = min(max(cell, 1), len(counts)) - 1
        shares[found].append(mean * (total / counts[found]))
    middles = [left / 2 + right / 2 for left, right in pairwise(edges)]
    means = [math.fsum(terms) if terms else middle for terms, middle in zip(shares, middles, strict=True)]
    return Calibration(edges=edges, counts=tuple(counts), positives=tuple(positives), means=tuple(means))


def _edges(scores: FineCells) -> tuple[float, ...]:
    """Edges of half as many bins of equal mass, and then the bin with the widest range of rates is cut in two.

    So no distribution of live scores can make the bins lose more than that range, however it crowds.
    """
    lows = np.asarray(scores.lows, dtype=np.float64)
    rates = _ascending_rates(scores.counts[:, 1], scores.totals)
    rows = np.concatenate([[0], np.cumsum(scores.totals)])
    edges = list(scores.frozen(CALIBRATION_BINS // 2).edges)
    # A bin as the fine cells in it, first and one past the last; those that cannot be cut are left out.
    borders = np.searchsorted(lows, edges).tolist()
    bins = [pair for pair in pairwise(borders) if _cut(rates, rows, *pair) is not None]
    while bins and len(edges) <= CALIBRATION_BINS:
        first, end = max(bins, key=lambda pair: (rates[pair[1] - 1] - rates[pair[0]], -pair[0]))
        cut = _cut(rates, rows, first, end)
        bins.remove((first, end))
        if cut is None:
            continue
        edges.append(float(lows[cut]))
        bins += [pair for pair in ((first, cut), (cut, end)) if _cut(rates, rows, *pair) is not None]
    return tuple(sorted(set(edges)))


def _cut(rates: Floats, rows: NDArray[np.int64], first: int, end: int) -> int | None:
    """The fine cell at which the rate has done half of its way through a bin; None where it does not change there."""
    if end - first < 2 or rates[end - 1] <= rates[first]:
        return None
    middle = (rates[first] + rates[end - 1]) / 2.0
    cut = first + int(np.searchsorted(rates[first:end], middle))
    cut = min(max(cut, first + 1), end - 1)
    return cut if min(rows[cut] - rows[first], rows[end] - rows[cut]) >= _FEWEST_ROWS else None


def _ascending_rates(positives: NDArray[np.int64], totals: NDArray[np.int64]) -> Floats:
    """The isotonic fit of the rate of positives (pool adjacent violators, Barlow et al. 1972), one a fine cell."""
    pools: list[tuple[int, int, int]] = []
    for k, n in zip(positives.tolist(), totals.tolist(), strict=True):
        pools.append((k, n, 1))
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            last, before = pools.pop(), pools.pop()
            pools.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    return np.repeat([k / n for k, n, _ in pools], [cells for _, _, cells in pools])
