"""Functions that a pipeline applies by mistake: logarithms taken twice, values cut, rounded, squared.

Keeps: outside of its domain a function gives NaN and raises nothing. `undo` is the inverse where there is one; what
is rounded, cut or without its sign cannot be undone.
Does not: choose between functions. Called by: the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Map = Callable[[Floats, float], Floats]

# Beyond this an exponential says nothing any more.
_LARGEST_EXPONENT = 300.0


@dataclass(frozen=True, slots=True)
class NamedFunction:
    """`apply(values, parameter)`; `formula` with `x` for the trained value and `p` for the parameter."""

    formula: str
    story: str
    apply: Map
    undo: Map | None = None


def _power(root: float) -> Map:
    return lambda x, _: np.asarray(np.power(root, np.where(x <= _LARGEST_EXPONENT, x, np.nan)), dtype=np.float64)


def _whole_power(x: Floats, _: float) -> Floats:
    grown: Floats = np.exp(np.where(x <= _LARGEST_EXPONENT, x, np.nan))
    return grown


FUNCTIONS: dict[str, NamedFunction] = {
    "ln": NamedFunction("ln(x)", "the natural logarithm was taken", lambda x, _: np.log(x), _whole_power),
    "log10": NamedFunction("log10(x)", "the common logarithm was taken", lambda x, _: np.log10(x), _power(10.0)),
    "log2": NamedFunction("log2(x)", "the logarithm to base 2 was taken", lambda x, _: np.log2(x), _power(2.0)),
    "log1p": NamedFunction(
        "ln(1 + x)",
        "the logarithm of one plus the value was taken",
        lambda x, _: np.log1p(x),
        lambda x, _: np.expm1(np.where(x <= _LARGEST_EXPONENT, x, np.nan)),
    ),
    "exp": NamedFunction("exp(x)", "a logarithm is no longer taken", _whole_power, lambda x, _: np.log(x)),
    "exp10": NamedFunction("10^x", "a common logarithm is no longer taken", _power(10.0), lambda x, _: np.log10(x)),
    "exp2": NamedFunction("2^x", "a logarithm to base 2 is no longer taken", _power(2.0), lambda x, _: np.log2(x)),
    "expm1": NamedFunction(
        "exp(x) − 1",
        "a logarithm of one plus the value is no longer taken",
        lambda x, _: np.expm1(np.where(x <= _LARGEST_EXPONENT, x, np.nan)),
        lambda x, _: np.log1p(x),
    ),
    "sqrt": NamedFunction("√x", "the square root was taken", lambda x, _: np.sqrt(x), lambda x, _: x * x),
    "square": NamedFunction("x²", "the value was squared", lambda x, _: x * x, lambda x, _: np.sqrt(x)),
    "reciprocal": NamedFunction(
        "1 / x", "numerator and denominator changed places", lambda x, _: 1.0 / x, lambda x, _: 1.0 / x
    ),
    "abs": NamedFunction("|x|", "the sign was lost", lambda x, _: np.abs(x)),
    "truncate": NamedFunction("x without its decimals", "decimals were cut off", lambda x, _: np.trunc(x)),
    "round": NamedFunction(
        "x rounded", "values were rounded", lambda x, digits: np.asarray(np.round(x, int(digits)), dtype=np.float64)
    ),
    "clip above": NamedFunction("x, cut above", "large values were cut", np.minimum),
    "clip below": NamedFunction("x, cut below", "small values were cut", np.maximum),
}


def applied(name: str, values: Floats, parameter: float = 0.0) -> Floats:
    """The function on values; NaN outside of its domain.

    >>> applied("log10", np.array([100.0, 0.0])).tolist(), applied("round", np.array([2.26]), 1.0).tolist()
    ([2.0, nan], [2.3])
    """
    return _finite(FUNCTIONS[name].apply, values, parameter)


def undone(name: str, values: Floats, parameter: float = 0.0) -> Floats | None:
    """The inverse on values, NaN outside of its domain; None where there is none."""
    undo = FUNCTIONS[name].undo
    return None if undo is None else _finite(undo, values, parameter)


def _finite(function: Map, values: Floats, parameter: float) -> Floats:
    with np.errstate(all="ignore"):
        found = function(values, parameter)
    return np.where(np.isfinite(found), found, np.nan)
