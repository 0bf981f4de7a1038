"""What the values of one column are: numbers, category texts, missing, or of a wrong type.

Invariant: training and live traffic are read by these same rules, so one value never lands in two places. Columns
are numpy arrays or sequences of JSON values; arrays and lists of pure numbers are read in one numpy step, only mixed
lists value by value. Never raises on a value, however strange. Pure; used by the cells and the baseline builder.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Column: TypeAlias = NDArray[Any] | Sequence[object]

TEXT_LIMIT = 120
# Python refuses to print integers of more than 4,300 digits; nobody names a category with half as many.
_INTEGER_BITS_LIMIT = 4_096
_NUMBERS = frozenset((int, float, type(None), np.float64))
_TEXTS = frozenset((str, int, float, type(None)))


@dataclass(frozen=True, slots=True)
class CategoryTally:
    """A column counted by text; `unlisted` counts known values whose texts were not kept."""

    texts: Counter[str]
    missing: int = 0
    wrong_type: int = 0
    unlisted: int = 0


def numbers_in(column: Column) -> tuple[NDArray[np.float64], int]:
    """The numbers of a column as float64 with NaN for missing, and how many values were of a wrong type.

    Booleans, texts and containers are of a wrong type and left out; an integer beyond float64 is an infinity.

    >>> numbers_in([1, None, "1", True, 2.5])
    (array([1. , nan, 2.5]), 2)
    """
    if isinstance(column, np.ndarray):
        if column.dtype.kind in "fiu":
            return column.ravel().astype(np.float64, copy=False), 0
        if column.dtype.kind != "O":
            return np.empty(0), column.size
        column = column.ravel().tolist()
    # bool is no number here, but numpy would silently make it one: the types must be looked at first.
    if set(map(type, column)) <= _NUMBERS:
        try:
            return np.asarray(column, dtype=np.float64), 0
        except OverflowError:
            pass  # an integer beyond float64: value by value
    numbers = [number for value in column if (number := _number(value)) is not None]
    return np.asarray(numbers, dtype=np.float64), len(column) - len(numbers)


def _number(value: object) -> float | None:
    """One value as float64, NaN where missing, None where it is no number."""
    if value is None:
        return math.nan
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, float, np.integer, np.floating)):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return None


def categories_in(column: Column) -> CategoryTally:
    """A column's values as category texts, counted."""
    if isinstance(column, np.ndarray):
        column = column.ravel().tolist()
    # Counting first and reading each distinct value once is what makes long columns cheap. It is only right where
    # equal values have equal texts, which True and 1 have not.
    groups = Counter(column).items() if set(map(type, column)) <= _TEXTS else ((value, 1) for value in column)
    texts: Counter[str] = Counter()
    missing = wrong_type = 0
    for value, count in groups:
        if value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)):
            missing += count
        elif (text := category_text(value)) is None:
            wrong_type += count
        else:
            texts[text] += count
    return CategoryTally(texts, missing, wrong_type)


def category_text(value: object) -> str | None:
    """The text under which one value is counted as a category; None where its type is wrong.

    Integral floats read as integers, since JSON writers disagree about `1` and `1.0`. Texts longer than 120 characters
    keep their first 100 and a digest, so that no value makes a document or a label large.

    >>> [category_text(value) for value in ("a", True, 3, 3.0, 0.5, [1])]
    ['a', 'true', '3', '3', '0.5', None]
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _storable(str(int(value))) if value.is_integer() else repr(value)
    if isinstance(value, int) and value.bit_length() <= _INTEGER_BITS_LIMIT:
        return _storable(str(value))
    return None


def _storable(text: str) -> str:
    if not text.isascii():
        # Lone surrogates come in through JSON escapes and cannot be written as UTF-8.
        text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= TEXT_LIMIT:
        return text
    return f"{text[:100]}~{blake2b(text.encode(), digest_size=8).hexdigest()}"
