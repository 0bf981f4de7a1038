"""How far live data may lie from the baseline before it counts as drift.

Keeps: the radius covers three honest reasons to differ: what the user tolerates, what a finite training set
cannot know, and how much training data itself moves from day to day.
Does not: look at live data.
Called by: the drift observer, once a feature. Source: STATISTICS of the e-process, Wilks' theorem for the
baseline's own likelihood-ratio statistic 2m KL(p0||p).
"""

from __future__ import annotations

import math

from scipy.special import chdtri


def effective_tolerance(
    tolerance: float,
    baseline_n: int,
    cells: int,
    natural: float = 0.0,
    delta: float = 0.001,
    *,
    overdispersion: float = 1.0,
) -> float:
    """Tolerated KL(p0||p) in nats: `(sqrt(tolerance) + sqrt(finite) + sqrt(natural))**2`.

    `finite = chi2_{cells-1, 1-delta} overdispersion / (2 baseline_n)` is the baseline's own confidence radius; `cells`
    are those the baseline fills. `natural` and `overdispersion` are the baseline's. The latter is that of whole blocks
    of time, natural variation included: that many rows of training are worth one, which is why it belongs here, and
    why it must not divide live counts as well. Roots add because the root of KL is locally a distance.

    >>> effective_tolerance(0.005, baseline_n=100, cells=1)
    0.005
    >>> round(effective_tolerance(0.005, baseline_n=50_000, cells=12), 4)
    0.0078
    """
    if tolerance < 0 or natural < 0 or not math.isfinite(tolerance + natural):
        raise ValueError("tolerances are finite and not negative")
    if baseline_n < 1 or cells < 1:
        raise ValueError("a baseline has at least one row and one cell")
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta lies between 0 and 1, not {delta}")
    if not 1.0 <= overdispersion < math.inf:
        raise ValueError(f"an over-dispersion of the baseline is 1 or more, not {overdispersion}")
    finite = float(chdtri(cells - 1, delta)) * overdispersion / (2.0 * baseline_n) if cells > 1 else 0.0
    if natural == 0.0 and finite == 0.0:
        return tolerance
    return (math.sqrt(tolerance) + math.sqrt(finite) + math.sqrt(natural)) ** 2
