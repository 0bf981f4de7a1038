"""A training set summed up so that summaries add: rows may be read in any order, by any number of machines.

Invariant: the content is a function of the multiset of rows only (and of the files they came from). Any partition of
the rows, summed up apart and merged in any order, gives the same bytes and the same baseline. Memory is bounded
whatever the number of rows. It reads no file and judges nothing. Grown by `summary` and `build`, merged by the command
line and by whoever sums up partitions on a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from registry_client.baseline import FORMAT, Baseline, FeatureBaseline, OutcomeBaseline, Source, TimeBlocks, sealed
from registry_client.calibration import calibration_of
from registry_client.column import CategoryTally
from registry_client.column_summary import ColumnSummary
from registry_client.errors import BadColumns
from registry_client.fine_cells import ROWS_LIMIT, FineCells, Integers
from registry_client.time_blocks import UNDATED, Blocks, united

if TYPE_CHECKING:
    from registry_client.rows import Rows

_BINARY = (frozenset(("0", "1")), frozenset(("false", "true")))
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Mapped(Protocol):
    """`map`, or that of an executor."""

    def __call__(self, function: Callable[[_In], _Out], inputs: Iterable[_In], /) -> Iterable[_Out]:
        """The outputs in the order of the inputs."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which columns are no features."""

    prediction: str | None = None
    outcome: str | None = None
    time: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """What was seen so far; immutable, `merge` makes a new one. At most a few hundred KB a column and block of time.

    `columns` are in the table's order, prediction and outcome included. `by_name[column]` counts by `blocks`, as
    `block_rows` does; `scores` counts the prediction's numbers where the outcome is known, block 0 where it is
    negative, 1 where positive. `sources` are the files the rows came from, (name, "sha256:..."), ascending.
    """

    roles: Roles
    columns: tuple[str, ...]
    by_name: Mapping[str, ColumnSummary]
    blocks: Blocks
    block_rows: Integers
    scores: FineCells
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def rows(self) -> int:
        """How many rows were seen."""
        return int(self.block_rows.sum())

    def to_bytes(self) -> bytes:
        """A compressed document, equal for equal summaries (format `sidecar-summary/1`)."""
        from registry_client.summary_bytes import packed  # noqa: PLC0415 -- it knows this class

        return packed(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Summary:
        """Read and check what another machine wrote; InvalidDocument in a sentence where it will not do."""
        from registry_client.summary_bytes import unpacked  # noqa: PLC0415 -- it knows this class

        return unpacked(data)

    def baseline(self, *, name: str = "", now: datetime, importance: Mapping[str, float] | None = None) -> Baseline:
        """The sealed baseline of the rows; ValueError where there are none, BadColumns where columns will not do.

        `name` says where the rows came from (default: the names of the files); `importance` is the model's.
        """
        if not self.rows:
            raise ValueError("a baseline needs at least one row")
        weights = importance or {}
        features: dict[str, FeatureBaseline] = {}
        faults: list[str] = []
        for column in self.columns:
            if column == self.roles.outcome:
                continue
            try:
                features[column] = self.by_name[column].feature(column, self.blocks.dated, weights.get(column))
            except ValueError as error:
                faults.append(str(error))
        if faults:
            raise BadColumns(faults)
        predicted = features.pop(self.roles.prediction) if self.roles.prediction is not None else None
        outcome = self._outcome()
        is_binary = outcome is not None and outcome.positives is not None
        is_scored = is_binary and predicted is not None and predicted.kind == "numeric" and self.scores.total
        return sealed(
            Baseline(
                format=FORMAT,
                created_at=now,
                rows=self.rows,
                source=_source(name, self.sources),
                features=tuple(features.values()),
                prediction=predicted,
                outcome=outcome,
                time=self._time(),
                calibration=calibration_of(self.scores) if is_scored else None,
            )
        )

    def _outcome(self) -> OutcomeBaseline | None:
        name = self.roles.outcome
        if name is None:
            return None
        column = self.by_name[name]
        missing = int(column.missing.sum())
        tally = column.tally()
        positives = _positives(tally) if tally is not None else None
        return OutcomeBaseline(name=name, n=self.rows - missing, missing=missing, positives=positives)

    def _time(self) -> TimeBlocks | None:
        if self.roles.time is None:
            return None
        first, last = self.blocks.first_day(), self.blocks.last_day()
        dated = int(self.block_rows[list(self.blocks.dated)].sum())
        return TimeBlocks(
            column=self.roles.time,
            blocks=len(self.blocks.dated),
            days_per_block=1 << self.blocks.span,
            first_day=first.isoformat() if first is not None else None,
            last_day=last.isoformat() if last is not None else None,
            undated=self.rows - dated,
        )


def empty_summary(columns: Iterable[str], roles: Roles, source: tuple[str, str] | None = None) -> Summary:
    """No rows yet of a table with these columns (those that are read)."""
    names = tuple(columns)
    nothing = ColumnSummary.combined([], 0)
    sources = (source,) if source is not None else ()
    return Summary(
        roles, names, dict.fromkeys(names, nothing), Blocks(0, ()), np.zeros(0, np.int64), FineCells.empty(2), sources
    )


def merge(summaries: Iterable[Summary]) -> Summary:
    """Add summaries of disjoint rows; the order does not matter.

    ValueError where their columns or roles differ, where a file was counted in two of them, or where there is none.
    """
    parts = list(summaries)
    if not parts:
        raise ValueError("there is nothing to merge")
    _require_alike(parts)
    blocks, targets = united([part.blocks for part in parts])
    block_rows = np.zeros(len(blocks.numbers), np.int64)
    for part, places in zip(parts, targets, strict=True):
        np.add.at(block_rows, places, part.block_rows)
    if block_rows.sum() > ROWS_LIMIT:
        raise ValueError(f"more than {ROWS_LIMIT} rows cannot be summed up")
    # The names in the one order that does not depend on the order of the parts.
    columns = min(part.columns for part in parts)
    return Summary(
        roles=parts[0].roles,
        columns=columns,
        by_name={
            name: ColumnSummary.combined(
                [(part.by_name[name], places) for part, places in zip(parts, targets, strict=True)],
                len(blocks.numbers),
            )
            for name in columns
        },
        blocks=blocks,
        block_rows=block_rows,
        scores=FineCells.combined([(part.scores, (0, 1)) for part in parts], 2),
        sources=tuple(sorted(source for part in parts for source in part.sources)),
    )


def with_rows(summary: Summary, rows: Rows, *, mapped: Mapped = map) -> Summary:
    """The summary with more rows; `mapped` may sum columns up side by side. BadColumns where some will not do."""
    blocks, kept_places, parts = _by_block(summary, rows)
    width = len(blocks.numbers)
    block_rows = np.zeros(width, np.int64)
    np.add.at(block_rows, kept_places, summary.block_rows)
    for place, part in parts:
        block_rows[place] += part.size

    def grown(name: str) -> ColumnSummary | str:
        seen = summary.by_name[name]
        try:
            pieces = [(part.summary(name, seen), (place,)) for place, part in parts]
        except ValueError as error:
            return str(error)
        return ColumnSummary.combined([(seen, kept_places), *pieces], width)

    found = dict(zip(summary.columns, mapped(grown, summary.columns), strict=True))
    if faults := [fault for fault in found.values() if isinstance(fault, str)]:
        raise BadColumns(faults)
    return Summary(
        roles=summary.roles,
        columns=summary.columns,
        by_name={name: column for name, column in found.items() if not isinstance(column, str)},
        blocks=blocks,
        block_rows=block_rows,
        scores=_scored(summary, rows),
        sources=summary.sources,
    )


def _by_block(summary: Summary, rows: Rows) -> tuple[Blocks, list[int], list[tuple[int, Rows]]]:
    """The blocks with these rows, the places of the blocks that there were, and the rows of each place apart."""
    name = summary.roles.time
    if name is None:
        blocks, (kept, (place,)) = united([summary.blocks, Blocks(0, (UNDATED,))])
        return blocks, kept, [(place, rows)]
    try:
        days = rows.days(name)
    except ValueError as error:
        raise BadColumns([f"column {name!r} {error}"]) from None
    different, which = np.unique(days, return_inverse=True)
    blocks, (kept, places) = united([summary.blocks, Blocks(0, tuple(different.tolist()))])
    place_of_row = np.asarray(places, np.int64)[which]
    found = sorted(set(places))
    if len(found) == 1:
        return blocks, kept, [(found[0], rows)]
    return blocks, kept, [(place, rows.taken(np.flatnonzero(place_of_row == place))) for place in found]


def _scored(summary: Summary, rows: Rows) -> FineCells:
    roles = summary.roles
    if roles.prediction is None or roles.outcome is None:
        return summary.scores
    scores, signs = rows.scores(roles.prediction), rows.signs(roles.outcome)
    finite = np.isfinite(scores)
    pieces = [(FineCells.of(scores[finite & (signs == sign)], shift=summary.scores.shift), (sign,)) for sign in (0, 1)]
    return FineCells.combined([(summary.scores, (0, 1)), *pieces], 2)


def _require_alike(parts: list[Summary]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.roles != first.roles:
            raise ValueError("the parts name different columns for prediction, outcome or time")
        if differing := sorted(set(part.columns) ^ set(first.columns)):
            named = ", ".join(repr(name) for name in differing[:10])
            raise ValueError(f"the parts have different columns: not all of them have {named}")
    seen: set[tuple[str, str]] = set()
    for part in parts:
        if twice := seen & set(part.sources):
            name, digest = min(twice)
            raise ValueError(f"the file {name!r} with digest {digest} is counted in two of the parts")
        seen |= set(part.sources)


def _positives(tally: CategoryTally) -> int | None:
    is_binary = not tally.unlisted and any(tally.texts.keys() <= pair for pair in _BINARY)
    return tally.texts["1"] + tally.texts["true"] if is_binary else None


def _source(name: str, files: tuple[tuple[str, str], ...]) -> Source:
    if not files:
        return Source(name=name)
    if len(files) == 1:
        return Source(name=name or files[0][0], digest=files[0][1], files=1)
    lines = "".join(sorted(f"{digest.removeprefix('sha256:')}  {file}\n" for file, digest in files))
    spread = f"{len(files)} files, {files[0][0]} to {files[-1][0]}"
    return Source(name=name or spread, digest=f"sha256:{sha256(lines.encode()).hexdigest()}", files=len(files))
