"""By what factor the counts of live buckets vary more than independent rows would: sessions, batches, retries.

Keeps: a function of the held buckets' counts only. Neighbouring buckets are compared with each other, never with the
baseline, so neither natural variation from day to day nor a drift counts as dependence: a change touches
a few pairs of many, and the median does not hear it. Bits do not depend on the columns beside.
Does not: see dependence that lasts longer than a few buckets, or widen what is tolerated.
Called by: the e-detectors, which divide their counts by the factor (quasi-likelihood: Wedderburn 1974).
Source: Pearson's two-sample X2 on successive differences (von Neumann 1941).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidecar.stats.divergence_ball import summed

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

FEWEST_PAIRS = 8
# Buckets are compared one with the next, and four with the next four: what lasts a few buckets shows there.
_SCALES = (1, 4)
_NEWEST = 2 * _SCALES[-1]


class Overdispersion:
    """What the latest buckets of one column say of their dependence: ratios of neighbours, and the factor.

    `most` buckets are held; `ratios` has a row for each scale, NaN where a pair says nothing. While fewer than 8 pairs
    say something, the factor is `prior`.
    """

    __slots__ = ("degrees", "factor", "prior", "ratios")

    def __init__(self, most: int, prior: float = 1.0) -> None:
        if not 1.0 <= prior < np.inf:
            raise ValueError(f"an over-dispersion is 1 or more, not {prior}")
        self.ratios = np.full((len(_SCALES), most - 1), np.nan, dtype=np.float32)  # far finer than they are known
        self.degrees = np.ones(len(_SCALES))
        self.factor = self.prior = prior

    def replace(self, buckets: ArrayLike) -> None:
        """Begins anew with these buckets (shape (T, B), the newest last), as if each had been noted."""
        counts = np.asarray(buckets)
        if counts.ndim != 2 or not np.all(counts >= 0):
            raise ValueError("buckets are rows of counts, none negative")
        self.ratios[:], self.degrees[:] = np.nan, 1.0
        until = np.vstack([np.zeros((1, counts.shape[1]), dtype=np.int64), np.cumsum(counts, axis=0, dtype=np.int64)])
        for index, scale in enumerate(_SCALES):
            sums = until[scale:] - until[:-scale]
            if (pairs := min(len(sums) - scale, self.ratios.shape[1])) > 0:
                right = sums[-pairs:]
                left = sums[-pairs - scale : len(sums) - scale]
                ratios, degrees = _compared(left.T, right.T)
                self.ratios[index, -pairs:] = ratios
                if (known := degrees[degrees > 0]).size:
                    self.degrees[index] = known[-1]
        _settle([self])


def take_note(held: Sequence[Overdispersion], buckets: Sequence[NDArray[np.unsignedinteger]]) -> None:
    """Takes note of each column's newest bucket, the last of those it holds (shapes (T_k, B_k), T_k at least 1)."""
    if not held:
        return
    newest = np.zeros((max(rows.shape[1] for rows in buckets), _NEWEST, len(held)), dtype=np.int64)
    for column, rows in enumerate(buckets):
        latest = rows[-_NEWEST:]
        newest[: latest.shape[1], _NEWEST - len(latest) :, column] = latest.T
    enough = np.array([len(rows) for rows in buckets])
    for index, scale in enumerate(_SCALES):
        left = newest[:, _NEWEST - 2 * scale : _NEWEST - scale].sum(axis=1)
        ratios, degrees = _compared(left, newest[:, _NEWEST - scale :].sum(axis=1))
        ratios[enough < 2 * scale] = np.nan
        for column, noted in enumerate(held):
            noted.ratios[index, :-1] = noted.ratios[index, 1:]
            noted.ratios[index, -1] = ratios[column]
            if degrees[column] > 0 and enough[column] >= 2 * scale:
                noted.degrees[index] = degrees[column]
    _settle(held)


def overdispersion(buckets: ArrayLike) -> float:
    """The factor, at least 1, from counts of successive buckets with rows (shape (T, B), the newest last).

    The median over neighbours of X2 / (its mean for independent rows), less one standard error of that median, so that
    independent rows seldom lose weight; the larger of two scales. Fewer than 8 pairs say nothing: 1.

    >>> overdispersion([[50, 50]] * 20)
    1.0
    >>> overdispersion([[80, 20], [20, 80]] * 20) > 20
    True
    """
    held = Overdispersion(max(2, len(np.asarray(buckets))))
    held.replace(buckets)
    return held.factor


def _compared(left: Counts, right: Counts) -> tuple[Floats, Floats]:
    """X2 over its usual value, and its degrees of freedom, for pairs of counts (shapes (B, P)); NaN: says nothing."""
    both = left + right
    before, after = left.sum(axis=0), right.sum(axis=0)  # whole numbers: any order gives the same sum
    n = before + after
    degrees = np.count_nonzero(both, axis=0) - 1.0
    known = (degrees > 0) & (before > 0) & (after > 0)
    # X2 = n^2 / (n_left n_right) * sum of (left - both n_left / n)^2 / both.
    away = left - both * (before / np.maximum(n, 1))
    x2 = summed(np.square(away) / np.maximum(both, 1)) * np.square(n / 1.0) / np.where(known, before * 1.0 * after, 1.0)
    # Given the sums of a pair, the mean of X2 is exactly degrees n/(n-1); the median of chi-square lies a little below.
    freedom = np.where(known, degrees, 1.0)
    usual = freedom * n / np.maximum(n - 1.0, 1.0) * (1.0 - 2.0 / (9.0 * freedom)) ** 3
    return np.where(known, x2 / np.where(known, usual, 1.0), np.nan), np.where(known, degrees, 0.0)


def _settle(held: Sequence[Overdispersion]) -> None:
    factors, known = np.ones(len(held)), np.zeros(len(held), dtype=bool)
    columns = np.arange(len(held))
    for index, scale in enumerate(_SCALES):
        # What says nothing stands last.
        ratios = np.sort(np.stack([noted.ratios[index] for noted in held]), axis=1).astype(np.float64)
        size = np.count_nonzero(~np.isnan(ratios), axis=1)
        # Pairs at a larger scale overlap: as many are independent as fit side by side.
        independent = size / scale
        median = 0.5 * (ratios[columns, (size - 1) // 2] + ratios[columns, np.minimum(size // 2, ratios.shape[1] - 1)])
        degrees = np.array([noted.degrees[index] for noted in held])
        error = 1.2533 * np.sqrt(2.0 / degrees / np.maximum(independent, 1.0))
        enough = independent >= FEWEST_PAIRS
        known |= enough
        factors = np.maximum(factors, np.where(enough, median * np.maximum(0.0, 1.0 - error), 1.0))
    for noted, factor, measured in zip(held, factors.tolist(), known.tolist(), strict=True):
        noted.factor = factor if measured else noted.prior
