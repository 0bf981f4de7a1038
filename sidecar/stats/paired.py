"""Champion against challenger on the same rows with the same outcome: evidence for better, not worse, worse.

Keeps: each E is a non-negative martingale of mean at most 1 under its null, so E >= 1/alpha may be acted on at any
look with error at most alpha. Counts only: replicas add, order is free.
Does not: look at rows where only one version answered; decide how much worse is acceptable (the margin does).
Called by: the outcome gate and the watch after a promotion.
Source: exact sequential McNemar test; bets on a bounded mean, Waudby-Smith & Ramdas 2023, mixed over fixed stakes so
that counts suffice. The best stake in hindsight gives the trinomial likelihood ratio constrained by the margin, and
mixing stakes costs far less than a Dirichlet mixture over it (2.5 times fewer pairs in simulation).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.confidence import risk_log_e

# Stakes as shares of the largest that cannot lose all: each half of the last, 0.999 down to 0.0005.
_STAKES: NDArray[np.float64] = 0.999 * 2.0 ** -np.arange(12, dtype=np.float64)
_ZOOMS, _POINTS = 4, 62  # each zoom makes the bracket 63 times as narrow


def log_e_superior(challenger_only_right: int, champion_only_right: int) -> float:
    """Log of E against "where just one is right, the challenger is so in at most half of the rows".

    >>> log_e_superior(0, 0)
    0.0
    >>> log_e_superior(40, 15) > 3.0
    True
    """
    _check(challenger_only_right, champion_only_right, 0)
    return risk_log_e(challenger_only_right, challenger_only_right + champion_only_right, 0.5)


def log_e_noninferior(better: int, worse: int, same: int, margin: float) -> float:
    """Log of E against "the challenger is right at least `margin` less often than the champion" (shares of all rows).

    `better` counts rows where only the challenger was right, `worse` where only the champion was.

    >>> log_e_noninferior(100, 100, 9_800, 0.01) > 3.0
    True
    >>> log_e_noninferior(100, 200, 9_700, 0.01) < 3.0
    True
    """
    _check(better, worse, same)
    if not 0.0 <= margin < 1.0:
        raise ValueError(f"a margin lies from 0 up to 1, not {margin}")
    # A stake below the margin pays off only where the two differ on all rows: it would cost, and win nothing.
    return _log_wealth(better, worse, same, margin, _STAKES[margin <= _STAKES])


def log_e_inferior(better: int, worse: int, same: int, margin: float = 0.0) -> float:
    """Log of E against "the challenger is right at most `margin` less often than the champion": evidence of harm.

    >>> log_e_inferior(50, 400, 9_550, 0.01) > 3.0
    True
    """
    _check(better, worse, same)
    if not 0.0 <= margin < 1.0:
        raise ValueError(f"a margin lies from 0 up to 1, not {margin}")
    return _log_wealth(worse, better, same, -margin)


def difference_interval(better: int, worse: int, same: int, alpha: float = 0.05) -> tuple[float, float]:
    """(lower, upper) for the mean of differences in {1, -1, 0}, valid at every look: what the bets have not refuted.

    >>> difference_interval(0, 0, 0)
    (-1.0, 1.0)
    >>> [round(bound, 3) for bound in difference_interval(300, 200, 9_500)]
    [0.002, 0.018]
    """
    _check(better, worse, same)
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha lies between 0 and 1, not {alpha}")
    needed = math.log(2.0 / alpha)
    return _lower(better, worse, same, needed), -_lower(worse, better, same, needed)


def _lower(gain: int, loss: int, same: int, needed: float) -> float:
    """The largest mean that is still refuted from below, -1 where none is: the wealth falls as the mean rises."""
    n = gain + loss + same
    low, high = -1.0, (gain - loss) / n if n else -1.0
    for _ in range(_ZOOMS if high > low else 0):
        means = np.linspace(low, high, _POINTS + 2)
        refuted = np.flatnonzero(_log_wealths(gain, loss, same, -means[1:-1]) >= needed)
        place = int(refuted[-1]) + 1 if refuted.size else 0
        low, high = float(means[place]), float(means[place + 1])
    return low


def _log_wealth(gain: int, loss: int, same: int, shift: float, shares: NDArray[np.float64] = _STAKES) -> float:
    """Log of the mean wealth of all stakes s betting `1 + s (d + shift)` on each difference d in {1, -1, 0}.

    Under E[d] <= -shift every stake below 1/(1 - shift) is a non-negative supermartingale.
    """
    return float(_log_wealths(gain, loss, same, np.array([shift]), shares)[0])


def _log_wealths(
    gain: int, loss: int, same: int, shifts: NDArray[np.float64], shares: NDArray[np.float64] = _STAKES
) -> NDArray[np.float64]:
    """`_log_wealth` at several shifts, each above -1 and below 1."""
    shift = shifts[:, None]
    stakes = shares / (1.0 - shift)
    wealth = (
        gain * np.log1p(stakes * (1.0 + shift))
        + loss * np.log1p(stakes * (shift - 1.0))
        + same * np.log1p(stakes * shift)
    )
    peak = wealth.max(axis=1)
    logs: NDArray[np.float64] = peak + np.log(np.exp(wealth - peak[:, None]).mean(axis=1))
    return logs


def _check(better: int, worse: int, same: int) -> None:
    if min(better, worse, same) < 0:
        raise ValueError(f"counts are not negative: {better}, {worse}, {same}")
