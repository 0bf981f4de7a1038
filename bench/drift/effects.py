"""Changes of a known size, each with how to draw rows before and after, and the oracle's log-likelihood ratio.

Numeric columns are standard normal before; categorical ones have ten categories with Zipf's shares; gaps are 2 % of
a normal column. Sizes are those of the plan's experiment C. Pure but for the generator that is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

CATEGORIES = 10
ZIPF: Floats = (1.0 / np.arange(1, CATEGORIES + 1)) / (1.0 / np.arange(1, CATEGORIES + 1)).sum()
_GAPS = 0.02


class Effect(msgspec.Struct, frozen=True):
    """A change. `before` and `after` draw values; `ratio` is ln(after/before) of each value.

    Categories are whole numbers, missing is NaN. `name` is unique.
    """

    name: str
    kind: str
    before: Draw
    after: Draw
    ratio: Callable[[Floats], Floats]


def normal(rng: np.random.Generator, rows: int) -> Floats:
    """What numeric columns are before."""
    return rng.standard_normal(rows)


def zipf(rng: np.random.Generator, rows: int) -> Floats:
    """What categorical columns are before."""
    return rng.choice(CATEGORIES, size=rows, p=ZIPF).astype(np.float64)


def _mean(sd: float) -> Effect:
    return Effect(
        f"mean +{sd:g}σ", "numeric", normal, lambda rng, n: normal(rng, n) + sd, lambda x: sd * x - 0.5 * sd * sd
    )


def _scale(factor: float) -> Effect:
    return Effect(
        f"spread ×{factor:g}",
        "numeric",
        normal,
        lambda rng, n: factor * normal(rng, n),
        lambda x: 0.5 * x * x * (1 - factor**-2) - math.log(factor),
    )


def _mixed(share: float, shift: float) -> Effect:
    """A share of the rows comes from elsewhere, `shift` standard deviations away."""

    def after(rng: np.random.Generator, rows: int) -> Floats:
        return normal(rng, rows) + shift * (rng.random(rows) < share)

    def ratio(x: Floats) -> Floats:
        found: Floats = np.log1p(share * np.expm1(shift * x - 0.5 * shift * shift))
        return found

    return Effect(f"{share:.0%} of rows +{shift:g}σ", "numeric", normal, after, ratio)


def _missing(more: float) -> Effect:
    def gaps(share: float) -> Draw:
        return lambda rng, rows: np.where(rng.random(rows) < share, np.nan, normal(rng, rows))

    absent, present = math.log((_GAPS + more) / _GAPS), math.log((1 - _GAPS - more) / (1 - _GAPS))
    return Effect(
        f"missing +{100 * more:g} points",
        "numeric",
        gaps(_GAPS),
        gaps(_GAPS + more),
        lambda x: np.where(np.isnan(x), absent, present),
    )


def _remix(moved: float) -> Effect:
    """A share of all rows moves from the most frequent category to the next four."""
    shares = ZIPF.copy()
    shares[0] -= moved
    shares[1:5] += moved / 4
    return Effect(
        f"categories re-mixed by {100 * moved:g} points",
        "categorical",
        zipf,
        lambda rng, rows: rng.choice(CATEGORIES, size=rows, p=shares).astype(np.float64),
        lambda x: np.log(shares / ZIPF)[x.astype(np.int64)],
    )


def _new_category(share: float) -> Effect:
    def after(rng: np.random.Generator, rows: int) -> Floats:
        return np.where(rng.random(rows) < share, float(CATEGORIES), zipf(rng, rows))

    # What never happens before is certainty when it does; 50 is e to more than any threshold here.
    return Effect(
        f"new category in {100 * share:g} %",
        "categorical",
        zipf,
        after,
        lambda x: np.where(x == CATEGORIES, 50.0, math.log1p(-share)),
    )


EFFECTS: tuple[Effect, ...] = (
    *(_mean(sd) for sd in (0.1, 0.2, 0.3, 0.5, 1.0)),
    *(_scale(factor) for factor in (1.1, 1.25, 1.5, 2.0)),
    *(_mixed(share, 4.0) for share in (0.01, 0.05, 0.1, 0.3)),
    *(_missing(more) for more in (0.02, 0.05, 0.2)),
    *(_remix(moved) for moved in (0.05, 0.1, 0.2)),
    *(_new_category(share) for share in (0.005, 0.01, 0.05)),
)
QUICK = ("mean +0.3σ", "spread ×1.5", "categories re-mixed by 10 points")
