"""The oracle: a CUSUM that knows both distributions exactly, and how a threshold is found for a wanted rate.

Nothing that watches for unknown changes can be quicker on average at the same rate of false alarms (Moustakides
1986), so delays are told as multiples of its delay. Pure.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def cusum(ratios: Floats) -> Floats:
    """Page's CUSUM of log-likelihood ratios along the last axis: W_t = max(0, W_{t-1} + r_t).

    >>> cusum(np.array([1.0, -3.0, 2.0, 0.5])).tolist()
    [1.0, 0.0, 2.0, 2.5]
    """
    reached = np.cumsum(ratios, axis=-1)
    lowest = np.minimum(np.minimum.accumulate(reached, axis=-1), 0.0)
    statistic: Floats = reached - lowest
    return statistic


def nearest_inside(after: Floats, before: Floats, tolerance: float) -> Floats:
    """The distribution with KL(before||p) <= tolerance that `after` is likeliest to be taken for (by bisection).

    >>> nearest_inside(np.array([0.5, 0.5]), np.array([0.6, 0.4]), 0.1).tolist()
    [0.5, 0.5]
    """

    def mixed(weight: float) -> Floats:
        return (1.0 - weight) * before + weight * after

    def away(weight: float) -> float:
        filled = before > 0
        return float(before[filled] @ np.log(before[filled] / np.maximum(mixed(weight)[filled], 1e-300)))

    low, high = 0.0, 1.0
    if away(high) <= tolerance:
        return after
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if away(middle) <= tolerance else (low, middle)
    return mixed(low)


def first_at_least(paths: Floats, threshold: float) -> NDArray[np.int64]:
    """Place of the first value at or above the threshold in each row; the row's length where there is none.

    >>> first_at_least(np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), 2.0).tolist()
    [1, 3]
    """
    over = paths >= threshold
    first: NDArray[np.int64] = np.where(over.any(axis=-1), over.argmax(axis=-1), paths.shape[-1])
    return first


def mean_run(paths: Floats, threshold: float) -> float:
    """Mean steps until the first alarm on paths (shape (N, T)) without change, for exponential runs cut off at T."""
    first = first_at_least(paths, threshold)
    alarms = int(np.count_nonzero(first < paths.shape[-1]))
    steps = float(np.minimum(first + 1, paths.shape[-1]).sum())
    return steps / alarms if alarms else math.inf


def threshold_for(paths: Floats, run: float) -> float:
    """The least threshold whose mean run on these paths is at least `run` steps.

    Each row's running maximum is all that counts, so the candidates are these maxima.
    """
    tops = np.maximum.accumulate(paths, axis=-1)
    low, high = float(tops[:, 0].min()), float(tops[:, -1].max())
    if mean_run(tops, high) < run:
        return math.nextafter(high, math.inf)
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if mean_run(tops, middle) >= run else (middle, high)
    return high


def threshold_beyond(paths: Floats, run: float) -> float:
    """As `threshold_for`, for runs far longer than the paths: a CUSUM's mean run grows as e to its threshold.

    The constant is taken at a run as long as the paths, where two in three of them alarm (Siegmund 1985, section II.6).
    """
    near = float(paths.shape[-1])
    return threshold_for(paths, near) + math.log(run / near)
