"""Sampled rows in, counts by bucket of time out. Nothing here judges.

Invariant: a row is counted once, in the bucket of its own time; one that comes after that bucket was taken, in the
oldest that is not. So rows spread over any number of counters add up to what one would have counted, bit for bit.
Keeps no row longer than it takes to have 512 of them, and no more than 64 buckets that nobody has taken.
Does not: know alarms or read a clock. Called by: the drift observer.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from registry_client.cells import CategoricalCells
from registry_client.column import Column, category_text, numbers_in
from sidecar.observe.bucket_counts import BucketCounts
from sidecar.observe.feature_cause import printable
from sidecar.observe.number_blocks import NumberBlocks
from sidecar.observe.ruler import UNREADABLE, Ruler
from sidecar.observe.waiting_rows import WaitingRows
from sidecar.records import Sample

Counts = NDArray[np.int64]

FLUSH_ROWS = 512
MOST_OPEN = 64
_MOST_NAMED = 16
_MOST_LOOKED_AT = 2_000
_TYPE_NAMES = {str: "text", bool: "boolean", list: "list", tuple: "list", dict: "object"}


class _OpenBucket:
    """A bucket that nobody has taken yet: its counts, and its rows that wait to be counted."""

    __slots__ = ("counts", "waiting")

    def __init__(self, counts: BucketCounts, ruler: Ruler) -> None:
        self.counts = counts
        self.waiting = WaitingRows(ruler)


class Counting:
    """Counts by one ruler in buckets of `bucket_s` seconds, aligned to the epoch. `next_index` is the oldest open."""

    def __init__(self, ruler: Ruler, bucket_s: float, now: float) -> None:
        self._ruler = ruler
        self._bucket_s = bucket_s
        self._open: dict[int, _OpenBucket] = {}
        # The bucket of the last row: nearly always that of the next one, too.
        self._latest: _OpenBucket | None = None
        self._from_s = self._until_s = 0.0
        self.next_index = self.index_of(now)
        self._blocks = NumberBlocks(ruler)

    def index_of(self, at: float) -> int:
        """The bucket of a moment, in seconds since the epoch."""
        index = math.floor(at / self._bucket_s)
        # Division rounds; a bucket's borders are its multiples, whoever asks.
        if at >= (index + 1) * self._bucket_s:
            return index + 1
        return index - 1 if at < index * self._bucket_s else index

    def add(self, sample: Sample) -> bool:
        """Takes the rows of one sampled exchange; False where no column is one of the baseline's."""
        bucket = self._latest
        if bucket is None or not self._from_s <= sample.at < self._until_s:
            bucket = self._bucket_at(sample.at)
        waiting = bucket.waiting
        if not waiting.take(sample):
            return False
        if waiting.taken >= FLUSH_ROWS:
            self._count(bucket)
        return True

    def add_unreadable(self, rows: int, at: float | None) -> None:
        """Counts rows of which nothing could be read; without a time they belong to the newest bucket."""
        bucket = self._latest if at is None and self._latest is not None else self._bucket_at(at)
        bucket.counts.cells[self._ruler.offsets[self._ruler.schema] + UNREADABLE] += rows

    def merge(self, counts: BucketCounts) -> None:
        """Adds what another process counted."""
        self._bucket(counts.index).counts.merge(counts)

    def take(self, before: int) -> list[BucketCounts]:
        """Gives away every bucket before that number, oldest first; rows that come for them later fall behind."""
        taken = sorted(index for index in self._open if index < before)
        self.next_index = max(self.next_index, before)
        self._latest = None
        buckets = [self._open.pop(index) for index in taken]
        for bucket in buckets:
            self._count(bucket)
        return [bucket.counts for bucket in buckets]

    def counted(self) -> list[BucketCounts]:
        """The open buckets as they stand, oldest first, every row counted."""
        for bucket in self._open.values():
            self._count(bucket)
        return [self._open[index].counts for index in sorted(self._open)]

    def shift(self, buckets: int) -> None:
        """Dates everything by so many buckets otherwise: the clock was set."""
        self.next_index += buckets
        moved = {index + buckets: bucket for index, bucket in self._open.items()}
        for index, bucket in moved.items():
            bucket.counts.index = index
        self._open, self._latest = moved, None

    def _bucket_at(self, at: float | None) -> _OpenBucket:
        known = at is not None and math.isfinite(at)
        index = self.index_of(at) if known and at is not None else self.next_index
        bucket = self._bucket(index)
        self._latest = bucket
        index = bucket.counts.index
        # All earlier moments belong to the oldest bucket, all later ones to the newest that may be open.
        self._from_s = -math.inf if index == self.next_index else index * self._bucket_s
        self._until_s = math.inf if index == self.next_index + MOST_OPEN - 1 else (index + 1) * self._bucket_s
        return bucket

    def _bucket(self, index: int) -> _OpenBucket:
        index = min(max(index, self.next_index), self.next_index + MOST_OPEN - 1)
        bucket = self._open.get(index)
        if bucket is None:
            bucket = self._open[index] = _OpenBucket(BucketCounts(self._ruler, index), self._ruler)
        return bucket

    def _count(self, bucket: _OpenBucket) -> None:
        """Counts the rows that wait."""
        waiting, counts, ruler = bucket.waiting, bucket.counts, self._ruler
        if not waiting.taken:
            return
        columns = waiting.columns()
        schema = ruler.offsets[ruler.schema]
        counts.cells[schema : schema + len(waiting.schema)] += waiting.schema
        for name, rows in waiting.absent.items():
            counts.of(ruler.numbers[name]).absent += rows
        if waiting.extra:
            counts.add_extra(waiting.extra)
        waiting.clear()
        for number, column in enumerate(columns):
            if ruler.columns[number].kind == "categorical":
                self._count_texts(counts, number, column)
        self._count_numbers(counts, [columns[number] for number in ruler.numeric])

    def _count_texts(self, counts: BucketCounts, number: int, column: Column) -> None:
        cells = self._ruler.columns[number].cells
        if not isinstance(cells, CategoricalCells) or not len(column):
            return
        found, unseen = cells.count_with_unseen(column)
        self._ruler.of(counts.cells, number)[:] += found
        if unseen:
            counts.add_unseen(number, [(printable(text), n) for text, n in unseen.most_common(_MOST_NAMED)])
        if found[cells.wrong_type_index]:
            counts.add_types(number, *_wrong_types(column, numeric=False))

    def _count_numbers(self, counts: BucketCounts, columns: list[Column]) -> None:
        """All numeric columns, in one block."""
        values: list[NDArray[np.float64]] = []
        for number, column in zip(self._ruler.numeric, columns, strict=True):
            if isinstance(column, np.ndarray) and column.dtype.kind == "f":
                values.append(column)
                continue
            numbers, wrong = numbers_in(column)
            values.append(numbers)
            if wrong:
                cells = self._ruler.columns[number].cells
                self._ruler.of(counts.cells, number)[cells.wrong_type_index] += wrong
                counts.add_types(number, *_wrong_types(column, numeric=True))
        self._blocks.count(counts, values)


def _wrong_types(column: Column, *, numeric: bool) -> tuple[Counter[str], Counter[int]]:
    """JSON's names of the types that do not belong here, and how long lists are."""
    types: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    for value in column[:_MOST_LOOKED_AT]:
        plain = value.item() if isinstance(value, np.generic) else value
        wrong = isinstance(plain, (str, bool)) if numeric else category_text(plain) is None
        if wrong or isinstance(plain, (list, tuple, dict, np.ndarray)):
            types[_TYPE_NAMES.get(type(plain), "list" if isinstance(plain, np.ndarray) else "another type")] += 1
        if isinstance(plain, (list, tuple, np.ndarray)):
            lengths[len(plain) if not isinstance(plain, np.ndarray) or plain.ndim else 0] += 1
    return types, lengths
