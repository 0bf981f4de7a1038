"""Simple ways in which an ordered column moves: its cells tilted up or down, or towards both ends.

Keeps: each tilt is one distribution over a column's cells, fixed by the baseline alone, so betting on it is as honest
as any bet; a shift is then found with half of the rows that a bet on every direction at once needs.
Does not: bet (the e-process mixes them in), or tilt columns without an order.
Called by: `tolerant_tests`. Source: exponential tilting (Esscher 1932); mixtures of simple alternatives are those of
Robbins 1970.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

# Steps of sqrt(2): between two of them hardly anything is lost. In standard deviations; then in variances.
_SHIFTS = 0.05 * 2.0 ** (np.arange(10) / 2)
_SPREADS = 0.05 * 2.0 ** (np.arange(7) / 2)
_HALF: Floats = np.concatenate([np.outer(_SHIFTS, [1.0, 0.0]), np.outer(_SPREADS, [0.0, 1.0])])
# By how much each tilt weighs the two scores of a cell (shape (J, 2)).
TILTS: Floats = np.concatenate([_HALF, -_HALF])


def tilt_scores(prior: Floats, ordered: int) -> tuple[Floats, Floats]:
    """Two scores of every cell (shape (2, B)), and the log of what each tilt must be divided by (shape (J,)).

    `prior`: shares of shape (B,), none zero, whose first `ordered` cells ascend. Tilt j is the distribution
    prior * exp(TILTS[j] @ scores) / exp(norms[j]); the scores are the normal score of a cell's middle (a shift)
    and its square (a spread), 0 for a cell without an order.

    >>> prior = np.array([0.25, 0.25, 0.25, 0.25])
    >>> scores, norms = tilt_scores(prior, 4)
    >>> bool(abs((prior * np.exp(TILTS[3] @ scores - norms[3])).sum() - 1) < 1e-12)
    True
    """
    mass = prior[:ordered] / prior[:ordered].sum()
    middle = ndtri(np.cumsum(mass) - mass / 2)
    scores = np.zeros((2, prior.size))
    for row, values in zip(scores, (middle, np.square(middle)), strict=True):
        row[:ordered] = values - (mass * values).sum()
    ways = TILTS @ scores
    peak = ways.max(axis=1)
    norms: Floats = peak + np.log((prior * np.exp(ways - peak[:, None])).sum(axis=1))
    return scores, norms
