from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.cells import (
    CATEGORY_LIMIT,
    TAIL_LIMIT,
    CategoricalCells,
    NumericCells,
    categorical_cells,
    numeric_cells,
)
from registry_client.column import CategoryTally, categories_in


def tally_of(**texts: int) -> CategoryTally:
    return CategoryTally(Counter(texts))


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (-1, "< 0"),
        (-math.inf, "< 0"),
        (0, "0 – 10"),
        (-0.0, "0 – 10"),
        (9.99, "0 – 10"),
        (10, "10 – 20"),
        (20, "> 20"),
        (math.inf, "> 20"),
        (10**400, "> 20"),
        (math.nan, "missing"),
        (None, "missing"),
        (True, "wrong type"),
        ("5", "wrong type"),
        ([5], "wrong type"),
    ],
)
def test_each_value_has_its_numeric_cell(value: object, label: str) -> None:
    cells = NumericCells((0.0, 10.0, 20.0))
    counts = cells.count([value])
    assert [cells.labels[index] for index in np.flatnonzero(counts)] == [label]
    assert counts.dtype == np.int64
    assert counts.shape == (cells.size,) == (len(cells.labels),)


@pytest.mark.parametrize("edges", [(), (1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (0.0, math.nan), (-math.inf, 0.0)])
def test_edges_that_are_no_ruler_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="edge"):
        NumericCells(edges)


def test_training_leaves_the_outer_cells_empty_and_fills_the_others_alike() -> None:
    values = np.random.default_rng(1).normal(size=16_000)
    cells = numeric_cells(values)
    counts = cells.count(values)
    assert counts[0] == counts[len(cells.edges)] == counts[cells.missing_index] == counts[cells.wrong_type_index] == 0
    assert counts[1 : len(cells.edges)].tolist() == [1_000] * 16


def test_a_frequent_value_has_a_cell_to_itself() -> None:
    values = np.concatenate([np.zeros(400), np.random.default_rng(2).lognormal(size=600)])
    cells = numeric_cells(values)
    at_zero = cells.labels.index("= 0")
    assert cells.count(values)[at_zero] == 400
    assert cells.count([5e-324])[at_zero] == 0
    assert cells.count([0.0, -0.0])[at_zero] == 2


def test_atoms_leave_no_slivers_beside_them() -> None:
    generator = np.random.default_rng(3)
    values = np.concatenate([np.full(2_000, 1.0), generator.lognormal(size=8_000)])
    counts = numeric_cells(values).count(values)
    inner = counts[counts > 0]
    assert inner.min() > values.size / 16 / 2


def test_integers_of_few_values_are_atoms_and_what_lies_between_is_empty() -> None:
    cells = numeric_cells(np.array([1.0, 2.0, 3.0] * 100))
    assert cells.count([1, 2, 3, 1.5, 2.5]).tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0]
    assert len(set(cells.labels)) == cells.size


@pytest.mark.parametrize("value", [0.0, 5e-324, -1.0, 1e308, 1.7976931348623157e308, -1.7976931348623157e308])
def test_a_constant_column_has_a_ruler(value: float) -> None:
    cells = numeric_cells(np.full(50, value))
    assert all(map(math.isfinite, cells.edges))
    assert cells.count(np.full(50, value)).sum() == 50


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=200))
def test_any_numbers_have_a_ruler_that_loses_none(values: list[float]) -> None:
    array = np.array(values)
    if not np.isfinite(array).any():
        with pytest.raises(ValueError, match="finite"):
            numeric_cells(array)
        return
    cells = numeric_cells(array)
    counts = cells.count(array)
    assert counts.sum() == len(values)
    assert counts[cells.missing_index] == np.isnan(array).sum()
    assert len(set(cells.labels)) == cells.size
    np.testing.assert_array_equal(cells.count(values), counts)


@given(st.lists(st.floats(-5, 25) | st.none() | st.booleans() | st.text(max_size=2), max_size=30), st.integers(0, 30))
def test_counts_of_parts_add_up_to_the_counts_of_the_whole(column: list[Any], cut: int) -> None:
    for cells in (NumericCells((0.0, 10.0, 20.0)), CategoricalCells(("a", "1"), ("true", "b", "c"))):
        parts = cells.count(column[:cut]) + cells.count(column[cut:])
        np.testing.assert_array_equal(parts, cells.count(column))


def test_labels_differ_even_where_edges_nearly_agree() -> None:
    edges = (1_000_000.1, 1_000_000.2, 1_000_000.3, 1_000_000.4)
    labels = NumericCells(edges).labels
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("red", "red"),
        ("teal", "rare 1"),
        ("pink", "never seen"),
        (True, "true"),
        (1, "1"),
        (1.0, "1"),
        ("1", "1"),
        (0.5, "never seen"),
        ("", "never seen"),
        ("\ud800", "never seen"),
        (None, "missing"),
        (math.nan, "missing"),
        ([1], "wrong type"),
        ({"a": 1}, "wrong type"),
    ],
)
def test_each_value_has_its_categorical_cell(value: object, label: str) -> None:
    cells = CategoricalCells(("red", "true", "1"), ("teal",))
    counts = cells.count([value])
    assert [cells.labels[index] for index in np.flatnonzero(counts)] == [label]
    assert counts.shape == (cells.size,) == (len(cells.labels),)


def test_categories_reach_99_percent_and_the_rest_is_rare() -> None:
    cells = categorical_cells(tally_of(a=900, b=85, c=10, d=3, e=2))
    assert cells.categories == ("a", "b", "c")
    assert cells.tail == ("d", "e")
    assert cells.unseen_index == 5


def test_at_most_30_categories_and_10000_rare_values_are_kept() -> None:
    texts = Counter({f"id{number}": 1 for number in range(11_000)})
    cells = categorical_cells(CategoryTally(texts))
    assert (len(cells.categories), len(cells.tail)) == (CATEGORY_LIMIT, TAIL_LIMIT)
    assert cells.size == 30 + 8 + 3
    assert cells.count_tally(CategoryTally(texts))[cells.unseen_index] == 11_000 - 10_030


def test_values_that_were_not_listed_count_as_never_seen() -> None:
    tally = CategoryTally(Counter(a=10), missing=2, unlisted=5)
    cells = categorical_cells(tally)
    assert cells.count_tally(tally).tolist() == [10, 5, 2, 0]


def test_a_column_without_any_value_has_cells_too() -> None:
    cells = categorical_cells(categories_in([None, None]))
    assert cells.count([None, "x"]).tolist() == [1, 1, 0]


def test_a_category_listed_twice_is_refused() -> None:
    for categories, tail in ((("a", "a"), ()), (("a",), ("a",)), ((), ("a", "a"))):
        with pytest.raises(ValueError, match="twice"):
            CategoricalCells(categories, tail)


def test_a_category_named_like_another_cell_keeps_a_label_of_its_own() -> None:
    labels = CategoricalCells(("missing", "'missing'", "rare 1", "never seen"), ("x",)).labels
    assert len(set(labels)) == len(labels)
    assert labels.index("missing") == len(labels) - 2


def test_rare_values_fall_into_the_same_cells_in_every_process() -> None:
    tail = tuple(f"carrier-{number}" for number in range(40))
    here = CategoricalCells((), tail).count(list(tail)).tolist()
    script = (
        "from registry_client.cells import CategoricalCells; tail = tuple(f'carrier-{n}' for n in range(40));"
        "print(CategoricalCells((), tail).count(list(tail)).tolist())"
    )
    there = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert there.strip() == str(here)


def test_the_texts_of_new_categories_can_be_asked_for() -> None:
    cells = CategoricalCells(("a",), ("b",))
    assert cells.unseen(["a", "b", "c", "c", None, 7]) == {"c": 2, "7": 1}


def test_cells_of_equal_rulers_are_equal_and_can_be_keys() -> None:
    assert len({NumericCells((0.0, 1.0)), NumericCells((0.0, 1.0))}) == 1
    assert len({CategoricalCells(("a",)), CategoricalCells(("a",))}) == 1
