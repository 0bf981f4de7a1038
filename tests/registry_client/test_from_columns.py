from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from registry_client.baseline import FeatureBaseline
from registry_client.from_columns import build_baseline

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def only(column: Any) -> FeatureBaseline:
    return build_baseline({"x": column}, now=NOW).features[0]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([1.5, 2.5], "numeric"),
        ([1, 2, 3], "numeric"),
        ([0, 1, 1, 0], "categorical"),
        ([0, 1, None, 0], "categorical"),
        ([0.0, 1.0], "numeric"),
        ([1, 2.5], "numeric"),
        ([True, False, True], "categorical"),
        ([1, 2, 3, True], "categorical"),
        (["1", "2", "3"], "categorical"),
        ([1, 2, 3, "x"], "categorical"),
        ([None, None], "categorical"),
        ([float("inf")], "categorical"),
        ([Decimal("1.5"), Decimal(2), None], "numeric"),
        ([np.float32(1.5), np.int64(2)], "numeric"),
        ([date(2026, 1, 1), None], "categorical"),
        (np.array([1.0, np.nan]), "numeric"),
        (np.array([0, 1, 0], dtype=np.uint8), "categorical"),
        (np.array([0, 1, 2], dtype=np.uint8), "numeric"),
        (np.array([True, False]), "categorical"),
        (np.array(["a", "b"]), "categorical"),
        (np.array([1.5, None], dtype=object), "numeric"),
        (np.ma.MaskedArray([1.5, 2.5], mask=[False, True]), "numeric"),
    ],
)
def test_the_kind_of_a_column_follows_from_its_values(column: Any, kind: str) -> None:
    assert only(column).kind == kind


def test_numeric_columns_carry_exact_figures() -> None:
    values = np.random.default_rng(1).normal(50, 7, 2_000).round(1)
    feature = only([*values.tolist(), None, float("nan")])
    assert (feature.n, feature.missing, feature.wrong_type) == (2_002, 2, 0)
    assert feature.mean == pytest.approx(values.mean())
    assert feature.sd == pytest.approx(values.std())
    assert (feature.minimum, feature.maximum) == (values.min(), values.max())
    assert feature.integers_share == pytest.approx(np.mean(values == np.trunc(values)))
    assert set(feature.quantiles) <= set(values.tolist())
    assert feature.quantiles[256] == pytest.approx(np.median(values), abs=0.1)
    assert feature.log_histogram is not None
    assert (sum(feature.log_histogram.counts), feature.log_histogram.nan) == (2_000, 2)


def test_figures_of_huge_numbers_stay_finite() -> None:
    feature = only([1.7e308, -1.7e308, 1.7e308])
    assert feature.mean == pytest.approx(1.7e308 / 3)
    assert feature.sd == pytest.approx(1.7e308 * (8 / 9) ** 0.5)


def test_dates_and_times_are_categories_and_no_time_is_missing() -> None:
    feature = only(np.array(["2026-01-01", "NaT", "2026-01-01"], dtype="datetime64[D]"))
    assert feature.categories == ("2026-01-01T00:00:00",)
    assert feature.missing == 1


def test_prediction_and_outcome_are_no_features() -> None:
    columns = {"a": [1.5, 2.5, 3.5], "score": [0.1, 0.2, 0.9], "fraud": [0, 1, None]}
    baseline = build_baseline(columns, prediction="score", outcome="fraud", now=NOW, importance={"a": 0.7})
    assert [feature.name for feature in baseline.features] == ["a"]
    assert baseline.features[0].importance == 0.7
    assert baseline.prediction is not None
    assert baseline.prediction.name == "score"
    assert baseline.outcome is not None
    outcome = baseline.outcome
    assert (outcome.name, outcome.n, outcome.missing, outcome.positives) == ("fraud", 2, 1, 1)


@pytest.mark.parametrize(
    ("values", "positives"),
    [([True, False, True], 2), ([1.0, 0.0], 1), (["1", "0"], 1), (["good", "bad"], None), ([1.5, 2.5], None)],
)
def test_positives_are_counted_where_the_outcome_is_binary(values: list[Any], positives: int | None) -> None:
    baseline = build_baseline({"a": list(range(len(values))), "y": values}, outcome="y", now=NOW)
    assert baseline.outcome is not None
    assert baseline.outcome.positives == positives


@pytest.mark.parametrize(
    ("columns", "options", "reason"),
    [
        ({}, {}, "at least one column"),
        ({"a": []}, {}, "at least one row"),
        ({"a": [1, 2], "b": [1], "c": [3, 4]}, {}, "'b' has 1 rows, others 2"),
        ({"amount": [1]}, {"prediction": "amuont"}, "did you mean 'amount'"),
        ({"amount": [1]}, {"outcome": "zzz"}, "there are: amount"),
        ({"amount": [1]}, {"importance": {"zzz": 1.0}}, "no column 'zzz'"),
        ({"a": [1], "y": [1]}, {"prediction": "y", "outcome": "y"}, "two roles"),
        ({"a": np.zeros((2, 2))}, {}, "2 dimensions"),
        ({"a": [[1.0, 2.0]]}, {}, "'a' holds lists or objects"),
        ({"": [1]}, {}, "must be a text"),
        ({7: [1]}, {}, "must be a text"),
    ],
)
def test_data_that_will_not_do_is_refused_in_a_sentence(columns: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build_baseline(columns, now=NOW, **options)


@pytest.mark.parametrize("table", [42, {"a": "text"}, {"a": 1.5}, {"a": b"bytes"}, [[1, 2]]])
def test_what_is_no_table_is_refused(table: Any) -> None:
    with pytest.raises(TypeError):
        build_baseline(table, now=NOW)


class ArrowLike:
    def to_pydict(self) -> dict[str, list[Any]]:
        return {"a": [1.5, None], "b": ["x", "y"]}


class PolarsLike:
    def to_dict(self, *, as_series: bool) -> dict[str, list[Any]]:
        assert not as_series
        return {"a": [1.5, None], "b": ["x", "y"]}


class SeriesLike:
    """Behaves like a pandas column: NaN in arrays of floats, its own missing value elsewhere."""

    def __init__(self, values: list[Any], dtype: str) -> None:
        self.values = values
        self.dtype = dtype

    def to_numpy(self, dtype: Any = None, na_value: Any = "NA") -> np.ndarray[Any, Any]:
        if self.dtype == "f8":
            return np.array([np.nan if value is None else value for value in self.values], dtype=float)
        return np.array([na_value if value is None else value for value in self.values], dtype=dtype or object)


class PandasLike:
    iloc = None

    def __init__(self, *columns: tuple[str, SeriesLike]) -> None:
        self.columns = columns

    def items(self) -> Any:
        return iter(self.columns)


@pytest.mark.parametrize(
    "table",
    [
        ArrowLike(),
        PolarsLike(),
        PandasLike(("a", SeriesLike([1.5, None], "f8")), ("b", SeriesLike(["x", "y"], "object"))),
        PandasLike(("a", SeriesLike([1.5, None], "object")), ("b", SeriesLike(["x", "y"], "object"))),
    ],
)
def test_tables_give_the_baseline_of_their_columns(table: Any) -> None:
    expected = build_baseline({"a": [1.5, None], "b": ["x", "y"]}, now=NOW)
    assert build_baseline(table, now=NOW) == expected


def test_a_table_with_two_columns_of_one_name_is_refused() -> None:
    column = ("a", SeriesLike([1.5], "f8"))
    with pytest.raises(ValueError, match="two columns are named 'a'"):
        build_baseline(PandasLike(column, column), now=NOW)
