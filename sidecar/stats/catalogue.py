"""The named ways in which a feed breaks: units, temperatures, signs, functions, scalers, each with its sentence.

Keeps: a transform says what live values are, given trained ones; a factor and its inverse are both listed. Linear
ones are `live = factor * trained + offset`, scalers among them; the others are functions by name.
Does not: fit or choose; whether a transform can apply to a baseline at all is all it knows.
Called by: naming, the comparison row by row, the proof of a cause by re-scoring.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.named_functions import FUNCTIONS, applied, undone
from sidecar.stats.units import TEMPERATURES, UNITS

Floats = NDArray[np.float64]

OTHER_END = "other end"
# The share of a baseline for which a function must be defined before it can be what happened.
_DEFINED = 0.8


@dataclass(frozen=True, slots=True)
class Transform:
    """`live = factor * trained + offset`, or the function `name` with its `parameter`.

    `story` says when that happens; `rare` ones need more evidence; a scaler has its name in `name`, too.
    """

    kind: Literal["scale", "affine", "sign", "scaler", "function"]
    factor: float = 1.0
    offset: float = 0.0
    story: str = ""
    rare: bool = False
    name: str = ""
    parameter: float = 0.0

    @property
    def says(self) -> str:
        """The transform as a formula, with the story where there is one. Limits and digits are not told."""
        if self.kind == "function":
            return f"live = {FUNCTIONS[self.name].formula}, x as trained ({self.story})"
        formula = f"live = {_number(self.factor)} × trained"
        if self.offset:
            formula += f" {'+' if self.offset > 0 else '−'} {_number(abs(self.offset))}"
        return f"{formula} ({self.story})" if self.story else formula

    def apply(self, trained: Floats) -> Floats:
        """What live values are; NaN outside of a function's domain."""
        if self.kind == "function":
            return applied(self.name, trained, self.parameter)
        return self.factor * trained + self.offset

    def undo(self, live: Floats) -> Floats | None:
        """What trained values were; None where they cannot be known, NaN where a value could not have come so.

        >>> Transform("scale", 0.01).undo(np.array([2.5])).tolist(), function("abs").undo(np.array([1.0]))
        ([250.0], None)
        """
        if self.kind == "function":
            return undone(self.name, live, self.parameter)
        return (live - self.offset) / self.factor if self.factor else None


@dataclass(frozen=True, slots=True)
class Figures:
    """What a scaler takes from the training data; `rows` it had (0: unknown)."""

    mean: float
    sd: float
    minimum: float
    maximum: float
    rows: int = 0

    @classmethod
    def of_quantiles(cls, quantiles: Floats) -> Figures:
        """The figures as equal-mass quantiles know them, for who has nothing better."""
        return cls(float(quantiles.mean()), float(quantiles.std()), float(quantiles[0]), float(quantiles[-1]))


SCALES: tuple[Transform, ...] = tuple(
    transform
    for factor, large, small, rare in UNITS
    for transform in (
        Transform("scale", factor, story=f"as when {large} become {small}", rare=rare),
        Transform("scale", 1.0 / factor, story=f"as when {small} become {large}", rare=rare),
    )
)


def function(name: str, parameter: float = 0.0) -> Transform:
    """The named function as a transform; KeyError where there is none of that name."""
    return Transform("function", story=FUNCTIONS[name].story, name=name, parameter=parameter)


def transforms_for(quantiles: Floats, figures: Figures | None = None) -> tuple[Transform, ...]:
    """All transforms that can apply to a baseline with these quantiles (ascending, finite)."""
    low, high = float(quantiles[0]), float(quantiles[-1])
    listed = [*SCALES, Transform("sign", -1.0, story="the sign is turned")]
    listed += [
        # Outside of its range a temperature is less likely, but a feature may be named as one by mistake.
        Transform("affine", factor, offset, f"as when {story}", rare=not least <= low <= high <= most)
        for least, most, factor, offset, story in TEMPERATURES
    ]
    if low >= 0 and high <= 1:
        listed.append(Transform("affine", -1.0, 1.0, "a share counted from the other end", name=OTHER_END))
    elif low >= 0 and high <= 100:
        listed.append(Transform("affine", -1.0, 100.0, "a percentage counted from the other end", name=OTHER_END))
    listed += _scalers(quantiles, figures or Figures.of_quantiles(quantiles))
    listed += _functions(quantiles)
    return tuple(listed)


def _scalers(quantiles: Floats, figures: Figures) -> Iterator[Transform]:
    mean, sd, low, width = figures.mean, figures.sd, figures.minimum, figures.maximum - figures.minimum
    middle, half = float(np.median(quantiles)), float(np.subtract(*np.quantile(quantiles, [0.75, 0.25])))
    lines: list[tuple[str, float, float, str, bool]] = []
    if sd > 0:
        lines += [
            ("standardised", 1 / sd, -mean / sd, "training's mean taken off, divided by its standard deviation", False),
            (
                "standardised twice",
                1 / sd**2,
                -mean / sd**2 - mean / sd,
                "standardised by training's figures, and then again",
                False,
            ),
            ("not standardised", sd, mean, "standardising undone, or no longer done", False),
            ("by the variance", 1 / sd**2, -mean / sd**2, "training's mean taken off, divided by its variance", True),
            ("not centred", 1 / sd, 0.0, "divided by training's standard deviation, its mean not taken off", True),
            ("centred", 1.0, -mean, "training's mean taken off, and not divided", True),
        ]
    if width > 0:
        lines += [
            ("min-max", 1 / width, -low / width, "training's range made 0 to 1", False),
            ("min-max to ±1", 2 / width, -2 * low / width - 1.0, "training's range made -1 to 1", True),
            ("not min-max", width, low, "0 to 1 made training's range", True),
        ]
    if half > 0:
        lines.append(("robust", 1 / half, -middle / half, "training's median taken off, divided by quartiles", True))
    for name, factor, offset, story, rare in lines:
        if np.isfinite(factor) and np.isfinite(offset) and factor > 0:
            yield Transform("scaler", factor, offset, story, rare, name)


def _functions(quantiles: Floats) -> Iterator[Transform]:
    whole = np.mean(quantiles == np.trunc(quantiles))
    for name in FUNCTIONS:
        if name.startswith("clip"):
            continue  # where it cuts is in the live values only
        if name == "abs" and quantiles[len(quantiles) // 100] >= 0:
            continue
        if name in ("truncate", "round") and whole > _DEFINED:
            continue
        made = function(name)
        if np.mean(np.isfinite(made.apply(quantiles))) >= _DEFINED:
            yield made


def _number(value: float) -> str:
    return f"{value:.7g}" if abs(value) >= 1 else f"{value:.4g}"
