"""Sums of numbers that differ by many magnitudes, exact: as whole numbers of a unit far below any of them.

Keeps: adding, merging and taking back leave no trace and know no order, so one value far out, in force or corrected,
costs the others nothing. Numbers are finite; what of one lies below the unit, 2**-256, is cut off, always alike.
Does not: bound the numbers (their callers do). Called by: the tallies of amounts and the risk of amounts.
Source: superaccumulators (Kulisch 1971), with Python's integers for the register.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_UNIT_BITS = 256
_MANTISSA_BITS = 53
# Halves of mantissas, shifted by less than a step, add up exactly in a float: 2**18 rows at once.
_HALF_BITS = 27
_STEP_BITS = 8


def exact_sum(values: NDArray[np.float64], signs: NDArray[np.int64] | None = None) -> int:
    """Sum of `values` (shape (n,)), each times its sign of 1 or -1, in units; ValueError where one is not finite.

    >>> as_float(exact_sum(np.array([1e60, 0.1, -1e60]))) == 0.1
    True
    """
    if not np.isfinite(values).all():
        raise ValueError("only finite numbers have an exact sum")
    share, exponents = np.frexp(np.abs(values))
    whole = np.ldexp(share, _MANTISSA_BITS).astype(np.int64)
    shifts = exponents.astype(np.int64) - _MANTISSA_BITS + _UNIT_BITS
    whole >>= np.clip(-shifts, 0, 63)
    shifts = np.maximum(shifts, 0)
    place, step = shifts // _STEP_BITS, shifts % _STEP_BITS
    mine = np.sign(values) if signs is None else np.sign(values) * signs
    halves = whole >> _HALF_BITS, whole & ((1 << _HALF_BITS) - 1)
    high, low = (np.bincount(place, weights=mine * (half << step)) for half in halves)
    return sum(((int(high[at]) << _HALF_BITS) + int(low[at])) << (at * _STEP_BITS) for at in np.unique(place).tolist())


def as_float(units: int) -> float:
    """The nearest float to a sum of units."""
    return units / (1 << _UNIT_BITS)


def as_text(units: int) -> str:
    """A sum as it is stored: a snapshot's numbers end at 64 bits."""
    return f"{units:x}"


def from_stored(stored: str | float) -> int:
    """A stored sum; earlier versions stored floats. ValueError where it is none."""
    return int(stored, 16) if isinstance(stored, str) else exact_sum(np.array([stored]))
