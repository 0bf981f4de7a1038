"""The named ways in which a feed breaks: unit factors, temperature scales, turned signs, each with its sentence.

Keeps: every transform is `live = factor * trained + offset`; a factor and its inverse are both listed.
Does not: fit or choose; whether a transform can apply to a baseline at all is all it knows.
Called by: naming.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Transform:
    """`live = factor * trained + offset`; `story` says when that happens; `rare` ones need more evidence."""

    kind: Literal["scale", "affine", "sign"]
    factor: float
    offset: float = 0.0
    story: str = ""
    rare: bool = False

    @property
    def says(self) -> str:
        """The transform as a formula, with the story where there is one."""
        formula = f"live = {_number(self.factor)} × trained"
        if self.offset:
            formula += f" {'+' if self.offset > 0 else '−'} {_number(abs(self.offset))}"
        return f"{formula} ({self.story})" if self.story else formula


# factor, from, to, rare: `to` is the smaller unit, so values grow by the factor.
_UNITS: tuple[tuple[float, str, str, bool], ...] = (
    (10.0, "centimetres", "millimetres", False),
    (100.0, "euros", "cents", False),
    (1e3, "seconds", "milliseconds", False),
    (1e4, "fractions", "basis points", True),
    (1e6, "seconds", "microseconds", False),
    (1e9, "seconds", "nanoseconds", False),
    (60.0, "minutes", "seconds", False),
    (3_600.0, "hours", "seconds", False),
    (86_400.0, "days", "seconds", False),
    (3.6e6, "hours", "milliseconds", True),
    (24.0, "days", "hours", False),
    (1_440.0, "days", "minutes", True),
    (7.0, "weeks", "days", True),
    (12.0, "years", "months", False),
    (1_024.0, "kibibytes", "bytes", True),
    (1_048_576.0, "mebibytes", "bytes", True),
    (8.0, "bytes", "bits", True),
    (2.54, "inches", "centimetres", False),
    (25.4, "inches", "millimetres", True),
    (3.28084, "metres", "feet", False),
    (30.48, "feet", "centimetres", True),
    (1.609344, "miles", "kilometres", False),
    (2.2046226, "kilograms", "pounds", False),
    (28.349523, "ounces", "grams", True),
    (453.59237, "pounds", "grams", True),
    (3.785412, "gallons", "litres", True),
    (4.184, "calories", "joules", True),
    (3.6, "metres a second", "kilometres an hour", True),
    (1.943844, "metres a second", "knots", True),
    (57.29578, "radians", "degrees", True),
    (33.8639, "inches of mercury", "hectopascals", True),
)

SCALES: tuple[Transform, ...] = tuple(
    transform
    for factor, large, small, rare in _UNITS
    for transform in (
        Transform("scale", factor, story=f"as when {large} become {small}", rare=rare),
        Transform("scale", 1.0 / factor, story=f"as when {small} become {large}", rare=rare),
    )
)

# The baseline's range, within which it may be a temperature on that scale; factor, offset, story.
_TEMPERATURES: tuple[tuple[float, float, Transform], ...] = tuple(
    (low, high, Transform("affine", factor, offset, f"as when {story}"))
    for low, high, factor, offset, story in (
        (-100.0, 200.0, 1.8, 32.0, "degrees Celsius become Fahrenheit"),
        (-100.0, 200.0, 1.0, 273.15, "degrees Celsius become kelvins"),
        (-150.0, 400.0, 5 / 9, -160 / 9, "degrees Fahrenheit become Celsius"),
        (-150.0, 400.0, 5 / 9, 273.15 - 160 / 9, "degrees Fahrenheit become kelvins"),
        (100.0, 500.0, 1.0, -273.15, "kelvins become degrees Celsius"),
        (100.0, 500.0, 1.8, -459.67, "kelvins become degrees Fahrenheit"),
    )
)


def transforms_for(quantiles: Floats) -> tuple[Transform, ...]:
    """All transforms that can apply to a baseline with these quantiles (ascending, finite)."""
    low, high = float(quantiles[0]), float(quantiles[-1])
    listed = [*SCALES, Transform("sign", -1.0, story="the sign is turned")]
    listed += [made for least, most, made in _TEMPERATURES if least <= low and high <= most]
    if low >= 0 and high <= 1:
        listed.append(Transform("affine", -1.0, 1.0, "a share counted from the other end"))
    elif low >= 0 and high <= 100:
        listed.append(Transform("affine", -1.0, 100.0, "a percentage counted from the other end"))
    return tuple(listed)


def _number(value: float) -> str:
    return f"{value:.7g}" if abs(value) >= 1 else f"{value:.4g}"
