"""The names of the values seen most, in bounded memory.

Keeps: at most `limit` values; one seen more often than total/limit is surely among them; counts are upper bounds.
Does not: test anything; the cells do. Names are for people.
Called by: a watched column, for new categories and for the exact value of a constant fill.
Source: Metwally, Agrawal & El Abbadi 2005, "space-saving".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

Value = TypeVar("Value", str, float)


class FrequentValues(Generic[Value]):
    """Space-saving counts.

    >>> values = FrequentValues[str](2)
    >>> for text in ("a", "b", "a", "c", "a"):
    ...     values.add(text, 1)
    >>> values.top(1)
    ('a',)
    """

    def __init__(self, limit: int, pairs: Iterable[tuple[Value, int]] = ()) -> None:
        if limit < 1:
            raise ValueError(f"at least one value must be kept, not {limit}")
        self._limit = limit
        self._counts: dict[Value, int] = {}
        for value, count in pairs:
            self.add(value, count)

    def add(self, value: Value, count: int) -> None:
        """Counts a value; when there is no room it takes the place, and the count, of the least frequent."""
        if value not in self._counts and len(self._counts) >= self._limit:
            least = min(self._counts, key=self._counts.__getitem__)
            count += self._counts.pop(least)
        self._counts[value] = self._counts.get(value, 0) + count

    def fade(self) -> None:
        """Halves every count, so that old values make room."""
        self._counts = {value: count // 2 for value, count in self._counts.items() if count > 1}

    def top(self, most: int) -> tuple[Value, ...]:
        """The most frequent values, most frequent first."""
        return tuple(sorted(self._counts, key=lambda value: (-self._counts[value], str(value)))[:most])

    def pairs(self) -> tuple[tuple[Value, int], ...]:
        """Values with their counts, for the snapshot."""
        return tuple(self._counts.items())
