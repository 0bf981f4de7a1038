"""How far probabilities lie from what came true, by bins: the expected calibration error of one version and of two.

Keeps: whole numbers that add and can be taken back (sums in billionths), so order and replicas change nothing.
Bins are of equal width, a score on an edge belongs to the lower one, as in scikit-learn's `calibration_curve`.
Does not: calibrate. The error of few rows is too large by nature; two versions on the same rows share that, so their
difference is the better figure. Called by: the quality tallies. Source: Naeini, Cooper & Hauskrecht 2015; Guo et al.
2017; the interval of the difference by the signs of the bins, `stats.mean_interval`.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.stats.mean_interval import half_width

BINS = 15
_EDGES = tuple(place / BINS for place in range(1, BINS))
_BILLION = 1_000_000_000


class Reliability(msgspec.Struct, frozen=True):
    """One bin that has rows: their mean score beside the share that came true."""

    n: int
    score: float
    came_true: float


class Calibration(msgspec.Struct):
    """Rows by bin of the score: how many, how many came true, and the summed scores in billionths.

    `squares`: summed squares of (came true - score), in billionths.

    >>> counts = Calibration()
    >>> for score, came_true in ((0.9, True), (0.8, True), (0.95, False), (0.1, False)):
    ...     counts.add(bin_of(score), score, came_true)
    >>> round(counts.error, 4)
    0.3375
    """

    n: list[int] = msgspec.field(default_factory=lambda: [0] * BINS)
    positives: list[int] = msgspec.field(default_factory=lambda: [0] * BINS)
    scores: list[int] = msgspec.field(default_factory=lambda: [0] * BINS)
    squares: list[int] = msgspec.field(default_factory=lambda: [0] * BINS)

    def add(self, place: int, score: float, came_true: bool, sign: int = 1) -> None:
        """One row in its bin; sign -1 takes it back."""
        self.n[place] += sign
        self.scores[place] += sign * round(score * _BILLION)
        if came_true:
            self.positives[place] += sign
        self.squares[place] += sign * round((came_true - score) ** 2 * _BILLION)

    def add_many(
        self,
        places: NDArray[np.int64],
        scores: NDArray[np.float64],
        came_true: NDArray[np.bool_],
        signs: NDArray[np.int64],
    ) -> None:
        """Rows at once, by their `bins_of`."""
        said = signs * np.rint(scores * _BILLION)
        squares = signs * np.rint((came_true - scores) ** 2 * _BILLION)
        # Sums of whole numbers below 2**53, so they are exact.
        for mine, weights in zip(self._rows(), (signs, signs * came_true, said, squares), strict=True):
            for place, total in enumerate(np.bincount(places, weights=weights, minlength=BINS).tolist()):
                mine[place] += int(total)

    def merge(self, other: Calibration, sign: int = 1) -> None:
        """Adds another one, which stays as it is."""
        for mine, theirs in zip(self._rows(), other._rows(), strict=True):
            for place, count in enumerate(theirs):
                mine[place] += sign * count

    @property
    def rows(self) -> int:
        """Rows counted."""
        return sum(self.n)

    @property
    def error(self) -> float | None:
        """Mean over rows of |share that came true - mean score| of their bin; None without a row."""
        rows = self.rows
        return sum(map(abs, self.gaps())) / rows if rows else None

    def gaps(self) -> list[float]:
        """By bin: how many more came true than the scores said."""
        return [hits - said / _BILLION for hits, said in zip(self.positives, self.scores, strict=True)]

    def reliability(self) -> tuple[Reliability, ...]:
        """The bins with rows, ascending."""
        rows = zip(self.n, self.scores, self.positives, strict=True)
        return tuple(Reliability(n, said / _BILLION / n, hits / n) for n, said, hits in rows if n > 0)

    def interval(self, alpha: float = 0.05) -> tuple[float, float] | None:
        """For `error`, valid at any look, asymptotically; None for too few rows."""
        rows, error = self.rows, self.error
        if error is None:
            return None
        variance = max(0.0, sum(self.squares) / _BILLION / rows - error * error) + 1.0 / rows
        half = half_width(rows, math.sqrt(variance), alpha)
        return (max(0.0, error - half), error + half) if math.isfinite(half) else None

    @property
    def whole(self) -> bool:
        """Whether there is a number for each bin: what was stored may be damaged."""
        return all(len(row) == BINS for row in self._rows())

    def _rows(self) -> tuple[list[int], ...]:
        return self.n, self.positives, self.scores, self.squares


def bins_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """`bin_of` each."""
    return np.searchsorted(_EDGES, scores, side="left").astype(np.int64)


class CrossCalibration(msgspec.Struct):
    """Products of two versions' (came true - score) on the same rows, summed by both bins, in billionths."""

    products: dict[int, int] = {}

    def add(self, bins: tuple[int, int], gaps: tuple[float, float], sign: int = 1) -> None:
        """One row of both versions."""
        place = bins[0] * BINS + bins[1]
        self.products[place] = self.products.get(place, 0) + sign * round(gaps[0] * gaps[1] * _BILLION)

    def add_many(
        self,
        bins: tuple[NDArray[np.int64], NDArray[np.int64]],
        gaps: tuple[NDArray[np.float64], NDArray[np.float64]],
        signs: NDArray[np.int64],
    ) -> None:
        """Rows of both versions at once."""
        sums = np.bincount(bins[0] * BINS + bins[1], weights=signs * np.rint(gaps[0] * gaps[1] * _BILLION))
        for place in np.flatnonzero(sums).tolist():
            self.products[place] = self.products.get(place, 0) + int(sums[place])

    def merge(self, other: CrossCalibration) -> None:
        """Adds another one, which stays as it is."""
        for place, product in other.products.items():
            self.products[place] = self.products.get(place, 0) + product


def bin_of(score: float) -> int:
    """The bin of a probability.

    >>> bin_of(0.0), bin_of(1 / 15), bin_of(0.07), bin_of(1.0)
    (0, 0, 1, 14)
    """
    return bisect_left(_EDGES, score)


def error_difference(
    champion: Calibration, challenger: Calibration, cross: CrossCalibration, alpha: float = 0.05
) -> tuple[float, float, float] | None:
    """(value, lower, upper) of the challenger's calibration error less the champion's, on the same rows.

    With the signs of the bins as they are, either error is a mean over rows, and so is their difference: its variance
    needs the two sums of squares and the products of the pairs of bins. None without rows of both; for too few of them
    the bounds are infinite.
    """
    rows = challenger.rows
    if not rows or champion.rows != rows or champion.error is None or challenger.error is None:
        return None
    value = challenger.error - champion.error
    signs = [[math.copysign(1.0, gap) for gap in one.gaps()] for one in (champion, challenger)]
    shared = sum(
        signs[0][place // BINS] * signs[1][place % BINS] * product for place, product in cross.products.items()
    )
    squares = (sum(champion.squares) + sum(challenger.squares) - 2 * shared) / _BILLION / rows
    half = half_width(rows, math.sqrt(max(0.0, squares - value * value) + 1.0 / rows), alpha)
    return value, value - half, value + half
