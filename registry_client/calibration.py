"""How often the outcome was positive for each range of the prediction, as a baseline keeps it.

Invariant: counts only, of rows whose score is a finite number and whose outcome is known; reliability, expected
calibration error, Brier score and estimates of quality without outcomes can be derived from them. It smooths and
judges nothing. Built from the scores of a table summary.
"""

from __future__ import annotations

import math
from itertools import pairwise

from registry_client.baseline import Calibration
from registry_client.fine_cells import FineCells

CALIBRATION_BINS = 50


def calibration_of(scores: FineCells) -> Calibration:
    """About 50 bins of equal mass from scores counted by outcome (block 0 negative, 1 positive); needs a score."""
    edges = scores.frozen(CALIBRATION_BINS).edges
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
