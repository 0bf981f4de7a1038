from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.column import TEXT_LIMIT, categories_in, category_text, numbers_in

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("column", "numbers", "wrong_type"),
    [
        ([1, 2.5, -3], [1.0, 2.5, -3.0], 0),
        ([1, None, math.nan], [1.0, math.nan, math.nan], 0),
        ([1.0, True, "2", [3], {"a": 1}], [1.0], 4),
        ([True, False], [], 2),
        ([10**400, -(10**400), 1], [math.inf, -math.inf, 1.0], 0),
        ([2**63, 2**70], [2.0**63, 2.0**70], 0),
        ([np.float32(0.5), np.int64(2), np.bool_(True)], [0.5, 2.0], 1),
        ([], [], 0),
        (np.array([1, 2], dtype=np.int8), [1.0, 2.0], 0),
        (np.array([True, False]), [], 2),
        (np.array(["1", "2"]), [], 2),
        (np.array([1.5, None, "x"], dtype=object), [1.5, math.nan], 1),
        ((1, 2), [1.0, 2.0], 0),
    ],
)
def test_numbers_are_told_from_what_is_missing_or_of_a_wrong_type(
    column: Any, numbers: list[float], wrong_type: int
) -> None:
    found, wrong = numbers_in(column)
    np.testing.assert_array_equal(found, numbers)
    assert found.dtype == np.float64
    assert wrong == wrong_type


def test_a_float64_array_is_read_without_a_copy() -> None:
    column = np.arange(10.0)
    assert np.shares_memory(numbers_in(column)[0], column)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("red", "red"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (7.0, "7"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (math.inf, "inf"),
        (np.int64(7), "7"),
        (np.str_("a"), "a"),
        pytest.param(10**5_000, None, id="too many digits"),
        ([1], None),
        ({}, None),
        (object(), None),
        ("\ud800", "?"),
    ],
)
def test_a_value_has_one_text_as_a_category(value: object, text: str | None) -> None:
    assert category_text(value) == text


def test_long_texts_are_cut_but_stay_apart() -> None:
    long = ["x" * 5_000 + ending for ending in "ab"]
    texts = {category_text(text) for text in long}
    assert len(texts) == 2
    assert all(text is not None and len(text) <= TEXT_LIMIT for text in texts)


@pytest.mark.parametrize(
    ("column", "texts", "missing", "wrong_type"),
    [
        (["a", "b", "a", None], {"a": 2, "b": 1}, 1, 0),
        ([1, 1.0, True, "1", "true"], {"1": 3, "true": 2}, 0, 0),
        ([True, False, True], {"true": 2, "false": 1}, 0, 0),
        ([1.5, math.nan, float("nan")], {"1.5": 1}, 2, 0),
        ([["a"], {"b": 1}, "c"], {"c": 1}, 0, 2),
        (np.array([1.0, 2.5, math.nan]), {"1": 1, "2.5": 1}, 1, 0),
        (np.array(["x", "y", "x"]), {"x": 2, "y": 1}, 0, 0),
    ],
)
def test_categories_are_counted_by_text(column: Any, texts: dict[str, int], missing: int, wrong_type: int) -> None:
    tally = categories_in(column)
    assert (dict(tally.texts), tally.missing, tally.wrong_type) == (texts, missing, wrong_type)


@given(st.lists(json_values, max_size=8))
def test_no_json_value_is_lost_or_raises(column: list[Any]) -> None:
    numbers, wrong_type = numbers_in(column)
    assert numbers.size + wrong_type == len(column)
    tally = categories_in(column)
    assert tally.texts.total() + tally.missing + tally.wrong_type == len(column)
    json.dumps(list(tally.texts), ensure_ascii=False).encode()


@given(st.lists(json_values, max_size=8))
def test_a_column_counts_like_its_values_one_by_one(column: list[Any]) -> None:
    whole = categories_in(column)
    singles = [categories_in([value]) for value in column]
    assert whole.texts == sum((single.texts for single in singles), start=type(whole.texts)())
    assert whole.missing == sum(single.missing for single in singles)
    assert numbers_in(column)[1] == sum(numbers_in([value])[1] for value in column)
