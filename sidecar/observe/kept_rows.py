"""The newest sampled rows with their values, for whoever must see rows and not counts. Only where it is asked for.

Keeps: opt-in (a limit of 0 keeps nothing), bounded in rows, in age and in the size of a value; in memory only. Of a
row only plain values are kept: numbers, booleans, texts of at most 1,024 characters, missing ones.
Does not: reach a snapshot, a log, a metric or an answer of the API; nothing here can be encoded, and a row's `repr`
shows no value.
Called by: a deployment's watch (`keep`, `expire`), the proof of a cause by re-scoring, the comparison row by row.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec
import numpy as np

from registry_client.column import Column
from sidecar.payload.request_form import RequestForm
from sidecar.records import Sample

LONGEST_TEXT = 1_024
_LARGEST_INTEGER_BITS = 1_023  # every one is a finite float, so that whoever counts with rows need not ask


class KeptRow(msgspec.Struct, frozen=True):
    """One row of a request as the payload had it; `at` seconds since the epoch, `score` and `label` the champion's."""

    request_id: str
    row: int
    at: float
    values: Mapping[str, object]
    score: float | None
    label: str | None

    def __repr__(self) -> str:
        """Names the row and tells nothing of it: whatever is printed or logged by mistake holds no value."""
        return f"KeptRow(request_id={self.request_id!r}, row={self.row}, {len(self.values)} values)"


class KeptRows:
    """At most `limit` rows, none older than `age_s` seconds when it is asked. `form`: how a request looked.

    >>> rows = KeptRows(2, 60.0)
    >>> rows.keep(Sample("a", 10.0, 3, {"x": [1, 2, 3]}, None))
    >>> [row.values["x"] for row in rows.newest(9, now=20.0)], rows.newest(9, now=71.0)
    ([3, 2], ())
    """

    __slots__ = ("_age_s", "_limit", "_rows", "form")

    def __init__(self, limit: int, age_s: float) -> None:
        self._limit = limit
        self._age_s = age_s
        self._rows: OrderedDict[tuple[str, int], KeptRow] = OrderedDict()
        self.form: RequestForm | None = None

    def __len__(self) -> int:
        """Rows in memory, those included that are too old and not yet dropped."""
        return len(self._rows)

    @property
    def enabled(self) -> bool:
        """Whether any row is ever kept."""
        return self._limit > 0

    def keep(self, sample: Sample) -> None:
        """Takes the rows of one sampled exchange; a request that comes again takes its rows' places."""
        if not self._limit or not sample.rows:
            return
        self.expire(sample.at)
        said = sample.prediction
        scores = said.scores if said is not None and said.rows == sample.rows else None
        labels = said.labels if said is not None and said.rows == sample.rows else None
        first = max(0, sample.rows - self._limit)
        columns = {
            name: values
            for name, column in sample.features.items()
            if (values := _from_row(column, first, sample.rows)) is not None
        }
        for row in range(first, sample.rows):
            plain = {name: column[row - first] for name, column in columns.items() if _plain(column[row - first])}
            key = sample.request_id, row
            self._rows[key] = KeptRow(
                *key,
                at=sample.at,
                values=plain,
                score=scores[row] if scores is not None else None,
                label=labels[row] if labels is not None else None,
            )
            self._rows.move_to_end(key)
        while len(self._rows) > self._limit:
            self._rows.popitem(last=False)

    def expire(self, now: float) -> None:
        """Drops what is too old at `now`, seconds since the epoch. Rows come about in order of time."""
        while self._rows and next(iter(self._rows.values())).at < now - self._age_s:
            self._rows.popitem(last=False)

    def clear(self) -> None:
        """Forgets every row, and how requests looked."""
        self._rows.clear()
        self.form = None

    def find(self, request_id: str, row: int, now: float) -> KeptRow | None:
        """The row of a request; None where it was not sampled, is too old, or made place for newer ones."""
        found = self._rows.get((request_id, row))
        return found if found is not None and found.at >= now - self._age_s else None

    def newest(self, rows: int, now: float) -> tuple[KeptRow, ...]:
        """At most `rows` rows, the newest first."""
        return tuple(islice(self._young(now), rows))

    def _young(self, now: float) -> Iterator[KeptRow]:
        oldest = now - self._age_s
        return (row for row in reversed(self._rows.values()) if row.at >= oldest)


def _from_row(column: Column, first: int, rows: int) -> list[object] | None:
    """The column's values from row `first` on as plain objects; None for tensors and columns of another length."""
    if len(column) != rows:
        return None
    if isinstance(column, np.ndarray):
        return column[first:].tolist() if column.ndim == 1 else None
    return list(column[first:])


def _plain(value: object) -> bool:
    """Whether a value is small and says all by itself."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    if isinstance(value, int):
        return value.bit_length() <= _LARGEST_INTEGER_BITS
    return value is None or isinstance(value, float)
