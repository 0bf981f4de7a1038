"""What was counted in one bucket of time: the additive summary from which everything is judged.

Invariant: merging adds; neither the order of rows nor how they were spread over processes changes a count of cells,
log histograms, types, absent keys, list lengths or keys that training had not. (The few names of new categories and
repeated numbers are the space-saving kind: the most frequent are there, exactly counted while they are at most 16.)
Bounded whatever comes. Does not judge, keep rows or read a clock. Called by: the counting of rows, the drift observer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.observe.frequent_values import FrequentValues
from sidecar.observe.number_counts import HeldNumbers, NumberCounts, NumberCountsDocument
from sidecar.observe.ruler import Ruler

Counts = NDArray[np.int64]

NAMES = 16
MOST_EXTRA = 64
MOST_LENGTHS = 8
MOST_TYPES = 8


class Oddities(msgspec.Struct):
    """What cells do not tell of one column: JSON types that are wrong, lengths of lists, absent keys, names.

    `absent` counts values whose key the request lacked; they are in the cell of missing ones, too.
    """

    types: dict[str, int] = msgspec.field(default_factory=dict)
    lengths: dict[int, int] = msgspec.field(default_factory=dict)
    absent: int = 0
    unseen: list[tuple[str, int]] = msgspec.field(default_factory=list)
    frequent: list[tuple[float, int]] = msgspec.field(default_factory=list)


class BucketDocument(msgspec.Struct, frozen=True):
    """A bucket's counts as they are stored or handed over. `cells`: little-endian, 8 bytes each."""

    index: int
    cells: bytes
    numbers: NumberCountsDocument
    oddities: dict[int, Oddities]
    extra: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnPart:
    """One column's share of a bucket; `counts` in its cells, `numbers` None where it has none."""

    counts: Counts
    numbers: HeldNumbers | None
    oddities: Oddities


class BucketCounts:
    """Counts of the bucket that begins at `index * bucket_s`."""

    __slots__ = ("_ruler", "cells", "extra", "index", "numbers", "oddities")

    def __init__(self, ruler: Ruler, index: int) -> None:
        self._ruler = ruler
        self.index = index
        self.cells: Counts = np.zeros(ruler.size, dtype=np.int64)
        self.numbers = NumberCounts(len(ruler.numeric))
        self.oddities: dict[int, Oddities] = {}
        self.extra: dict[str, int] = {}

    def of(self, column: int) -> Oddities:
        """The oddities of a column, to be added to."""
        return self.oddities.setdefault(column, Oddities())

    def add_types(self, column: int, types: Counter[str], lengths: Counter[int]) -> None:
        """Counts values of wrong types, and of those that are lists the lengths; the shortest few are kept."""
        odd = self.of(column)
        odd.types = _least(Counter(odd.types) + types, MOST_TYPES)
        odd.lengths = _least(Counter(odd.lengths) + lengths, MOST_LENGTHS)

    def add_unseen(self, column: int, texts: list[tuple[str, int]]) -> None:
        """Counts the names of new categories."""
        odd = self.of(column)
        odd.unseen = list(_most(odd.unseen, texts).pairs())

    def add_frequent(self, column: int, values: list[tuple[float, int]]) -> None:
        """Counts numbers that came again and again."""
        odd = self.of(column)
        odd.frequent = list(_most(odd.frequent, values).pairs())

    def add_extra(self, names: Counter[str]) -> None:
        """Counts rows by the keys that training had not; beyond 64 names, those whose hash is least are kept."""
        self.extra = least_names(Counter(self.extra) + names)

    def merge(self, other: BucketCounts) -> None:
        """Adds another one, which stays as it is."""
        self.cells += other.cells
        self.numbers.merge(other.numbers)
        self.add_extra(Counter(other.extra))
        for column, odd in other.oddities.items():
            self.add_types(column, Counter(odd.types), Counter(odd.lengths))
            self.of(column).absent += odd.absent
            if odd.unseen:
                self.add_unseen(column, odd.unseen)
            if odd.frequent:
                self.add_frequent(column, odd.frequent)

    def part(self, column: int) -> ColumnPart:
        """One column's share, as copies."""
        numeric = self._ruler.numeric
        place = numeric.index(column) if column in numeric else None
        return ColumnPart(
            counts=self._ruler.of(self.cells, column).copy(),
            numbers=None if place is None else self.numbers.column(place),
            oddities=self.oddities.get(column, Oddities()),
        )

    def to_document(self, *, name_values: bool) -> BucketDocument:
        """As it is stored; without `name_values` no value is named."""
        kept = self.oddities.items()
        if not name_values:
            kept = {k: msgspec.structs.replace(odd, unseen=[], frequent=[]) for k, odd in kept}.items()
        return BucketDocument(
            index=self.index,
            cells=self.cells.astype("<i8").tobytes(),
            numbers=self.numbers.to_document(),
            oddities=dict(sorted(kept)),
            extra=dict(sorted(self.extra.items())),
        )

    @classmethod
    def from_document(cls, document: BucketDocument, ruler: Ruler) -> BucketCounts:
        """Reads a document back; ValueError where it was not made with this ruler or contradicts itself."""
        found = cls(ruler, document.index)
        if len(document.cells) != 8 * ruler.size:
            raise ValueError(f"a bucket was not counted in these {ruler.size} cells")
        found.cells = np.frombuffer(document.cells, dtype="<i8").astype(np.int64)
        if np.any(found.cells < 0):
            raise ValueError("the counts of a bucket are not negative")
        found.numbers = NumberCounts.from_document(document.numbers, len(ruler.numeric))
        for column, odd in document.oddities.items():
            if not 0 <= column < len(ruler.columns):
                raise ValueError(f"a bucket counts a column {column}, which is not there")
            found.oddities[column] = odd
        found.extra = least_names(Counter(document.extra))
        return found


def _most(kept: list[tuple[str, int]] | list[tuple[float, int]], more: list) -> FrequentValues:  # type: ignore[type-arg]
    values: FrequentValues = FrequentValues(NAMES, kept)  # type: ignore[type-arg]
    for value, count in more:
        values.add(value, count)
    return values


def _least(counts: Counter, most: int) -> dict:  # type: ignore[type-arg]
    """The `most` least keys: which these are, and so their counts, is the same in whatever order they came."""
    return dict(sorted(counts.items())[:most])


def least_names(counts: Counter[str]) -> dict[str, int]:
    """At most 64 names with their counts: those of the least hash, whatever the order in which they came.

    >>> least_names(Counter({"a": 2, "b": 1}))
    {'a': 2, 'b': 1}
    """
    if len(counts) <= MOST_EXTRA:
        return dict(counts)
    ranked = sorted(counts.items(), key=lambda item: (crc32(item[0].encode("utf-8", "replace")), item[0]))
    return dict(ranked[:MOST_EXTRA])
