"""How far live data may lie from the baseline before it counts as drift.

Keeps: the radius covers three honest reasons to differ: what the user tolerates, what a finite training set
cannot know, and how much training data itself moves from day to day.
Does not: look at live data.
Called by: the drift observer, once a feature. Source: Wilks' theorem for the baseline's own likelihood-ratio statistic
2m KL(p0||p), non-central where p is not the distribution that training was drawn from (Potgieter et al. 2023);
Abdel-Aty 1954 for its quantile where that is hard to compute.
"""

from __future__ import annotations

import math

from scipy.special import chndtrix, ndtri

_MOST_COMPUTED = 1e5


def effective_tolerance(
    tolerance: float,
    baseline_n: int,
    cells: int,
    natural: float = 0.0,
    delta: float = 0.001,
    *,
    overdispersion: float = 1.0,
) -> float:
    """Tolerated KL(p0||p) in nats, p0 being the baseline's shares: the 1 - delta quantile of what it may be by chance.

    Live data may lie at `(sqrt(tolerance) + sqrt(natural))**2` nats from the distribution that training was drawn from
    (roots add because the root of KL is locally a distance, and a day may move the way that is tolerated anyway). p0
    lies elsewhere by chance, in a direction that knows nothing of that one: so 2m KL(p0||p) is non-central chi-square
    with cells - 1 degrees of freedom, m being `baseline_n / overdispersion` and `cells` those the baseline fills.
    `natural` and `overdispersion` are the baseline's. The latter is that of whole blocks of time, natural variation
    included: that many rows of training are worth one, which is why it belongs here, and why it must not divide live
    counts as well.

    >>> effective_tolerance(0.005, baseline_n=100, cells=1)
    0.005
    >>> round(effective_tolerance(0.005, baseline_n=50_000, cells=12), 4)
    0.0066
    """
    if tolerance < 0 or natural < 0 or not math.isfinite(tolerance + natural):
        raise ValueError("tolerances are finite and not negative")
    if baseline_n < 1 or cells < 1:
        raise ValueError("a baseline has at least one row and one cell")
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta lies between 0 and 1, not {delta}")
    if not 1.0 <= overdispersion < math.inf:
        raise ValueError(f"an over-dispersion of the baseline is 1 or more, not {overdispersion}")
    radius = tolerance if natural == 0.0 else (math.sqrt(tolerance) + math.sqrt(natural)) ** 2
    if cells == 1:
        return radius
    twice_m = 2.0 * baseline_n / overdispersion
    return _quantile(1.0 - delta, cells - 1.0, twice_m * radius) / twice_m


def _quantile(p: float, degrees: float, away: float) -> float:
    """Of the non-central chi-square distribution."""
    if away <= _MOST_COMPUTED:
        return float(chndtrix(p, degrees, away))
    mean = degrees + away
    variance = 2.0 / 9.0 * (mean + away) / mean**2
    # A little too large, never too small.
    return mean * (1.0 - variance + float(ndtri(p)) * math.sqrt(variance)) ** 3
