from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry_client.baseline import from_json, to_json
from registry_client.errors import BadColumns
from registry_client.summary import Summary, merge, summarise
from registry_client.time_blocks import BLOCK_LIMIT

pa: Any = import_module("pyarrow")  # it ships no types

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROLES: dict[str, Any] = {"prediction": "score", "outcome": "fraud", "time": "at"}
FLOATS = st.none() | st.floats(width=64) | st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308, 273.15])
NAMES = ("number", "whole", "flag", "text", "day", "score", "fraud", "at")
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": FLOATS,
            "whole": st.none() | st.integers(-(2**70), 2**70) | st.sampled_from([0, 1, 2**60, 2**60 + 1]),
            "flag": st.none() | st.booleans(),
            "text": st.none() | st.text(max_size=3) | st.sampled_from(["DE", "FR"]),
            "day": st.none() | st.dates(date(2025, 1, 1), date(2025, 1, 4)),
            "score": st.none() | st.floats(0, 1),
            "fraud": st.none() | st.sampled_from([0, 1]),
            "at": st.none() | st.dates(date(1990, 1, 1), date(2026, 1, 1)),
        }
    ),
    min_size=1,
    max_size=25,
)


def table(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in NAMES}


def read(rows: list[dict[str, Any]]) -> Summary:
    return summarise(table(rows), **ROLES)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, st.integers(0, 25), st.integers(0, 25), st.randoms(use_true_random=False))
def test_any_partition_merged_in_any_order_gives_the_bytes_of_one_build(
    rows: list[dict[str, Any]], first: int, second: int, shuffle: random.Random
) -> None:
    whole = read(rows)
    shuffled = shuffle.sample(rows, len(rows))
    low, high = sorted((first, second))
    parts = [read(part) for part in (shuffled[:low], shuffled[low:high], shuffled[high:]) if part]
    assert merge(parts).to_bytes() == whole.to_bytes()
    assert merge(parts[::-1]).to_bytes() == whole.to_bytes()
    one_by_one = parts[0]
    for part in parts[1:]:
        one_by_one = merge([part, one_by_one])
    assert one_by_one.to_bytes() == whole.to_bytes()
    built = whole.baseline(now=NOW)
    assert to_json(merge(parts).baseline(now=NOW)) == to_json(built)
    assert from_json(to_json(built)) == built
    assert Summary.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_arrow_gives_the_bytes_of_python_values(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["whole"] = None if row["whole"] is None else max(-(2**63), min(2**63 - 1, row["whole"]))
    schema = pa.schema(
        {
            "number": pa.float64(),
            "whole": pa.int64(),
            "flag": pa.bool_(),
            "text": pa.string(),
            "day": pa.date32(),
            "score": pa.float64(),
            "fraud": pa.int8(),
            "at": pa.date32(),
        }
    )
    for row in rows:
        row["text"] = row["text"] and row["text"].encode("utf-8", "replace").decode()
    arrow = pa.Table.from_pylist(rows, schema=schema)
    assert summarise(arrow, **ROLES).to_bytes() == read(rows).to_bytes()
    chunked = pa.concat_tables([arrow.slice(0, 3), arrow.slice(3)])
    assert summarise(chunked, **ROLES).to_bytes() == read(rows).to_bytes()


def large(size: int, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    score = generator.random(size)
    return {
        "amount": generator.lognormal(3, 1, size),
        "seconds": 1.7e9 + generator.integers(0, 86_400 * 200, size),
        "count": generator.poisson(3, size),
        "country": generator.choice(["DE", "FR", "IT"], size).tolist(),
        "score": score,
        "fraud": (generator.random(size) < score).astype(np.int64),
        "at": np.datetime64("2025-01-01T00:00") + generator.integers(0, 200 * 1_440, size).astype("timedelta64[m]"),
    }


def test_folded_columns_and_blocks_merge_to_one_build_too() -> None:
    columns = large(60_000, 1)
    whole = summarise(columns, **ROLES)
    assert whole.by_name["amount"].numbers.shift > 0
    parts = []
    for low, high in ((0, 10), (10, 30_000), (30_000, 60_000)):
        parts.append(summarise({name: column[low:high] for name, column in columns.items()}, **ROLES))
    assert merge([parts[1], parts[2], parts[0]]).to_bytes() == whole.to_bytes()
    built = whole.baseline(now=NOW)
    assert built.time is not None
    assert (built.time.blocks, built.time.days_per_block, built.time.undated) == (51, 4, 0)
    for feature in built.features:
        np.testing.assert_array_equal(feature.cells.count(columns[feature.name]), feature.counts)
        assert feature.blocks == 51
    calibration = built.calibration
    assert calibration is not None
    assert sum(calibration.counts) == 60_000
    assert sum(calibration.positives) == columns["fraud"].sum()
    for count, positives, mean in zip(calibration.counts, calibration.positives, calibration.means, strict=True):
        assert positives / count == pytest.approx(mean, abs=0.1)


def test_columns_may_stand_in_another_order_in_each_part() -> None:
    first, second = summarise({"b": [1.5], "a": [1.0]}), summarise({"a": [2.0], "b": [2.5]})
    assert merge([first, second]).to_bytes() == merge([second, first]).to_bytes()
    assert merge([first, second]).columns == ("a", "b")


def test_parts_may_differ_in_what_their_values_look_like() -> None:
    whole = summarise({"x": [1, 2, 2, "x", None, True, 0.5]})
    parts = [summarise({"x": part}) for part in ([1, 2, 2], ["x", None], [True], [0.5])]
    built = merge(parts).baseline(now=NOW)
    assert built.features == whole.baseline(now=NOW).features
    assert built.features[0].kind == "categorical"
    assert set(built.features[0].categories) == {"1", "2", "x", "true", "0.5"}


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ([number / 7 for number in range(9_000)], ["x"]),
        ([2**60, 2**60 + 1, 2**60 + 2], ["x"]),
        ([10**400, 1, 2], ["x"]),
    ],
    ids=["too many", "too large", "not finite"],
)
def test_numbers_that_cannot_be_told_apart_are_refused_beside_texts(numbers: list[Any], texts: list[str]) -> None:
    mixed = merge([summarise({"x": numbers, "y": numbers}), summarise({"x": texts, "y": texts})])
    with pytest.raises(BadColumns, match="'x' holds texts, and numbers") as caught:
        mixed.baseline(now=NOW)
    assert len(caught.value.faults) == 2


def test_integers_beyond_a_float_keep_their_names_where_they_are_flags() -> None:
    feature = merge([summarise({"x": [2**60 + 1]}), summarise({"x": [2**60]})]).baseline(now=NOW).features[0]
    assert feature.categories == (str(2**60), str(2**60 + 1))


@pytest.mark.parametrize(
    ("first", "second", "options", "reason"),
    [
        ({"a": [1]}, {"a": [1], "b": [2]}, ({}, {}), "not all of them have 'b'"),
        ({"a": [1], "b": [2]}, {"a": [1], "b": [2]}, ({"prediction": "a"}, {}), "prediction"),
        ({"a": [1], "b": [2]}, {"a": [1], "b": [2]}, ({"outcome": "a"}, {"outcome": "b"}), "outcome"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    first: dict[str, Any], second: dict[str, Any], options: tuple[dict[str, Any], dict[str, Any]], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        merge([summarise(first, **options[0]), summarise(second, **options[1])])


def test_nothing_cannot_be_merged_nor_be_a_baseline() -> None:
    with pytest.raises(ValueError, match="nothing to merge"):
        merge([])
    with pytest.raises(ValueError, match="at least one row"):
        summarise({"a": []}).baseline(now=NOW)
    assert merge([summarise({"a": []}), summarise({"a": [1]})]).rows == 1


def test_all_bad_columns_are_named_at_once() -> None:
    with pytest.raises(BadColumns) as caught:
        summarise({"a": [[1]], "b": [1], "c": [{}]})
    assert [fault.split("'")[1] for fault in caught.value.faults] == ["a", "c"]


@pytest.mark.parametrize(
    "column",
    [
        ["yesterday"],
        [20260101],
        [True],
        [[1]],
        [1e30],
        [b"2026-01-01"],
        [object()],
    ],
    ids=range(7),
)
def test_a_column_that_holds_no_times_is_refused_without_repeating_its_data(column: list[Any]) -> None:
    with pytest.raises(BadColumns, match="column 'at' holds") as caught:
        summarise({"a": [1.5], "at": column}, time="at")
    assert "yesterday" not in str(caught.value)


def test_days_of_centuries_fold_into_few_blocks() -> None:
    days = [date(1900, 1, 1) + timedelta(days=7 * number) for number in range(6_000)]
    summary = summarise({"a": list(range(6_000)), "at": days}, time="at")
    assert len(summary.blocks.dated) <= BLOCK_LIMIT
    assert summary.block_rows.sum() == 6_000
    assert summary.baseline(now=NOW).features[0].blocks > 0


def test_without_times_the_document_says_that_variation_is_unknown() -> None:
    built = summarise({"a": list(range(1_000))}).baseline(now=NOW)
    feature = built.features[0]
    assert (built.time, feature.blocks, feature.natural_variation, feature.overdispersion) == (None, 0, 0.0, 1.0)


@pytest.mark.parametrize(
    "outcome",
    [["good", "bad"] * 50, [0.5, 1.5] * 50, [None] * 100],
    ids=["texts", "numbers", "missing"],
)
def test_without_a_binary_outcome_there_is_no_calibration(outcome: list[Any]) -> None:
    columns = {"a": list(range(100)), "score": [number / 100 for number in range(100)], "y": outcome}
    assert summarise(columns, prediction="score", outcome="y").baseline(now=NOW).calibration is None


def test_labels_have_no_calibration_and_missing_scores_are_not_counted() -> None:
    labels = {"a": [1.5, 2.5], "score": ["yes", "no"], "y": [0, 1]}
    assert summarise(labels, prediction="score", outcome="y").baseline(now=NOW).calibration is None
    scores = {"a": [1.5] * 4, "score": [0.5, None, float("inf"), 0.7], "y": [True, True, False, None]}
    calibration = summarise(scores, prediction="score", outcome="y").baseline(now=NOW).calibration
    assert calibration is not None
    assert (calibration.counts, calibration.positives, calibration.means) == ((1,), (1,), (0.5,))
