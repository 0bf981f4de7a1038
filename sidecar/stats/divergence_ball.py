"""Distributions within a divergence of a baseline's: on which mixture with the live shares the border lies.

Keeps: rows side by side along the last axis, cells along the first; every sum runs over the cells one after another, so
that a result's bits depend neither on the columns beside it nor on the cells that pad its row.
Called by `tolerant_tests` and whoever sums as it does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Floats = NDArray[np.float64]

MOST_STEPS = 80


def summed(values: Floats) -> Floats:
    """Sum over the first axis, one after another: numpy's own order depends on the shape of the rest.

    >>> summed(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [4.0, 6.0]
    """
    total: Floats = values[0].copy()
    for row in values[1:]:
        total += row
    return total


def log_likelihood(counts: Floats, p: Floats) -> Floats:
    """Sum of n ln p over the cells, 0 for a cell without rows."""
    return summed(np.asarray(xlogy(counts, p), dtype=np.float64))


def ratio_to(q: Floats, p0: Floats) -> Floats:
    """q/p0 - 1 where the baseline has rows, else 0."""
    filled = p0 > 0
    return np.where(filled, q / np.where(filled, p0, 1.0) - 1.0, 0.0)


def divergence(weight: Floats, ratio: Floats, p0: Floats) -> Floats:
    """KL(p0 || (1-w) p0 + w q) for each row; infinite where w = 1 and a filled cell has no live row.

    >>> half, quarter = np.array([[0.5], [0.5]]), np.array([[0.25], [0.75]])
    >>> divergence(np.array([1.0]), ratio_to(quarter, half), half).round(4).tolist()
    [0.1438]
    """
    with np.errstate(divide="ignore"):
        return -summed(np.log1p(weight * ratio) * p0)


def weight_on_boundary(ratio: Floats, p0: Floats, tolerance: Floats) -> Floats:
    """The w in (0, 1] with KL(p0 || (1-w) p0 + w q) = tolerance > 0 for each row; 1 where q lies inside the ball."""
    weight = np.ones(tolerance.size)
    todo = np.flatnonzero(divergence(weight, ratio, p0) > tolerance)
    ratio, p0, tolerance = ratio[:, todo], p0[:, todo], tolerance[todo]
    # KL(w) <= -ln(1-w), hence the root is at least 1 - exp(-tolerance); and at most 1.
    low, high = -np.expm1(-tolerance), np.ones(todo.size)
    curvature = np.maximum(summed(ratio**2 * p0), 1e-300)
    found = np.clip(np.sqrt(2.0 * tolerance / curvature), low, 1.0 - 1e-9)
    for _ in range(MOST_STEPS):
        shifted = 1.0 + found * ratio
        over = -summed(np.log(shifted) * p0) - tolerance
        settled = (np.abs(over) <= 1e-10 * tolerance) | (high - low <= 1e-15)
        weight[todo] = found
        if settled.all():
            break
        slope = -summed(ratio / shifted * p0)
        low, high = np.where(over <= 0, found, low), np.where(over > 0, found, high)
        newton = found - over / np.where(slope > 0, slope, 1.0)
        safe = (slope > 0) & (newton > low) & (newton < high)
        found = np.where(safe, newton, 0.5 * (low + high))
        left = np.flatnonzero(~settled)
        ratio, p0, tolerance, todo = ratio[:, left], p0[:, left], tolerance[left], todo[left]
        low, high, found = low[left], high[left], found[left]
    return weight
