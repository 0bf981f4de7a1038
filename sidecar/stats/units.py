"""The table of units in which a number may come by mistake: how many of the small one make the large one.

Keeps: each pair once; the catalogue lists a factor and its inverse. `rare` units need more evidence before they are
named, since the world, too, moves by such factors.
Does not: anything. Called by: the catalogue.
"""

from __future__ import annotations

import math

# factor, from, to, rare: `to` is the smaller unit, so values grow by the factor.
UNITS: tuple[tuple[float, str, str, bool], ...] = (
    (10.0, "centimetres", "millimetres", False),
    (100.0, "euros", "cents", False),
    (1e3, "seconds", "milliseconds", False),
    (1e4, "fractions", "basis points", True),
    (1e5, "kilometres", "centimetres", True),
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
    (2.236936, "metres a second", "miles an hour", True),
    (1.943844, "metres a second", "knots", True),
    (57.29578, "radians", "degrees", True),
    (33.8639, "inches of mercury", "hectopascals", True),
    (math.log(10.0), "common logarithms", "natural logarithms", True),
)

# The baseline's range, within which it may well be a temperature on that scale; factor, offset, what became what.
TEMPERATURES: tuple[tuple[float, float, float, float, str], ...] = (
    (-100.0, 200.0, 1.8, 32.0, "degrees Celsius become Fahrenheit"),
    (-100.0, 200.0, 1.0, 273.15, "degrees Celsius become kelvins"),
    (-150.0, 400.0, 5 / 9, -160 / 9, "degrees Fahrenheit become Celsius"),
    (-150.0, 400.0, 5 / 9, 273.15 - 160 / 9, "degrees Fahrenheit become kelvins"),
    (100.0, 500.0, 1.0, -273.15, "kelvins become degrees Celsius"),
    (100.0, 500.0, 1.8, -459.67, "kelvins become degrees Fahrenheit"),
)
