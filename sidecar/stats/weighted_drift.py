"""Drift of all features as one number, weighted by what each matters to the model.

Keeps: built on lower bounds, so that noise and tolerated drift add nothing; weights add up to 1.
Does not: test or alarm; it ranks features and feeds an alarm's severity.
Called by: whoever ranks alarms. Source: W = sum of w_k KL_lower_k, w_k the normalised permutation importance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WeightedDrift:
    """`total` in nats is the sum of `parts`, one a feature in the order given; `weighted`: any is known."""

    total: float
    parts: tuple[float, ...]
    weighted: bool


def weighted_drift(kl_lower: Sequence[float], importance: Sequence[float | None]) -> WeightedDrift:
    """W and each feature's part of it; a lower bound in nats and an importance (None: unknown) a feature.

    An importance below zero is noise about zero. A feature of unknown importance weighs as the known ones do on
    average; without any importance above zero all weigh alike.

    >>> weighted_drift([0.2, 0.0, 0.5], [0.5, 0.25, 0.25]).parts
    (0.1, 0.0, 0.125)
    """
    if len(kl_lower) != len(importance):
        raise ValueError(f"{len(kl_lower)} lower bounds need as many importances, not {len(importance)}")
    if not all(math.isfinite(value) and value >= 0 for value in kl_lower):
        raise ValueError("lower bounds are finite and not negative")
    if not all(value is None or math.isfinite(value) for value in importance):
        raise ValueError("importances are finite")
    known = [max(0.0, value) for value in importance if value is not None]
    weighted = sum(known) > 0
    middle = sum(known) / len(known) if weighted else 1.0
    weights = [middle if value is None or not weighted else max(0.0, value) for value in importance]
    whole = math.fsum(weights)
    parts = tuple(weight / whole * bound for weight, bound in zip(weights, kl_lower, strict=True))
    return WeightedDrift(total=math.fsum(parts), parts=parts, weighted=weighted)
