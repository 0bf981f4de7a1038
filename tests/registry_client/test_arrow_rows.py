from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from registry_client.arrow_rows import ArrowRows, fault_of
from registry_client.column_summary import ColumnSummary
from registry_client.time_blocks import UNDATED
from registry_client.value_rows import ValueRows

pa: Any = import_module("pyarrow")  # it ships no types

DAY = 20_454  # 2026-01-01


def rows(array: Any) -> ArrowRows:
    return ArrowRows(pa.record_batch([array], names=["x"]))


def features(summary: ColumnSummary) -> Any:
    return summary.feature("x"), summary.has_floats, summary.whole_numbers


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array([1.5, None, float("nan")]), [1.5, None, float("nan")]),
        (pa.array([1.5, 2.5], pa.float32()), [1.5, 2.5]),
        (pa.array(np.array([1.5, 2.5], np.float16)), [1.5, 2.5]),
        (pa.array([Decimal("1.50"), None]), [1.5, None]),
        (pa.array([1, 2, 3, None], pa.int8()), [1, 2, 3, None]),
        (pa.array([2**64 - 1, 2**64 - 2], pa.uint64()), [2**64 - 1, 2**64 - 2]),
        (pa.array([0, 1, None]), [0, 1, None]),
        (pa.array([True, False, None]), [True, False, None]),
        (pa.array(["a", "b", None, "a"]), ["a", "b", None, "a"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["a", "b", None], pa.string_view()), ["a", "b", None]),
        (pa.array(["a", "b", None, "a"]).dictionary_encode(), ["a", "b", None, "a"]),
        (pa.array([1.5, 2.5, 1.5]).dictionary_encode(), [1.5, 2.5, 1.5]),
        (pa.array([None, None]), [None, None]),
        (pa.array([None], pa.float64()), [None]),
        (pa.array([date(2026, 1, 1), None]), [date(2026, 1, 1), None]),
        (pa.array([date(2026, 1, 1)], pa.date64()), [date(2026, 1, 1)]),
        (pa.array([datetime(2026, 1, 1, 2)]), ["2026-01-01T02:00:00"]),  # noqa: DTZ001
        (pa.array([datetime(2026, 1, 1, 2)], pa.timestamp("ns")), ["2026-01-01T02:00:00"]),  # noqa: DTZ001
        (pa.array([1_767_225_600_000_000_001], pa.timestamp("ns", "UTC")), ["2026-01-01T00:00:00+00:00"]),
        (pa.array([time(1, 2, 3)]), [time(1, 2, 3)]),
        (pa.array([1], pa.time64("ns")), [time(0)]),
        (pa.array(["x" * 5_000, "é"]), ["x" * 5_000, "é"]),
    ],
    ids=str,
)
def test_a_column_is_summed_up_as_its_values_are(array: Any, values: list[Any]) -> None:
    expected = ValueRows({"x": values}).summary("x", None)
    assert features(rows(array).summary("x", None)) == features(expected)
    # A slice has an offset into its buffers.
    padded = pa.concat_arrays([array, array]).slice(len(array))
    assert features(rows(padded).summary("x", None)) == features(expected)


def test_a_dictionary_may_hold_what_no_row_has_and_repeat_itself() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0, None]), pa.array(["a", "a", None, "unused"]))
    feature = rows(array).summary("x", None).feature("x")
    assert (feature.categories, feature.counts, feature.missing) == (("a",), (3, 0, 2, 0), 2)


@pytest.mark.parametrize(
    "arrow_type",
    [
        pa.list_(pa.int8()),
        pa.struct({"a": pa.int8()}),
        pa.map_(pa.string(), pa.int8()),
        pa.binary(),
        pa.duration("s"),
        pa.month_day_nano_interval(),
        pa.dictionary(pa.int8(), pa.binary()),
    ],
    ids=str,
)
def test_types_without_a_distribution_are_named(arrow_type: Any) -> None:
    fault = fault_of("v", arrow_type)
    assert fault == f"column 'v' is of type {arrow_type}, which has no distribution to keep; exclude it"


@pytest.mark.parametrize(
    ("array", "days"),
    [
        (pa.array([date(2026, 1, 1), None]), [DAY, UNDATED]),
        (pa.array([date(2026, 1, 1)], pa.date64()), [DAY]),
        (pa.array([DAY * 86_400, -1, None], pa.timestamp("s")), [DAY, -1, UNDATED]),
        (pa.array([DAY * 86_400_000], pa.timestamp("ms")), [DAY]),
        (pa.array([DAY * 86_400_000_000], pa.timestamp("us", "America/New_York")), [DAY]),
        (pa.array([DAY * 86_400_000_000_000 - 1], pa.timestamp("ns")), [DAY - 1]),
        (pa.array(["2026-01-01T10:00:00Z", None, "2026-01-01"]), [DAY, UNDATED, DAY]),
        (pa.array(["2026-01-01", None]).dictionary_encode(), [DAY, UNDATED]),
        (pa.array([DAY * 86_400, None]), [DAY, UNDATED]),
        (pa.array([DAY * 86_400.0, float("nan")]), [DAY, UNDATED]),
        (pa.array([None, None]), [UNDATED, UNDATED]),
    ],
    ids=str,
)
def test_columns_of_times_are_read_as_days(array: Any, days: list[int]) -> None:
    assert rows(array).days("x").tolist() == days


@pytest.mark.parametrize("array", [pa.array(["soon"]), pa.array([True]), pa.array([5]), pa.array([time(1)])], ids=str)
def test_columns_of_no_times_are_refused(array: Any) -> None:
    with pytest.raises(ValueError, match=r"no .*times"):
        rows(array).days("x")


def test_scores_and_signs_are_read_as_from_values() -> None:
    columns: dict[str, list[object]] = {
        "score": [0.5, None, 1.0],
        "whole": [0, 1, None],
        "flag": [True, False, None],
        "text": ["1", "false", "x"],
    }
    arrow, values = ArrowRows(pa.RecordBatch.from_pydict(columns)), ValueRows(columns)
    for name in columns:
        np.testing.assert_array_equal(arrow.scores(name), values.scores(name))
        np.testing.assert_array_equal(arrow.signs(name), values.signs(name))
    assert arrow.signs("whole").tolist() == [0, 1, -1]
    taken = arrow.taken(np.array([2, 0]))
    assert (taken.size, taken.scores("score").tolist()) == (2, [1.0, 0.5])
