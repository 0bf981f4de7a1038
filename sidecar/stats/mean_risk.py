"""Evidence that the mean of a loss lies above a limit, that may be looked at any number of times: for amounts.

Keeps: sums only, so replicas add and order is free. E has a mean of 1 at the limit, by the central limit theorem: valid
asymptotically, from some hundred values on, where the variance is that of the values seen.
Does not: assume a range. One value far out widens the variance as it lifts the mean, so alone it is no evidence.
Called by: the alarm on outcomes of models that predict amounts.
Source: Robbins 1970 (normal mixture, one-sided); Waudby-Smith et al. 2024 (its asymptotic use, as in `mean_interval`).
"""

from __future__ import annotations

import math

from scipy.special import log_ndtr

# Losses above the limit that are bet on, in standard deviations: those that about 1,000 values show.
_BET = 0.1


def mean_log_e(n: int, total: float, squares: float, limit: float, *, scale: float = 0.0) -> float:
    """Log of E against "the mean is at or under `limit`", of n values with this sum and this sum of squares.

    E = 2 Phi(b s / r) exp(b² s² / (2 r²)) / r with s = (total - n limit) / deviation and r² = n b² + 1: exceeding means
    are mixed by half a normal. `scale`: one more value so far from the mean is taken into the variance.

    >>> mean_log_e(0, 0.0, 0.0, 1.0)
    0.0
    >>> mean_log_e(1_000, 1_300.0, 2_690.0, 1.0) > 15.0, mean_log_e(1_000, 1_000.0, 2_000.0, 1.0) < 0.0
    (True, True)
    """
    if n < 0 or not all(math.isfinite(value) for value in (total, squares, limit, scale)):
        raise ValueError("a number of values and finite sums are needed")
    if n == 0:
        return 0.0
    mean = total / n
    variance = max(0.0, squares / n - mean * mean) + scale * scale / n
    if variance == 0.0:
        return 0.0  # values that never differ, and nothing to measure them by
    steps = (total - n * limit) / math.sqrt(variance)
    spread = n * _BET**2 + 1.0
    tilt = _BET * steps / math.sqrt(spread)
    return math.log(2.0) + float(log_ndtr(tilt)) + 0.5 * tilt * tilt - 0.5 * math.log(spread)


def mean_lower(n: int, total: float, squares: float, alpha: float, *, scale: float = 0.0) -> float:
    """Lower bound of the mean, valid at every look with probability 1 - alpha: the largest limit that is rejected.

    -inf where nothing is.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha lies between 0 and 1, not {alpha}")
    needed, mean = -math.log(alpha), total / n if n else 0.0
    deviation = math.sqrt(max(0.0, squares / n - mean * mean) + scale * scale / n) if n else 0.0
    low, high = mean - 64.0 * deviation, mean
    if not deviation or mean_log_e(n, total, squares, low, scale=scale) < needed:
        return -math.inf
    for _ in range(60):
        middle = 0.5 * (low + high)
        rejected = mean_log_e(n, total, squares, middle, scale=scale) >= needed
        low, high = (middle, high) if rejected else (low, middle)
    return low
