"""Build a baseline from columns in memory: a mapping, or a pandas, polars or Arrow table.

Invariant: each column is counted by the very cells that will count live traffic, and the same columns give the same
baseline (but for `created_at`). Tables are recognised by their methods; no table library is imported. It reads no
file (see `build`). Called from notebooks, training pipelines and `build`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import (
    FORMAT,
    QUANTILES,
    Baseline,
    FeatureBaseline,
    OutcomeBaseline,
    Source,
    sealed,
)
from registry_client.cells import categorical_cells, numeric_cells
from registry_client.column import CategoryTally, Column, categories_in, numbers_in
from registry_client.log_histogram import LogHistogram

# A flag kept as 0 and 1 is a category; any third integer makes a column of integers a quantity.
_FEWEST_QUANTITIES = 3
_BINARY = (frozenset(("0", "1")), frozenset(("false", "true")))
_JSON_TYPES = frozenset((int, float, str, bool, type(None), list, dict))


def build_baseline(
    columns: Any,
    *,
    prediction: str | None = None,
    outcome: str | None = None,
    name: str = "",
    now: datetime,
    importance: Mapping[str, float] | None = None,
) -> Baseline:
    """Sum up training data.

    `columns` maps names to arrays or sequences of equal length, or is a pandas, polars or Arrow table. The columns
    `prediction` (the model's answers on these rows) and `outcome` (the truth) are no features. `now` is aware;
    `importance` says how much each feature matters to the model. ValueError in a sentence where the data will not
    do, TypeError where they are no columns.

    >>> from datetime import UTC
    >>> data = {"amount": [12.5, 3.0, None], "country": ["DE", "FR", "DE"]}
    >>> baseline = build_baseline(data, now=datetime(2026, 1, 1, tzinfo=UTC))
    >>> [(feature.name, feature.kind, feature.missing) for feature in baseline.features]
    [('amount', 'numeric', 1), ('country', 'categorical', 0)]
    """
    table = _columns_of(columns)
    rows = _rows_of(table)
    require_columns((prediction, outcome), table)
    require_columns(importance or (), table)
    weights = importance or {}
    features = {key: feature_of(key, column, weights.get(key)) for key, column in table.items() if key != outcome}
    predicted = features.pop(prediction) if prediction is not None else None
    return sealed(
        Baseline(
            format=FORMAT,
            created_at=now,
            rows=rows,
            source=Source(name=name),
            features=tuple(features.values()),
            prediction=predicted,
            outcome=outcome_of(outcome, categories_in(_plain(table[outcome]))) if outcome is not None else None,
        )
    )


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


def feature_of(name: str, column: Column, importance: float | None = None) -> FeatureBaseline:
    """One column summed up: numeric where every known value is a number and there are floats or three integers."""
    column = _plain(column)
    numbers = _quantity(column)
    if numbers is None:
        return categorical_feature(name, categories_in(column), importance)
    return numeric_feature(name, numbers, importance)


def numeric_feature(name: str, numbers: NDArray[np.float64], importance: float | None = None) -> FeatureBaseline:
    """A numeric column, given as float64 with NaN for missing; it needs at least one finite number."""
    cells = numeric_cells(numbers)
    histogram = LogHistogram()
    histogram.update(numbers)
    finite = np.sort(numbers[np.isfinite(numbers)])
    # Scaled, because the sum of squares of large numbers leaves float64.
    largest = float(max(abs(finite[0]), abs(finite[-1]))) or 1.0
    scaled = finite / largest
    # inverted_cdf gives values that occurred, so integers stay integers and atoms stay atoms.
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    counts = cells.count(numbers)
    return FeatureBaseline(
        name=name,
        kind="numeric",
        counts=tuple(counts.tolist()),
        n=len(numbers),
        missing=int(counts[cells.missing_index]),
        wrong_type=0,
        edges=cells.edges,
        quantiles=tuple(np.quantile(finite, levels, method="inverted_cdf").tolist()),
        log_histogram=histogram.to_document(),
        minimum=float(finite[0]),
        maximum=float(finite[-1]),
        mean=float(scaled.mean()) * largest,
        sd=float(scaled.std()) * largest,
        integers_share=float(np.mean(finite == np.trunc(finite))),
        importance=importance,
    )


def categorical_feature(name: str, tally: CategoryTally, importance: float | None = None) -> FeatureBaseline:
    """A categorical column, counted by text already; ValueError where it held lists or objects."""
    if tally.wrong_type:
        raise ValueError(f"column {name!r} holds lists or objects, which have no distribution to keep; leave it out")
    cells = categorical_cells(tally)
    counts = cells.count_tally(tally)
    return FeatureBaseline(
        name=name,
        kind="categorical",
        counts=tuple(counts.tolist()),
        n=int(counts.sum()),
        missing=tally.missing,
        wrong_type=0,
        categories=cells.categories,
        tail=cells.tail,
        importance=importance,
    )


def outcome_of(name: str, tally: CategoryTally) -> OutcomeBaseline:
    """The outcome column: known, missing, and the positives where it is binary."""
    known = tally.texts.total() + tally.unlisted + tally.wrong_type
    is_binary = any(tally.texts.keys() <= pair for pair in _BINARY) and known == tally.texts.total()
    positives = tally.texts["1"] + tally.texts["true"] if is_binary else None
    return OutcomeBaseline(name=name, n=known, missing=tally.missing, positives=positives)


def _quantity(column: Column) -> NDArray[np.float64] | None:
    """The column as float64, or None where it is of categories."""
    if isinstance(column, np.ndarray):
        has_floats, has_others = column.dtype.kind == "f", column.dtype.kind not in "fiu"
    else:
        types = set(map(type, column))
        has_floats, has_others = float in types, bool(types - {int, float, type(None)})
    if has_others:
        return None
    numbers, _ = numbers_in(column)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size or (not has_floats and np.unique(finite).size < _FEWEST_QUANTITIES):
        return None
    return numbers


def _plain(column: Column) -> Column:
    """The column with numpy scalars, decimals and dates as JSON has them; arrays of numbers as they are."""
    if isinstance(column, np.ndarray):
        if column.dtype.kind in "fiub" and not isinstance(column, np.ma.MaskedArray):
            return column
        if column.dtype.kind == "M":
            # Microseconds are what Python's datetime can hold; "not a time" becomes None.
            column = column.astype("datetime64[us]")
        values: Sequence[object] = column.tolist()
        return _plain(values)
    if set(map(type, column)) <= _JSON_TYPES:
        return column
    return [_plain_value(value) for value in column]


def _plain_value(value: object) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, (datetime, date, time)):
        # pandas' "not a time" is a datetime that differs from itself.
        return value.isoformat() if value == value else None  # noqa: PLR0124
    return value


def _rows_of(table: Mapping[str, Column]) -> int:
    if not table:
        raise ValueError("a baseline needs at least one column")
    lengths = {key: len(column) for key, column in table.items()}
    if len(set(lengths.values())) > 1:
        common, _ = Counter(lengths.values()).most_common(1)[0]
        odd = next(key for key, length in lengths.items() if length != common)
        raise ValueError(f"columns must be of equal length: {odd!r} has {lengths[odd]} rows, others {common}")
    rows = next(iter(lengths.values()))
    if not rows:
        raise ValueError("a baseline needs at least one row")
    return rows


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
