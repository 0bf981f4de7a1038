"""Build a baseline from columns in memory: a mapping, or a pandas, polars or Arrow table.

Invariant: each column is counted by the very cells that will count live traffic, and the same columns give the same
baseline (but for `created_at`). Tables are recognised by their methods; of libraries only pyarrow is loaded, where a
table is Arrow or polars and pyarrow is there. It reads no file (see `build`). Called from notebooks and pipelines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import numpy as np

from registry_client.arrow_rows import ArrowRows, fault_of
from registry_client.baseline import FEATURE_LIMIT, Baseline
from registry_client.column import Column
from registry_client.errors import BadColumns
from registry_client.table_summary import Roles, Summary, empty_summary, with_rows
from registry_client.value_rows import ValueRows


def build_baseline(
    columns: Any,
    *,
    prediction: str | None = None,
    outcome: str | None = None,
    time: str | None = None,
    exclude: Sequence[str] = (),
    name: str = "",
    now: datetime,
    importance: Mapping[str, float] | None = None,
) -> Baseline:
    """Sum up training data.

    `columns` maps names to arrays or sequences of equal length, or is a pandas, polars or Arrow table. The columns
    `prediction` (the model's answers on these rows) and `outcome` (the truth) are no features. `time` says when each
    row happened (timestamps, dates, ISO texts or Unix times, UTC), to learn how much days differ; `exclude` leaves
    columns out. `now` is aware; `importance` says how much each feature matters to the model. ValueError in a sentence
    where the data will not do, TypeError where they are no columns.

    >>> from datetime import UTC
    >>> data = {"amount": [12.5, 3.0, None], "country": ["DE", "FR", "DE"]}
    >>> baseline = build_baseline(data, now=datetime(2026, 1, 1, tzinfo=UTC))
    >>> [(feature.name, feature.kind, feature.missing) for feature in baseline.features]
    [('amount', 'numeric', 1), ('country', 'categorical', 0)]
    """
    summary = summarise_table(columns, Roles(prediction, outcome, time), exclude=exclude)
    require_columns(importance or (), summary.columns)
    return summary.baseline(name=name, now=now, importance=importance)


def summarise_table(table: Any, roles: Roles, *, exclude: Sequence[str] = ()) -> Summary:
    """The rows of a table in memory, summed up; errors and arguments as those of `build_baseline`."""
    names, batches = _batches_of(table)
    require_columns((roles.prediction, roles.outcome, roles.time, *exclude), names)
    left_out = {roles.time, *exclude}
    summary = empty_summary((column for column in names if column not in left_out), roles)
    if not summary.columns:
        raise ValueError("a baseline needs at least one column")
    if len(summary.columns) > FEATURE_LIMIT + 2:
        raise ValueError(f"{len(summary.columns)} columns are more than a baseline's {FEATURE_LIMIT}")
    if isinstance(batches, ValueRows):
        return with_rows(summary, batches) if batches.size else summary
    faults = [fault_of(column, batches.schema.field(column).type) for column in summary.columns]
    if any(faults):
        raise BadColumns(fault for fault in faults if fault is not None)
    read = [*summary.columns, *([roles.time] if roles.time is not None else [])]
    for batch in batches:
        if batch.num_rows:
            summary = with_rows(summary, ArrowRows(batch.select(read)))
    return summary


def require_columns(wanted: Iterable[str | None], table: Iterable[str]) -> None:
    """ValueError where a wanted column is named twice, or does not exist (then the nearest one is named)."""
    names = [name for name in wanted if name is not None]
    there = list(table)
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the column {name!r} is given two roles")
        if name not in there:
            nearest = get_close_matches(name, there, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are: {', '.join(there[:20])}"
            raise ValueError(f"there is no column {name!r}; {hint}")


def _batches_of(table: Any) -> tuple[list[str], Any]:
    """The names of the columns, and the rows: as values, or as a reader of Arrow record batches."""
    if hasattr(table, "schema") and not isinstance(table, Mapping):
        reader = _arrow_reader(table)
        if reader is not None:
            names: list[str] = reader.schema.names
            if len(set(names)) != len(names):
                raise ValueError(f"two columns are named {Counter(names).most_common(1)[0][0]!r}")
            return names, reader
    columns = _columns_of(table)
    _require_equal_lengths(columns)
    return list(columns), ValueRows(columns)


def _arrow_reader(table: Any) -> Any:
    """A reader of what is Arrow, or can be had as Arrow without a copy (polars); None without pyarrow."""
    if not hasattr(table, "__arrow_c_stream__"):
        return None
    try:
        return import_module("pyarrow").RecordBatchReader.from_stream(table)
    except ImportError:
        return None


def _require_equal_lengths(table: Mapping[str, Column]) -> None:
    if not table:
        raise ValueError("a baseline needs at least one column")
    lengths = {key: len(column) for key, column in table.items()}
    if len(set(lengths.values())) > 1:
        common, _ = Counter(lengths.values()).most_common(1)[0]
        odd = next(key for key, length in lengths.items() if length != common)
        raise ValueError(f"columns must be of equal length: {odd!r} has {lengths[odd]} rows, others {common}")


def _columns_of(table: Any) -> dict[str, Column]:
    """The columns of whatever was given, by name."""
    columns: dict[str, Column] = {}
    for key, column in _items_of(table):
        if not isinstance(key, str) or not key:
            raise ValueError(f"the name of a column must be a text, not {key!r}")
        if key in columns:
            raise ValueError(f"two columns are named {key!r}")
        if isinstance(column, np.ndarray):
            if column.ndim != 1:
                raise ValueError(f"column {key!r} has {column.ndim} dimensions instead of one")
        elif isinstance(column, (str, bytes)) or not isinstance(column, Sequence):
            raise TypeError(f"column {key!r} is a {type(column).__name__}, not an array or a sequence of values")
        columns[key] = column
    return columns


def _items_of(table: Any) -> Iterator[tuple[object, Any]]:
    if isinstance(table, Mapping):
        yield from table.items()
    elif hasattr(table, "to_pydict"):  # Arrow
        yield from table.to_pydict().items()
    elif hasattr(table, "iloc"):  # pandas
        for key, series in table.items():
            array = series.to_numpy()
            plain = array.dtype.kind in "fiubM"
            yield key, array if plain else series.to_numpy(dtype=object, na_value=None)
    elif hasattr(table, "to_dict"):  # polars
        yield from table.to_dict(as_series=False).items()
    else:
        raise TypeError(f"a {type(table).__name__} is neither a mapping of columns nor a table")
