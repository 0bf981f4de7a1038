"""Days, and blocks of days: into which part of the time of a training set a row falls.

Invariant: the blocks are a function of the set of days only: block = day >> span, the span being the smallest (from
0) with which at most 64 blocks are occupied; so blocks of parts fold into those of their union. Days are counted in
UTC from 1970-01-01; rows without a time are in a block of their own that never folds. Used by table summaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_LIMIT = 64
# The block of rows whose time is missing, and of all rows where there is no column of times.
UNDATED = int(np.iinfo(np.int64).min)
_DAY_S = 86_400
# What a number is as a Unix time: seconds below 1e11 (the year 5138), then milli-, micro- and nanoseconds. The
# lowest is in 1973, so that plain counters and dates written as 20260131 are not taken for times.
_LOWEST, _HIGHEST = 1e8, 9.2e18
_UNITS = ((1e11, 1), (1e14, 10**3), (1e17, 10**6))
_NANOSECONDS = 10**9
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Blocks:
    """Occupied blocks, ascending, each of 2**`span` days."""

    span: int
    numbers: tuple[int, ...]

    @property
    def dated(self) -> tuple[int, ...]:
        """The places of the blocks that are times."""
        return tuple(place for place, number in enumerate(self.numbers) if number != UNDATED)

    def folded(self, number: int, span: int) -> int:
        """The block of a wider span in which one of these lies."""
        return number if number == UNDATED else number >> (span - self.span)

    def first_day(self) -> date | None:
        """The first day of the first block; None where there is none, or the calendar has no such day."""
        return _date(min((self.numbers[place] for place in self.dated), default=None), self.span, last=False)

    def last_day(self) -> date | None:
        """The last day of the last block."""
        return _date(max((self.numbers[place] for place in self.dated), default=None), self.span, last=True)


def _date(number: int | None, span: int, *, last: bool) -> date | None:
    if number is None:
        return None
    ordinal = _EPOCH + (((number + 1) << span) - 1 if last else number << span)
    return date.fromordinal(ordinal) if 1 <= ordinal <= date.max.toordinal() else None


def united(parts: Sequence[Blocks]) -> tuple[Blocks, list[list[int]]]:
    """The blocks of a union, and for each part the places to which its blocks go."""
    span = max(blocks.span for blocks in parts)
    while True:
        numbers = {blocks.folded(number, span) for blocks in parts for number in blocks.numbers}
        if len(numbers - {UNDATED}) <= BLOCK_LIMIT:
            break
        span += 1
    ascending = tuple(sorted(numbers))
    place = {number: index for index, number in enumerate(ascending)}
    targets = [[place[blocks.folded(number, span)] for number in blocks.numbers] for blocks in parts]
    return Blocks(span, ascending), targets


def days_of_numbers(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Unix times as days, NaN as undated; ValueError where one is no such time."""
    values = numbers.astype(np.float64)
    missing = np.isnan(values)
    if not (((values >= _LOWEST) & (values < _HIGHEST)) | missing).all():
        raise ValueError("holds numbers that are no Unix times")
    units = np.select([values < bound for bound, _ in _UNITS], [unit for _, unit in _UNITS], _NANOSECONDS)
    days = np.floor(np.where(missing, 0.0, values) / (units * _DAY_S)).astype(np.int64)
    return np.where(missing, UNDATED, days)


def day_of(value: object) -> int:
    """One value as a day; ValueError in words that follow the name of a column where it is no time."""
    if value is None or value != value:  # noqa: PLR0124 -- NaN, and pandas' "not a time"
        return UNDATED
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError("holds texts that are no times (as 2026-01-31T12:00:00Z)") from None
    if isinstance(value, datetime):
        value = value.astimezone(UTC) if value.tzinfo is not None else value
        return value.toordinal() - _EPOCH
    if isinstance(value, date):
        return value.toordinal() - _EPOCH
    if isinstance(value, (bool, time)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ValueError("holds values that are no times")  # noqa: TRY004 -- data, not a mistake of the caller
    return int(days_of_numbers(np.array([value], dtype=np.float64))[0])


def days_of_values(values: NDArray[Any] | Sequence[object]) -> NDArray[np.int64]:
    """A column as days, UNDATED where a value is missing; ValueError in words that follow the column's name."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        days = values.astype("datetime64[D]").astype(np.int64)
        return np.where(np.isnat(values), UNDATED, days)
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return days_of_numbers(values)
    column = values.tolist() if isinstance(values, np.ndarray) else values
    # Times repeat; each different one is read once.
    known: dict[object, int] = {}
    for value in column:
        if not isinstance(value, (str, date, int, float, type(None), np.generic)):
            raise ValueError("holds values that are no times")  # noqa: TRY004 -- data, not a mistake of the caller
        if value not in known:
            known[value] = day_of(value)
    return np.array([known[value] for value in column], np.int64)
