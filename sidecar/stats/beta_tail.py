"""Logarithm of the upper tail of a Beta integral, also where the tail is too small for a float.

Keeps: never above the exact value by more than rounding, so evidence built on it stays honest.
Does not: normalise; divide by the tail of the prior yourself.
Called by: the risk test and the paired tests. Source: Abramowitz & Stegun 26.5.4 with 15.3.3 (hypergeometric series).
"""

from __future__ import annotations

import math

from scipy.special import betaincc, betaln

_MOST_TERMS = 100_000


def log_beta_tail(a: float, b: float, limit: float) -> float:
    """Log of of the integral of `p**(a-1) (1-p)**(b-1)` over `limit` < p < 1, for a, b > 0 and 0 < limit < 1.

    >>> round(math.exp(log_beta_tail(1.0, 1.0, 0.25)), 12)
    0.75
    """
    if not (a > 0 and b > 0 and 0 < limit < 1):
        raise ValueError(f"a Beta tail needs a, b > 0 and 0 < limit < 1, got {a}, {b}, {limit}")
    tail = float(betaincc(a, b, limit))
    if tail > 1e-200:
        return float(betaln(a, b)) + math.log(tail)
    # Here the mass lies far below the limit: the terms fall geometrically, and all are positive, so that
    # stopping early can only make the answer smaller.
    total, term = 1.0, 1.0
    for index in range(_MOST_TERMS):
        term *= (a + b + index) / (b + 1.0 + index) * (1.0 - limit)
        total += term
        if term < 1e-16 * total:
            break
    return a * math.log(limit) + b * math.log1p(-limit) - math.log(b) + math.log(total)
