"""Rows whose columns are numpy arrays or sequences of Python values.

Invariant: the values are read by the rules of `column`, after numpy scalars, decimals and dates were made what JSON
has for them. ValueError in a sentence for lists and objects. Used for tables in memory; `column_of_integers` and
`plain` also by their neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry_client.column import Column, categories_in, category_text, numbers_in
from registry_client.column_summary import FEW_INTEGERS, ColumnSummary
from registry_client.text_counts import TextCounts
from registry_client.time_blocks import days_of_values

_JSON_TYPES = frozenset((int, float, str, bool, type(None), list, dict))
_NUMBER_TYPES = frozenset((int, float, type(None)))
_POSITIVE, _NEGATIVE = frozenset(("1", "true")), frozenset(("0", "false"))


@dataclass(frozen=True, slots=True)
class ValueRows:
    """Columns in memory, by name."""

    columns: Mapping[str, Column]

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values())))

    def summary(self, name: str, seen: ColumnSummary | None) -> ColumnSummary:
        """One column summed up."""
        return column_of_values(name, self.columns[name], seen=seen)

    def days(self, name: str) -> NDArray[np.int64]:
        """One column as days."""
        return days_of_values(self.columns[name])

    def scores(self, name: str) -> NDArray[np.float64]:
        """One column as numbers, NaN where there is none; all NaN where some values are no numbers."""
        column = plain(self.columns[name])
        numbers, wrong_type = numbers_in(column)
        return np.full(len(column), np.nan) if wrong_type else numbers

    def signs(self, name: str) -> NDArray[np.int8]:
        """One column as 1 where it is 1 or true, 0 where it is 0 or false, -1 where it is anything else."""
        column = plain(self.columns[name])
        if isinstance(column, np.ndarray) and column.dtype.kind in "fiub":
            return np.where(column == 1, 1, np.where(column == 0, 0, -1)).astype(np.int8)
        return np.array([sign_of(category_text(value)) for value in column], np.int8)

    def taken(self, places: NDArray[np.int64]) -> ValueRows:
        """The rows at these places."""
        return ValueRows(
            {
                name: column[places] if isinstance(column, np.ndarray) else [column[place] for place in places.tolist()]
                for name, column in self.columns.items()
            }
        )


def sign_of(text: str | None) -> int:
    """A value of an outcome, by its text: 1 positive, 0 negative, -1 neither."""
    return 1 if text in _POSITIVE else 0 if text in _NEGATIVE else -1


def column_of_values(name: str, values: Column, *, seen: ColumnSummary | None = None) -> ColumnSummary:
    """One column of one block of time; ValueError where it holds lists or objects. `seen`: what it will be added to."""
    column = plain(values)
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        numbers, _ = numbers_in(column)
        return ColumnSummary.of_numbers(numbers, missing=0, are_floats=True, whole_texts=TextCounts.empty(), seen=seen)
    if isinstance(column, np.ndarray) and column.dtype.kind in "iu":
        return column_of_integers(column, missing=0, seen=seen)
    if not isinstance(column, np.ndarray):
        types = set(map(type, column))
        if types <= _NUMBER_TYPES and types & {int, float}:
            return _column_of_numbers(column, has_floats=float in types, seen=seen)
    tally = categories_in(column)
    if tally.wrong_type:
        raise ValueError(f"column {name!r} holds lists or objects, which have no distribution to keep; leave it out")
    return ColumnSummary.of_texts(TextCounts.of(tally.texts, unlisted=tally.unlisted), missing=tally.missing)


def column_of_integers(
    integers: NDArray[np.integer[Any]], *, missing: int, seen: ColumnSummary | None = None
) -> ColumnSummary:
    """One column of integers of one block, as an array."""
    whole_texts: TextCounts | None = TextCounts.empty()
    if seen is not None and seen.whole_texts is None:
        whole_texts = None
    elif integers.size:
        low, high = integers.min(), integers.max()
        at_low = int(np.count_nonzero(integers == low))
        at_high = integers.size - at_low
        if at_high and np.count_nonzero(integers == high) != at_high:
            whole_texts = None
        else:
            counted = {str(category_text(low)): at_low} | ({str(category_text(high)): at_high} if at_high else {})
            whole_texts = TextCounts.of(counted)
    numbers = integers.astype(np.float64)
    return ColumnSummary.of_numbers(numbers, missing=missing, are_floats=False, whole_texts=whole_texts, seen=seen)


def _column_of_numbers(column: Sequence[object], *, has_floats: bool, seen: ColumnSummary | None) -> ColumnSummary:
    missing = sum(1 for value in column if value is None)
    numbers, _ = numbers_in(column)
    numbers = numbers[~np.isnan(numbers)] if missing else numbers
    # NaN among floats is counted as missing further on; None was NaN, too.
    missing = len(column) - numbers.size
    whole = {value for value in column if isinstance(value, int)}
    whole_texts = None
    if len(whole) <= FEW_INTEGERS:
        integers = [value for value in column if isinstance(value, int)]
        whole_texts = TextCounts.of({str(category_text(value)): integers.count(value) for value in whole})
    return ColumnSummary.of_numbers(numbers, missing=missing, are_floats=has_floats, whole_texts=whole_texts, seen=seen)


def plain(column: Column) -> Column:
    """The column with numpy scalars, decimals and dates as JSON has them; arrays of numbers as they are."""
    if isinstance(column, np.ndarray):
        if column.dtype.kind in "fiub" and not isinstance(column, np.ma.MaskedArray):
            return column
        if column.dtype.kind == "M":
            # Microseconds are what Python's datetime can hold; "not a time" becomes None.
            column = column.astype("datetime64[us]")
        values: Sequence[object] = column.tolist()
        return plain(values)
    if set(map(type, column)) <= _JSON_TYPES:
        return column
    return [_plain_value(value) for value in column]


def _plain_value(value: object) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, (datetime, date, time)):
        # pandas' "not a time" is a datetime that differs from itself.
        return value.isoformat() if value == value else None  # noqa: PLR0124
    return value
