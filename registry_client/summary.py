"""Sum up tables and files in parts that merge: the front door of partial builds.

Invariant: see `table_summary`: any partition of the rows, summed up apart and merged in any order, gives the baseline
of one build. Called by the command line (`baseline build --partial`, `baseline merge`), and on each partition of a
cluster's job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from registry_client.build import summarise_files
from registry_client.from_columns import summarise_table
from registry_client.table_summary import Roles, Summary, merge

__all__ = ["Summary", "merge", "summarise"]


def summarise(
    data: Any,
    *,
    prediction: str | None = None,
    outcome: str | None = None,
    time: str | None = None,
    exclude: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Sum up rows: a pandas, polars or Arrow table, a mapping of columns, or files.

    Files: a path, a folder (all CSV or all Parquet in it, at any depth), a glob, or a list of these.
    `prediction` is the model's own output and `outcome` the truth: no features. `time` is when each row happened
    (timestamps, dates, ISO texts or Unix times; UTC): rows are also counted by day, to learn how much days differ.
    `exclude`d columns are not read. `progress` is told (rows done, rows in all) while files are read.
    ValueError (tables) or InvalidDocument (files) in a sentence; BadColumns, which names every bad column at once;
    NotFound where there is no such file.

    >>> halves = [summarise({"amount": [12.5, 3.0]}), summarise({"amount": [7.0]})]
    >>> merge(halves).rows, merge(halves).to_bytes() == summarise({"amount": [3.0, 7.0, 12.5]}).to_bytes()
    (3, True)
    """
    roles = Roles(prediction, outcome, time)
    if isinstance(data, (str, Path)) or _is_list_of_paths(data):
        return summarise_files(data, roles, exclude=exclude, progress=progress)
    return summarise_table(data, roles, exclude=exclude)


def _is_list_of_paths(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and bool(data) and all(isinstance(path, (str, Path)) for path in data)
