"""Whether the realised error rate of live rows is worse than that of a reference: tracking the risk of a model.

Keeps: "degraded" is said wrongly with probability at most alpha over all looks together, whenever and in whatever
order outcomes arrive; both counts may go on growing. Counts only, so replicas add.
Does not: match outcomes, weigh old rows less, or judge losses other than right and wrong.
Called by: the alarm on outcomes, row-level skew (shares against a limit without a reference).
Source: Podkopaev & Ramdas 2022, "Tracking the risk of a deployed model": alarm when L_live > U_reference + tolerance;
the live bound inverts the e-process of `confidence.risk_log_e`, the reference's that of `proportion_interval`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sidecar.stats.confidence import proportion_interval, risk_log_e

_STEPS = 50


@dataclass(frozen=True, slots=True)
class Degradation:
    """`log_e`: ln E against "the live rate is at or under `limit`"; `lower`: anytime lower bound of the live rate.

    `limit` is the upper bound of the reference's rate plus the tolerance. `degraded`: E speaks at the level asked.
    """

    log_e: float
    lower: float
    limit: float
    degraded: bool


def rate_lower(errors: float, n: int, alpha: float = 0.01) -> float:
    """Lower bound of a rate, valid at every look with probability 1 - alpha: the largest limit that is rejected.

    >>> rate_lower(0, 0), round(rate_lower(30, 1_000), 3)
    (0.0, 0.013)
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha lies between 0 and 1, not {alpha}")
    if not 0 <= errors <= n:
        raise ValueError(f"cannot have {errors} out of {n}")
    low, high = 0.0, errors / n if errors else 0.0
    needed = -math.log(alpha)
    for _ in range(_STEPS if errors else 0):
        middle = 0.5 * (low + high)
        if not 0.0 < middle < 1.0:
            break
        low, high = (middle, high) if risk_log_e(errors, n, middle) >= needed else (low, middle)
    return low


def degradation(
    errors: int, n: int, reference_errors: int, reference_n: int, *, tolerance: float = 0.0, alpha: float = 0.01
) -> Degradation:
    """Live errors out of n rows against the reference's; half of alpha is spent on either side.

    `tolerance` is what of the rate may be lost without a word (0.01: one point). Without reference rows nothing is
    known of them, and nothing is degraded.

    >>> degradation(260, 2_000, 400, 5_000).degraded, degradation(165, 2_000, 400, 5_000).degraded
    (True, False)
    """
    if not 0.0 <= tolerance < 1.0:
        raise ValueError(f"a tolerated loss lies from 0 up to 1, not {tolerance}")
    lower = rate_lower(errors, n, alpha / 2)
    limit = min(1.0, proportion_interval(reference_errors, reference_n, alpha / 2)[1] + tolerance)
    if limit >= 1.0:
        return Degradation(log_e=0.0, lower=lower, limit=1.0, degraded=False)
    log_e = risk_log_e(errors, n, limit)
    return Degradation(log_e=log_e, lower=lower, limit=limit, degraded=log_e >= -math.log(alpha / 2))
