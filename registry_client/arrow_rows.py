"""Rows as an Arrow record batch: what files are read into, and what data frames can be turned into.

Invariant: a column gives the same summary as the same values would as a Python list. Times are written in ISO 8601.
Nested and binary types have no distribution and are refused by `fault_of`, before anything is read. pyarrow is loaded
when the first batch is, not with this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry_client.column import category_text
from registry_client.column_summary import ColumnSummary
from registry_client.text_counts import TextCounts
from registry_client.time_blocks import UNDATED, day_of, days_of_numbers
from registry_client.value_rows import column_of_integers, plain, sign_of

_DAY_S = 86_400
_UNITS_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def fault_of(name: str, arrow_type: Any) -> str | None:
    """What is wrong with a column of this type, as a sentence; None where it can be summed up."""
    types = _types()
    value_type = arrow_type.value_type if types.is_dictionary(arrow_type) else arrow_type
    readable = (
        types.is_null,
        types.is_boolean,
        types.is_integer,
        types.is_floating,
        types.is_decimal,
        _is_text,
        types.is_timestamp,
        types.is_date,
        types.is_time,
    )
    if any(is_readable(value_type) for is_readable in readable):
        return None
    return f"column {name!r} is of type {arrow_type}, which has no distribution to keep; exclude it"


@dataclass(frozen=True, slots=True)
class ArrowRows:
    """A record batch whose columns all passed `fault_of`."""

    batch: Any

    @property
    def size(self) -> int:
        """How many rows there are."""
        return int(self.batch.num_rows)

    def summary(self, name: str, seen: ColumnSummary | None) -> ColumnSummary:
        """One column summed up."""
        types, array = _types(), self._column(name)
        missing = int(array.null_count)
        if types.is_floating(array.type) or types.is_decimal(array.type):
            numbers = _float64(array.drop_null() if missing else array)
            none = TextCounts.empty()
            # A column without a value says nothing about its kind, whatever its type.
            has_floats = missing < self.size
            return ColumnSummary.of_numbers(
                numbers, missing=missing, are_floats=has_floats, whole_texts=none, seen=seen
            )
        if types.is_integer(array.type):
            known = array.drop_null() if missing else array
            return column_of_integers(known.to_numpy(zero_copy_only=False), missing=missing, seen=seen)
        return _texts(array, seen)

    def days(self, name: str) -> NDArray[np.int64]:
        """One column as days."""
        types, array = _types(), self._column(name)
        if types.is_timestamp(array.type) or types.is_date(array.type):
            is_days = types.is_date32(array.type)
            unit = 1 if is_days else _DAY_S * _UNITS_A_SECOND["ms" if types.is_date(array.type) else array.type.unit]
            counted = array.cast("int32") if is_days else array.cast("int64")
            known = counted.is_valid().to_numpy(zero_copy_only=False)
            units = counted.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
            return np.where(known, units // unit, UNDATED)
        if types.is_integer(array.type) or types.is_floating(array.type) or types.is_decimal(array.type):
            return days_of_numbers(self.scores(name))
        if types.is_null(array.type):
            return np.full(self.size, UNDATED)
        if not _is_text(array.type.value_type if types.is_dictionary(array.type) else array.type):
            raise ValueError("holds values that are no times")
        encoded = array.dictionary_encode()
        days = np.array([*(day_of(text) for text in encoded.dictionary.to_pylist()), UNDATED], np.int64)
        # The last place is that of missing values.
        found: NDArray[np.int64] = encoded.indices.fill_null(len(days) - 1).to_numpy(zero_copy_only=False)
        return days[found]

    def scores(self, name: str) -> NDArray[np.float64]:
        """One column as numbers, NaN where there is none; all NaN where they are no numbers."""
        types, array = _types(), self._column(name)
        if not (types.is_integer(array.type) or types.is_floating(array.type) or types.is_decimal(array.type)):
            return np.full(self.size, np.nan)
        known = array.is_valid().to_numpy(zero_copy_only=False)
        numbers = np.full(self.size, np.nan)
        numbers[known] = _float64(array.drop_null())
        return numbers

    def signs(self, name: str) -> NDArray[np.int8]:
        """One column as 1 where it is 1 or true, 0 where it is 0 or false, -1 where it is anything else."""
        encoded = self._column(name).dictionary_encode()
        values = plain(encoded.dictionary.to_pylist())
        signs = np.array([*(sign_of(category_text(value)) for value in values), -1], np.int8)
        found: NDArray[np.int64] = encoded.indices.fill_null(len(signs) - 1).to_numpy(zero_copy_only=False)
        return signs[found]

    def taken(self, places: NDArray[np.int64]) -> ArrowRows:
        """The rows at these places."""
        arrow, names = import_module("pyarrow"), self.batch.schema.names
        wanted = arrow.array(places)
        # Column by column, because some types cannot be taken from before `_column` made them another.
        return ArrowRows(arrow.RecordBatch.from_arrays([self._column(name).take(wanted) for name in names], names))

    def _column(self, name: str) -> Any:
        """The column in the one form of its type that the functions here know."""
        arrow, types, array = import_module("pyarrow"), _types(), self.batch.column(name)
        if types.is_dictionary(array.type):
            if not _is_text(array.type.value_type):
                return array.dictionary_decode()
            if types.is_string_view(array.type.value_type):
                return arrow.DictionaryArray.from_arrays(array.indices, array.dictionary.cast("large_string"))
        if types.is_string_view(array.type):  # what polars has
            return array.cast("large_string")
        # Microseconds are what Python's datetime can hold.
        if types.is_timestamp(array.type) and array.type.unit == "ns":
            return array.cast(arrow.timestamp("us", array.type.tz), safe=False)
        if types.is_time64(array.type) and array.type.unit == "ns":
            return array.cast(arrow.time64("us"), safe=False)
        return array


def _texts(array: Any, seen: ColumnSummary | None) -> ColumnSummary:
    encoded = array if _types().is_dictionary(array.type) else array.dictionary_encode()
    indices = encoded.indices.drop_null().to_numpy(zero_copy_only=False)
    counts = np.bincount(indices, minlength=len(encoded.dictionary))
    # Rows taken by block of time keep the dictionary of the whole batch: most of its values may be in no row of these.
    used = np.flatnonzero(counts)
    values = plain(encoded.dictionary.take(import_module("pyarrow").array(used)).to_pylist())
    texts: dict[str, int] = {}
    # A dictionary may hold the same value twice, and null.
    missing = len(array)
    for value, count in zip(values, counts[used].tolist(), strict=True):
        text = category_text(value)
        if text is not None:
            texts[text] = texts.get(text, 0) + count
            missing -= count
    largest = seen.texts.largest_hash if seen is not None else None
    return ColumnSummary.of_texts(TextCounts.of(texts, largest_hash=largest), missing=missing)


def _float64(array: Any) -> NDArray[np.float64]:
    if _types().is_decimal(array.type):
        array = array.cast("float64")
    numbers: NDArray[np.float64] = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return numbers


def _is_text(arrow_type: Any) -> bool:
    types = _types()
    return bool(types.is_string(arrow_type) or types.is_large_string(arrow_type) or types.is_string_view(arrow_type))


def _types() -> Any:
    return import_module("pyarrow.types")
