"""Proportions that may be looked at any number of times: an interval, and evidence that a limit is exceeded.

Keeps: with probability 1 - alpha the interval covers the truth at every look; P(E ever >= 1/alpha) <= alpha while
the rate stays at or under the limit. Counts only, so replicas add.
Does not: weigh or discount; old and new rows count alike.
Called by: agreement, errors, completeness and quality. Source: Robbins 1970; Howard et al. 2021 (mixture
martingales); Podkopaev & Ramdas 2022 (tracking risk).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import betaln, xlog1py, xlogy

from sidecar.stats.beta_tail import log_beta_tail

_STEPS = 60


def proportion_interval(successes: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Anytime-valid (lower, upper) for a proportion: all p that the Beta(1/2, 1/2) mixture has not refuted.

    >>> proportion_interval(0, 0)
    (0.0, 1.0)
    >>> [round(bound, 3) for bound in proportion_interval(900, 1_000)]
    [0.862, 0.931]
    """
    _check(successes, n)
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha lies between 0 and 1, not {alpha}")
    if n == 0:
        return 0.0, 1.0
    mixture = float(betaln(0.5 + successes, 0.5 + n - successes) - betaln(0.5, 0.5))

    def refuted(p: float) -> bool:
        point = float(xlogy(successes, p) + xlog1py(n - successes, -p))
        return mixture - point >= -math.log(alpha)

    best = successes / n
    lower = _edge(0.0, best, refuted) if successes > 0 else 0.0
    upper = _edge(1.0, best, refuted) if successes < n else 1.0
    return lower, upper


def risk_log_e(errors: float, n: int, limit: float) -> float:
    """Log of E against "the error rate is at or under `limit`"; the alternative is uniform above the limit.

    Also for summed losses from 0 to 1 each, for which it is smaller than for as many errors.

    `E = integral over p > limit of (p/limit)^k ((1-p)/(1-limit))^(n-k) dp / (1 - limit)`.

    >>> risk_log_e(0, 0, 0.01)
    0.0
    >>> risk_log_e(30, 1_000, 0.01) > 3.0
    True
    """
    _check(errors, n)
    if not 0.0 < limit < 1.0:
        raise ValueError(f"a limit lies between 0 and 1, not {limit}")
    if n == 0:
        return 0.0
    tail = log_beta_tail(1.0 + errors, 1.0 + n - errors, limit) - math.log1p(-limit)
    return tail - errors * math.log(limit) - (n - errors) * math.log1p(-limit)


def _edge(outside: float, inside: float, refuted: Callable[[float], bool]) -> float:
    """Last refuted p between `outside` (impossible) and `inside` (the best p): the interval is never too narrow."""
    for _ in range(_STEPS):
        middle = 0.5 * (outside + inside)
        outside, inside = (middle, inside) if refuted(middle) else (outside, middle)
    return outside


def _check(successes: float, n: int) -> None:
    if n < 0 or not 0 <= successes <= n:
        raise ValueError(f"cannot have {successes} out of {n}")
