"""An interval for a mean that may be looked at any number of times: losses, and differences of losses.

Keeps: counts and sums only, so replicas add and order is free. Valid asymptotically: a central limit theorem that
holds at all looks together, from about `FEWEST` values on; fewer have no interval.
Does not: assume a range, but for the one value that keeps a spread of 0 from being taken for certainty.
Called by: the quality metrics and the comparison of calibrations. Source: Waudby-Smith, Arbour, Sinha, Kennedy &
Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence sequences".
"""

from __future__ import annotations

import math

FEWEST = 100
# The number of values at which the interval is tightest against one that may be looked at once: 1.55 times as wide.
_TIGHTEST = 5_000


def half_width(n: int, deviation: float, alpha: float = 0.05) -> float:
    """Half the width of the interval of a mean of `n` values with this standard deviation; infinite below FEWEST.

    >>> round(half_width(5_000, 1.0) / (1.96 / math.sqrt(5_000)), 2)
    1.55
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha lies between 0 and 1, not {alpha}")
    if n < FEWEST:
        return math.inf
    rho = (-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / _TIGHTEST
    spread = n * rho + 1.0
    return deviation * math.sqrt(2.0 * spread / (n * n * rho) * math.log(math.sqrt(spread) / alpha))


def mean_interval(
    n: int, total: float, squares: float, *, scale: float = 0.0, alpha: float = 0.05
) -> tuple[float, float] | None:
    """(lower, upper) for the mean of `n` values with this sum and this sum of squares; None below FEWEST.

    `scale`: one more value that lies this far from the mean is taken into the variance, so that values which were all
    the same so far are no proof that none will differ.

    >>> mean_interval(10_000, 0.0, 0.0, scale=1.0) == (-half_width(10_000, 0.01), half_width(10_000, 0.01))
    True
    >>> mean_interval(99, 1.0, 1.0) is None
    True
    """
    if n < FEWEST:
        return None
    mean = total / n
    variance = max(0.0, squares / n - mean * mean) + scale * scale / n
    half = half_width(n, math.sqrt(variance), alpha)
    return mean - half, mean + half
