"""Sum up CSV and Parquet files, larger than memory or not, and build a baseline from them.

Invariant: the same result as `build_baseline` on the same values, whatever the order and number of the files; a few
record batches and one summary are in memory. CSV has no types: a column has the type of all its values in one build,
so one that is numbers in one part and texts in another merges under other names (1.5) than in one build (1.50); write
parts as Parquet. Every fault is a RegistryError in a sentence, and all bad columns are named at once. Called by the
command line and pipelines.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

from registry_client.arrow_rows import ArrowRows, fault_of
from registry_client.baseline import FEATURE_LIMIT, Baseline
from registry_client.data_files import Paths, data_files
from registry_client.errors import BadColumns, InvalidDocument
from registry_client.file_batches import Batches, opened
from registry_client.from_columns import require_columns
from registry_client.table_summary import Roles, Summary, empty_summary, with_rows

# So many values are decoded at a time: enough that starting costs nothing, few enough for any memory.
_VALUES_A_BATCH = 4 << 20
_ROWS_A_BATCH = (1_024, 1 << 18)
_THREADS = 8


def build_from_file(
    data: Paths,
    *,
    prediction: str | None = None,
    outcome: str | None = None,
    time: str | None = None,
    exclude: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    name: str = "",
    now: datetime | None = None,
) -> Baseline:
    """Build a baseline from a CSV (with a header) or Parquet file, a folder of these, a glob, or a list.

    The columns are as in `build_baseline`. `progress` is told (rows done, rows in all); `name` is for people (default:
    the names of the files). Raises NotFound for the files, InvalidDocument where they cannot be read or summed up (it
    is BadColumns where that is because of columns), RegistryError where DuckDB or pyarrow is missing.
    """
    summary = summarise_files(data, Roles(prediction, outcome, time), exclude=exclude, progress=progress)
    try:
        return summary.baseline(name=name, now=now or datetime.now(UTC))
    except ValueError as error:
        raise _about(_label(data_files(data)), error) from error


def summarise_files(
    data: Paths,
    roles: Roles,
    *,
    exclude: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """The rows of the files, summed up; errors and arguments as those of `build_from_file`."""
    paths = data_files(data)
    label = _label(paths)
    try:
        with opened(paths) as batches, ThreadPoolExecutor(min(os.cpu_count() or 1, _THREADS)) as pool:
            summary = _summed(batches, roles, exclude, progress, pool)
            digests = list(pool.map(_digest, paths))
    except ValueError as error:
        raise _about(label, error) from error
    sources = tuple(sorted((path.name, digest) for path, digest in zip(paths, digests, strict=True)))
    return replace(summary, sources=sources)


def _summed(
    batches: Batches,
    roles: Roles,
    exclude: Sequence[str],
    progress: Callable[[int, int], None] | None,
    pool: ThreadPoolExecutor,
) -> Summary:
    if not batches.rows:
        raise ValueError("there are no rows")
    columns = _columns(batches.types, roles, exclude)
    read = [*columns, *([roles.time] if roles.time is not None else [])]
    least, most = _ROWS_A_BATCH
    size = min(most, max(least, _VALUES_A_BATCH // len(read)))
    summary = empty_summary(columns, roles)
    done = 0
    if progress is not None:
        progress(done, batches.rows)
    for batch in batches.read(read, size):
        summary = with_rows(summary, ArrowRows(batch), mapped=pool.map)
        done += batch.num_rows
        if progress is not None:
            progress(done, batches.rows)
    return summary


def _columns(types: Sequence[tuple[str, Mapping[str, Any]]], roles: Roles, exclude: Sequence[str]) -> list[str]:
    """The columns to sum up; ValueError or BadColumns where they are not what every file can give."""
    _, first = types[0]
    require_columns((roles.prediction, roles.outcome, roles.time, *exclude), first)
    left_out = {roles.time, *exclude}
    columns = [name for name in first if name not in left_out]
    if len(columns) > FEATURE_LIMIT + 2:
        raise ValueError(f"{len(columns)} columns are more than a baseline's {FEATURE_LIMIT}")
    faults: dict[str, None] = {}
    for file, found in types:
        there = {name for name in found if name not in left_out}
        faults |= dict.fromkeys(
            f"{file} has no column {name!r}, which others have" for name in columns if name not in there
        )
        faults |= dict.fromkeys(
            f"{file} has a column {name!r}, which others have not" for name in sorted(there - set(columns))
        )
        checked = (fault_of(name, found[name]) for name in columns if name in found)
        faults |= dict.fromkeys(fault for fault in checked if fault is not None)
    if roles.time is not None and any(roles.time not in found for _, found in types):
        faults[f"not all files have the column {roles.time!r}"] = None
    if faults:
        raise BadColumns(faults)
    if not columns:
        raise ValueError("a baseline needs at least one column")
    return columns


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{file_digest(file, 'sha256').hexdigest()}"


def _label(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _about(label: str, error: ValueError) -> InvalidDocument:
    if isinstance(error, BadColumns):
        return BadColumns(error.faults, source=label)
    return InvalidDocument(f"{label}: {error}")
