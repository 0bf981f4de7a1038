from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from registry_client.value_rows import ValueRows, column_of_integers, column_of_values, plain


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ([Decimal("1.5"), Decimal("NaN")], [1.5, None]),
        ([np.int64(1), np.float32(0.5), np.str_("a")], [1, 0.5, "a"]),
        ([date(2026, 1, 1), time(1, 2)], ["2026-01-01", "01:02:00"]),
        ([datetime(2026, 1, 1, 2)], ["2026-01-01T02:00:00"]),  # noqa: DTZ001 -- data may lack a zone
        (np.array(["2026-01-01", "NaT"], "datetime64[ns]"), ["2026-01-01T00:00:00", None]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.ma.MaskedArray([1.5, 2.5], mask=[False, True]), [1.5, None]),
        ([1, "a", None, True], [1, "a", None, True]),
    ],
    ids=range(8),
)
def test_values_become_what_json_has_for_them(column: Any, values: list[Any]) -> None:
    assert list(plain(column)) == values


def test_arrays_of_numbers_stay_as_they_are() -> None:
    array = np.array([1.5])
    assert plain(array) is array


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.int64])
def test_an_array_of_integers_is_summed_up_as_the_list_of_them(dtype: Any) -> None:
    for values in ([0, 1, 1], [5], [1, 2, 3], []):
        array = np.array(values, dtype)
        left, right = column_of_integers(array, missing=0), column_of_values("x", values)
        assert left.feature("x") == right.feature("x")
        assert left.whole_numbers == right.whole_numbers


@pytest.mark.parametrize("column", [[[1]], [{"a": 1}], [object()], [1, [2]]])
def test_lists_and_objects_are_refused_by_name(column: list[Any]) -> None:
    with pytest.raises(ValueError, match="column 'v' holds lists or objects"):
        column_of_values("v", column)


def test_rows_can_be_taken_by_their_places() -> None:
    rows = ValueRows({"a": np.array([1.0, 2.0, 3.0]), "b": ["x", "y", "z"]})
    taken = rows.taken(np.array([2, 0]))
    assert taken.size == 2
    assert taken.scores("a").tolist() == [3.0, 1.0]
    assert taken.columns["b"] == ["z", "x"]


def test_an_outcome_is_positive_negative_or_neither() -> None:
    columns: dict[str, Any] = {
        "flag": [True, False, None],
        "number": np.array([1.0, 0.0, np.nan]),
        "text": ["1", "false", "yes"],
        "other": [2, 0.5, "1 "],
    }
    rows = ValueRows(columns)
    for name in ("flag", "number", "text"):
        assert rows.signs(name).tolist() == [1, 0, -1]
    assert rows.signs("other").tolist() == [-1, -1, -1]


def test_scores_are_numbers_or_nothing() -> None:
    rows = ValueRows({"score": [0.5, None, 1], "label": ["a", 0.5, None]})
    np.testing.assert_array_equal(rows.scores("score"), [0.5, np.nan, 1.0])
    assert np.isnan(rows.scores("label")).all()
