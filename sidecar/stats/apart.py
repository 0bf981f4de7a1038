"""One cell grows or shrinks and the others keep their proportions: gaps, one new category, values beyond the ruler.

Keeps: each step is one distribution over a column's cells, fixed by the baseline alone, so betting on it is as honest
as any bet; what most faults do to a column without an order is then found with half of the rows, or fewer, that a bet
on every direction at once needs.
Does not: bet (the e-process mixes them in).
Called by: `tolerant_tests`. Source: as that of `tilts`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ODD, _LARGEST = 3, 5
# By how much the log-odds of a cell against the others change: factors from 1.1 to 600 up, to 10 down. In steps of
# sqrt(2): beside a tolerance a coarser step loses much, since only what lies beyond the tolerated counts.
STEPS: Floats = np.concatenate([0.1 * 2.0 ** (np.arange(13) / 2), -0.1 * 2.0 ** (np.arange(10) / 2)])


def apart_cells(shares: Floats, ordered: int) -> tuple[int, ...]:
    """Which cells are set apart: the last three (never seen, missing, wrong type), and of the others the five largest.

    Where cells have an order: those behind it, and its ends (values below and above the ruler).

    >>> apart_cells(np.full(6, 1 / 6), 4), apart_cells(np.array([0.1, 0.2, 0.3, 0.4]), 0)
    ((0, 3, 4, 5), (0, 1, 2, 3))
    """
    if ordered:
        return (*sorted({0, ordered - 1}), *range(ordered, shares.size))
    behind = max(shares.size - _ODD, 0)
    largest = np.argsort(-shares[:behind], kind="stable")[:_LARGEST]
    return (*sorted(largest.tolist()), *range(behind, shares.size))


def apart_norms(shares: Floats) -> Floats:
    """Log of what each step must be divided by, for cells of these shares (shape (C,)): shape (C, steps).

    >>> norms = apart_norms(np.array([0.2]))
    >>> bool(abs(0.2 * np.exp(STEPS[3] - norms[0, 3]) + 0.8 * np.exp(-norms[0, 3]) - 1) < 1e-12)
    True
    """
    norms: Floats = np.log1p(shares[:, None] * np.expm1(STEPS))
    return norms
