"""What a world that moves by itself looks like: training's rows, some kinds of them more often than before.

Keeps: the density changes smoothly with the rank, and only where training had rows: an exponential family in Legendre
polynomials of the rank, of degree 1 to 4. So it can imitate any shift, spread or mix of what was known, and no value
that was never seen: what a feed does and a season does not.
Does not: name anything; it is the rival of every name.
Called by: numeric candidates. Source: smooth alternatives after Neyman (1937); their cost is that of BIC, ln n each.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Floats = NDArray[np.float64]

DEGREES = (1, 2, 3, 4)
_STEPS = 12
_LONGEST = 4.0
_RIDGE = 1e-9
_FARTHEST = 1.0  # nats: what goes farther is no mix of what was known, but another thing


def reweighted(observed: Floats, before: Floats) -> Iterator[tuple[int, Floats]]:
    """Degree and cell masses of the likeliest reweighting of each degree.

    Args:
        observed: live rows in ascending cells, shape (cells,).
        before: the share of training's rows in them, not smoothed: a cell without any stays without.

    >>> before, live = np.full(8, 0.125), 0.125 * np.exp(0.5 * np.linspace(-1, 1, 8))
    >>> fits = dict(reweighted(1_000 * live / live.sum(), before))
    >>> bool(np.abs(fits[1] - live / live.sum()).max() < 1e-3), sorted(fits)
    (True, [1, 2, 3, 4])
    """
    known = before > 0.0
    share = np.where(known, observed, 0.0) / max(float(observed[known].sum()), 1.0)
    ranks = 2.0 * (np.cumsum(before) - 0.5 * before) / before.sum() - 1.0
    basis = np.polynomial.legendre.legvander(ranks, DEGREES[-1])[:, 1:]
    slopes = np.zeros(0)
    for degree in DEGREES:
        slopes = _likeliest(share, before, basis[:, :degree], np.append(slopes, 0.0))
        masses = _masses(before, basis[:, :degree] @ slopes)
        if float((xlogy(masses, masses) - xlogy(masses, before)).sum()) <= _FARTHEST:
            yield degree, masses


def _likeliest(share: Floats, before: Floats, basis: Floats, slopes: Floats) -> Floats:
    """Newton's steps on a concave likelihood, halved where they would lose."""
    aim = share @ basis
    found = _masses(before, basis @ slopes)
    worth = _worth(share, found)
    for _ in range(_STEPS):
        mean = found @ basis
        spread = (basis * found[:, None]).T @ basis - np.outer(mean, mean)
        step = np.linalg.solve(spread + _RIDGE * np.eye(slopes.size), aim - mean)
        step *= min(1.0, _LONGEST / max(float(np.abs(step).max()), 1e-12))
        for _ in range(4):
            tried = _masses(before, basis @ (slopes + step))
            gained = _worth(share, tried) - worth
            if gained >= 0.0:
                break
            step *= 0.5
        else:
            return slopes
        slopes, found, worth = slopes + step, tried, worth + gained
        if gained < 1e-7:
            break
    return slopes


def _masses(before: Floats, heights: Floats) -> Floats:
    grown = before * np.exp(heights - heights.max())
    masses: Floats = grown / grown.sum()
    return masses


def _worth(share: Floats, masses: Floats) -> float:
    return float(xlogy(share, masses).sum())
