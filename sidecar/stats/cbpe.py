"""Performance without labels: what calibrated scores say about right and wrong, from counts (binned CBPE).

Keeps: a function of counts, so replicas and buckets add exactly; each estimate has an error band; where the live
scores or features lie outside what training saw, it refuses in a sentence instead of guessing.
Does not: see a changed relation of inputs and truth (concept drift), so it is never evidence for a promotion.
Called by: whoever judges an alarm's harm; the calibration is the baseline's.
Source: Bialek et al. 2024 (confidence-based performance estimation); Barlow et al. 1972 (pool adjacent violators).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MOST_OUTSIDE = 0.02
# Of training's rows for live ones, by one feature. Chosen on data of its own (bench/drift/carried_over.py): above it
# one estimate in fifty was off by more than its band and a point, below it one in five.
LEAST_ALIKE = 0.3
_FEWEST_ROWS = 50
_FEWEST_CALIBRATED = 200
# Two-sided 99 %.
_DEVIATIONS = 2.5758293035489004


class ScoreCounts(msgspec.Struct, frozen=True):
    """Live rows by calibration bin and predicted class.

    `outside` of them had a score beyond the bins and stand in the nearest; `unscored` rows had no finite score and
    stand in none.
    """

    positive: tuple[int, ...]
    negative: tuple[int, ...]
    outside: int = 0
    unscored: int = 0

    @property
    def n(self) -> int:
        """Rows in bins."""
        return sum(self.positive) + sum(self.negative)

    def __add__(self, other: ScoreCounts) -> ScoreCounts:
        if len(self.positive) != len(other.positive):
            raise ValueError(f"{len(self.positive)} bins and {len(other.positive)} bins do not add up")
        return ScoreCounts(
            positive=tuple(map(sum, zip(self.positive, other.positive, strict=True))),
            negative=tuple(map(sum, zip(self.negative, other.negative, strict=True))),
            outside=self.outside + other.outside,
            unscored=self.unscored + other.unscored,
        )


class Estimate(msgspec.Struct, frozen=True):
    """An estimated metric with its 99 % band, all shares from 0 to 1."""

    value: float
    low: float
    high: float


class Performance(msgspec.Struct, frozen=True):
    """Estimates over `n` rows; None where a metric does not exist, all None where `refused` says why."""

    n: int
    accuracy: Estimate | None = None
    precision: Estimate | None = None
    recall: Estimate | None = None
    f1: Estimate | None = None
    auc: float | None = None
    refused: str | None = None


def score_counts(edges: Sequence[float], scores: ArrayLike, positive: ArrayLike) -> ScoreCounts:
    """Counts of rows with a score each (shape (n,)) of which `positive` were called positive (booleans).

    Bin i holds `edges[i] <= score < edges[i+1]`.

    >>> score_counts([0.0, 0.5, 1.0], [0.2, 0.7, 0.9, 1.5, float("nan")], [0, 1, 0, 1, 1])
    ScoreCounts(positive=(0, 2), negative=(1, 1), outside=1, unscored=1)
    """
    borders = np.asarray(edges, dtype=np.float64)
    values, called = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    if borders.ndim != 1 or borders.size < 2 or values.ndim != 1 or values.shape != called.shape:
        raise ValueError("two edges at least, and a predicted class for each score")
    finite = np.isfinite(values)
    values, called, bins = values[finite], called[finite], borders.size - 1
    places = np.searchsorted(borders, values, side="right") - 1
    inside = np.clip(places, 0, bins - 1)
    return ScoreCounts(
        positive=tuple(np.bincount(inside[called], minlength=bins).tolist()),
        negative=tuple(np.bincount(inside[~called], minlength=bins).tolist()),
        outside=int(np.count_nonzero(inside != places)),
        unscored=int(finite.size - np.count_nonzero(finite)),
    )


def estimate(
    counts: Sequence[int],
    positives: Sequence[int],
    live: ScoreCounts,
    *,
    features_outside: float = 0.0,
    features_alike: float = 1.0,
) -> Performance:
    """Performance on live rows by the baseline's calibration: rows and positive outcomes of each bin.

    `features_outside`: the largest share of live rows in which one important feature lies in cells that training
    never filled; `features_alike`: the share of training's rows that counts for live ones (`support`), by the feature
    that moved most. Refused above 2 % of either scores or features outside, below 30 % alike, and below 50 live or 200
    calibrated rows.

    >>> found = estimate([400, 400], [40, 360], ScoreCounts(positive=(0, 600), negative=(300, 100)))
    >>> found.accuracy.value, round(found.accuracy.high - found.accuracy.low, 2)
    (0.82, 0.07)
    """
    if not len(counts) == len(positives) == len(live.positive) == len(live.negative) >= 1:
        raise ValueError(f"{len(counts)} bins of the calibration, {len(live.positive)} of the live rows")
    if (reason := _reason(counts, live, features_outside, features_alike)) is not None:
        return Performance(n=live.n, refused=reason)
    said = np.asarray(live.positive, dtype=np.float64), np.asarray(live.negative, dtype=np.float64)
    return _performance(np.asarray(counts, dtype=np.float64), np.asarray(positives, dtype=np.float64), said)


def at_training(counts: Sequence[int], positives: Sequence[int], live: ScoreCounts) -> Performance:
    """The same for training's own rows, called positive as often in each bin as live rows are: what to compare with."""
    if not len(counts) == len(positives) == len(live.positive) >= 1:
        raise ValueError(f"{len(counts)} bins of the calibration, {len(live.positive)} of the live rows")
    trained = np.asarray(counts, dtype=np.float64)
    called = np.asarray(live.positive, dtype=np.float64)
    rows = called + np.asarray(live.negative, dtype=np.float64)
    if live.n < _FEWEST_ROWS or trained.sum() < _FEWEST_CALIBRATED:
        return Performance(n=int(trained.sum()), refused=_reason(counts, live, 0.0, 1.0) or "too few rows")
    share = _between(called / np.maximum(rows, 1.0), rows > 0)
    return _performance(trained, np.asarray(positives, dtype=np.float64), (trained * share, trained * (1.0 - share)))


def _reason(counts: Sequence[int], live: ScoreCounts, features_outside: float, features_alike: float) -> str | None:
    if sum(counts) < _FEWEST_CALIBRATED:
        return f"the baseline's calibration has {sum(counts)} rows, fewer than {_FEWEST_CALIBRATED}"
    if live.n < _FEWEST_ROWS:
        return f"{live.n} rows have a score, fewer than {_FEWEST_ROWS}"
    beyond = (live.outside + live.unscored) / (live.n + live.unscored)
    if beyond > MOST_OUTSIDE:
        return f"{beyond:.1%} of the scores lie outside what training saw; do not trust an estimate"
    if features_outside > MOST_OUTSIDE:
        return f"an important feature lies outside what training saw in {features_outside:.1%} of the rows"
    if features_alike < LEAST_ALIKE:
        return f"an important feature moved: at most {features_alike:.1%} of training's rows are like live ones"
    return None


def _performance(counts: Floats, positives: Floats, said: tuple[Floats, Floats]) -> Performance:
    """Metrics from rows called positive and negative (shape (bins,)) and the calibrated rate of each bin."""
    yes, no = said
    rate = calibrated_rates(counts, positives)
    n, called, true = float((yes + no).sum()), float(yes.sum()), float(((yes + no) * rate).sum())
    hits = float((yes * rate).sum())
    right = hits + float((no * (1.0 - rate)).sum())
    # How unsure one outcome of the bin is, and (through the rows of training) the bin's rate itself.
    spread = (positives + 0.5) / (counts + 1.0)
    spread = spread * (1.0 - spread)

    def banded(value: float, if_called: float, if_not: float) -> Estimate:
        """Band by the delta method: a positive outcome moves the metric so much in a row called positive, or not."""
        labels = float(((yes * if_called**2 + no * if_not**2) * spread).sum())
        known = float((np.square(yes * if_called + no * if_not) * spread / np.maximum(counts, 1.0)).sum())
        half = _DEVIATIONS * math.sqrt(labels + known)
        return Estimate(value, max(0.0, value - half), min(1.0, value + half))

    recall = hits / true if true > 0 else None
    both = called + true
    f1 = 2.0 * hits / both if both > 0 else None
    return Performance(
        n=round(n),
        accuracy=banded(right / n, 1.0 / n, -1.0 / n),
        precision=banded(hits / called, 1.0 / called, 0.0) if called > 0 else None,
        recall=banded(recall, (1.0 - recall) / true, -recall / true) if recall is not None else None,
        f1=banded(f1, (2.0 - f1) / both, -f1 / both) if f1 is not None else None,
        auc=_auc((yes + no) * rate, (yes + no) * (1.0 - rate)),
    )


def calibrated_rates(counts: ArrayLike, positives: ArrayLike) -> Floats:
    """Rate of positives in each bin, ascending with the score: pooled where the observed rates descend (shape (bins,)).

    A bin without rows lies between its neighbours.

    >>> calibrated_rates([10, 10, 0, 20], [3, 1, 0, 18]).round(3).tolist()
    [0.2, 0.2, 0.55, 0.9]
    """
    rows, hits = np.asarray(counts, dtype=np.float64), np.asarray(positives, dtype=np.float64)
    pools: list[tuple[float, float, int]] = []
    for n, k in zip(rows[rows > 0].tolist(), hits[rows > 0].tolist(), strict=True):
        pools.append((n, k, 1))
        while len(pools) > 1 and pools[-2][1] * pools[-1][0] >= pools[-1][1] * pools[-2][0]:
            last, before = pools.pop(), pools.pop()
            pools.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    rates = np.zeros(rows.size)
    rates[rows > 0] = np.concatenate([np.zeros(0), *(np.full(bins, k / n) for n, k, bins in pools)])
    return _between(rates, rows > 0)


def _between(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """The values, those that are not known taken from between their known neighbours."""
    places = np.arange(values.size, dtype=np.float64)
    return values if known.all() or not known.any() else np.interp(places, places[known], values[known])


def _auc(positive: Floats, negative: Floats) -> float | None:
    """Chance that a positive row scores above a negative one, rows of one bin counted half."""
    pairs = float(positive.sum() * negative.sum())
    below = np.cumsum(negative) - negative
    return float((positive * (below + 0.5 * negative)).sum()) / pairs if pairs > 0 else None
