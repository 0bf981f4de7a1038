from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_client import fine_cells
from registry_client.cells import numeric_cells
from registry_client.fine_cells import FINE_CELL_LIMIT, FineCells, Floats, keys_of
from registry_client.log_histogram import LogHistogram

FINITE = st.floats(allow_nan=False, allow_infinity=False)
GENERATOR = np.random.default_rng(7)
SHAPES: dict[str, Floats] = {
    "lognormal": GENERATOR.lognormal(3, 2, 60_000),
    "normal around zero": GENERATOR.normal(0, 1, 60_000),
    "kelvin": GENERATOR.uniform(273, 300, 60_000),
    "unix seconds of an hour": 1.7e9 + GENERATOR.uniform(0, 3_600, 60_000),
    "unix milliseconds of a day": np.floor(1.7e12 + GENERATOR.uniform(0, 86.4e6, 60_000)),
    "heavy tail": GENERATOR.standard_cauchy(60_000) ** 3,
    "half zeros": np.where(GENERATOR.random(60_000) < 0.5, 0.0, GENERATOR.normal(5, 1, 60_000)),
    "everything": GENERATOR.integers(0, 0x7FE0 << 48, 60_000).view(np.float64) * GENERATOR.choice([-1.0, 1.0], 60_000),
    "denormals": GENERATOR.integers(0, 1 << 50, 60_000).view(np.float64),
    "years": GENERATOR.integers(1990, 2027, 60_000).astype(np.float64),
}


def same(left: FineCells, right: FineCells) -> bool:
    pairs: list[tuple[Any, Any]] = [
        (left.keys, right.keys),
        (left.lows, right.lows),
        (left.highs, right.highs),
        (left.fractions, right.fractions),
        (left.counts, right.counts),
    ]
    return left.shift == right.shift and all(np.array_equal(one, other) for one, other in pairs)


def in_parts(values: Floats, cuts: list[int]) -> FineCells:
    parts = [FineCells.of(part) for part in np.split(values, cuts)]
    return FineCells.combined([(part, (0,)) for part in parts], 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_merged_in_any_order_equal_one_build(shape: str) -> None:
    values = SHAPES[shape]
    whole = FineCells.of(values)
    assert same(in_parts(values, [1, 1, 40_000]), whole)
    shuffled = np.random.default_rng(1).permutation(values)
    assert same(in_parts(shuffled, [100, 20_000, 59_999]), whole)
    # One after the other, each with the shift reached so far as a hint.
    grown = FineCells.empty()
    for part in np.array_split(shuffled, 9):
        grown = FineCells.combined([(grown, (0,)), (FineCells.of(part, shift=grown.shift), (0,))], 1)
    assert same(grown, whole)


@settings(max_examples=60, deadline=None)
@given(st.lists(FINITE, max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_merging_is_a_union_for_any_numbers(numbers: list[float], first: int, second: int) -> None:
    values = np.array(numbers, np.float64)
    whole = FineCells.of(values)
    cuts = sorted((min(first, values.size), min(second, values.size)))
    assert same(in_parts(values, cuts), whole)
    assert same(in_parts(values[::-1], cuts), whole)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-300, -257) | st.just(0.0) | st.floats(257, 300), max_size=60), st.integers(0, 60))
def test_merging_is_a_union_beyond_the_limit_of_cells_too(numbers: list[float], cut: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_cells, "FINE_CELL_LIMIT", 8)
        values = np.array(numbers, np.float64)
        whole = FineCells.of(values)
        assert len(whole.keys) <= 8
        assert same(in_parts(values, [min(cut, values.size)]), whole)
        grown = FineCells.empty()
        for value in values[::-1]:
            grown = FineCells.combined([(FineCells.of(np.array([value]), shift=grown.shift), (0,)), (grown, (0,))], 1)
        assert same(grown, whole)
        # One bit finer would be too many.
        distinct = np.unique(keys_of(values, whole.shift - 1)) if whole.shift else np.empty(9)
        assert len(distinct) > 8


@settings(max_examples=30, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=30), st.integers(0, 51))
def test_a_coarser_shift_keeps_the_order_of_numbers(numbers: list[float], shift: int) -> None:
    ascending = np.sort(np.array(numbers, np.float64))
    keys = keys_of(ascending, shift)
    assert (keys[1:] >= keys[:-1]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_cells_are_as_fine_as_the_limit_allows(shape: str) -> None:
    values = SHAPES[shape]
    cells = FineCells.of(values)
    assert cells.total == values.size
    assert len(cells.keys) <= FINE_CELL_LIMIT
    assert len(cells.keys) >= min(np.unique(values).size, FINE_CELL_LIMIT // 2)
    assert (cells.lows[0], cells.highs[-1]) == (values.min(), values.max())


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_read_off_the_cells_is_what_the_numbers_say(shape: str) -> None:
    values = SHAPES[shape]
    cells = FineCells.of(values)
    ruler = cells.frozen()
    exact = numeric_cells(values)
    assert abs(ruler.size - exact.size) <= 1
    counts = cells.counted(ruler.edges)[:, 0]
    np.testing.assert_array_equal(counts, ruler.count(values)[:-2])
    heaviest = max(float(np.mean(values == value)) for value in cells.lows[np.argsort(cells.totals)[-3:]])
    assert counts.max() <= values.size * max(heaviest + 0.005, 1.5 / 16)
    quantiles = np.array(cells.quantiles(512))
    assert set(quantiles.tolist()) <= set((values + 0.0).tolist())
    ranks = np.searchsorted(np.sort(values), quantiles, side="right") / values.size
    at_left = np.searchsorted(np.sort(values), quantiles, side="left") / values.size
    levels = (np.arange(512) + 0.5) / 512
    assert (at_left <= levels + 0.003).all()
    assert (ranks >= levels - 0.003).all()
    histogram = LogHistogram()
    histogram.update(values)
    read = cells.log_histogram(negative_infinities=0, positive_infinities=0, nan=0)
    assert read.to_document() == histogram.to_document()


@pytest.mark.parametrize("shape", ["lognormal", "normal around zero", "kelvin", "unix seconds of an hour", "years"])
def test_mean_and_deviation_are_within_the_stated_tolerance(shape: str) -> None:
    values = SHAPES[shape]
    mean, sd = FineCells.of(values).mean_and_sd()
    assert mean == pytest.approx(float(values.mean()), rel=1e-8)
    assert sd == pytest.approx(float(values.std()), rel=1e-5)


def test_mean_and_deviation_of_few_or_huge_numbers_are_exact() -> None:
    assert FineCells.of(np.array([1.7e308, -1.7e308, 1.7e308])).mean_and_sd()[0] == pytest.approx(1.7e308 / 3)
    assert FineCells.of(np.array([5e-324, 5e-324])).mean_and_sd() == (5e-324, 0.0)
    assert FineCells.of(np.array([0.1] * 3)).mean_and_sd()[0] == pytest.approx(0.1, rel=1e-15)


def test_zeros_of_both_signs_are_one_number_apart_from_the_smallest_ones() -> None:
    cells = FineCells.of(np.array([-5e-324, -0.0, 0.0, 5e-324]))
    assert cells.keys.tolist() == [-2, 0, 2]
    assert cells.totals.tolist() == [1, 2, 1]
    assert not np.signbit(cells.lows[1])


def test_a_repeated_number_in_a_dense_range_keeps_a_cell_to_itself() -> None:
    values = np.concatenate((np.random.default_rng(3).uniform(0, 10, 200_000), np.full(100_000, 5.0)))
    cells = FineCells.of(values)
    assert cells.shift > 0
    ruler = cells.frozen()
    counts = cells.counted(ruler.edges)[:, 0]
    heavy = int(np.argmax(counts))
    assert ruler.edges[heavy - 1] == 5.0
    assert ruler.edges[heavy] < 5.01
    assert counts[heavy] == pytest.approx(100_000, rel=0.005)
    assert cells.quantiles(512).count(5.0) > 160


def test_blocks_are_counted_apart_and_fold_together() -> None:
    generator = np.random.default_rng(5)
    days = [generator.normal(day, 1, 30_000) for day in range(3)]
    pieces = [(FineCells.of(values), (day,)) for day, values in enumerate(days)]
    cells = FineCells.combined(pieces, 3)
    ruler = cells.frozen()
    counted = cells.counted(ruler.edges)
    for day, values in enumerate(days):
        np.testing.assert_array_equal(counted[:, day], ruler.count(values)[:-2])
    together = FineCells.combined([(cells, (0, 0, 0))], 1)
    assert same(together, FineCells.of(np.concatenate(days)))


def test_nothing_has_no_cells() -> None:
    cells = FineCells.of(np.empty(0))
    assert (cells.total, len(cells.keys)) == (0, 0)
    assert same(FineCells.combined([(cells, (0,))], 1), FineCells.empty())
    with pytest.raises(ValueError, match="at least one finite number"):
        cells.frozen()


def test_numbers_are_known_one_by_one_until_there_are_too_many() -> None:
    few = FineCells.of(np.arange(FINE_CELL_LIMIT) / 3)
    distinct = few.distinct()
    assert distinct is not None
    assert distinct[0].tolist() == (np.arange(FINE_CELL_LIMIT) / 3).tolist()
    assert FineCells.of(np.arange(FINE_CELL_LIMIT + 1) / 3).distinct() is None


def test_infinities_and_missing_values_are_in_the_log_histogram() -> None:
    histogram = LogHistogram()
    histogram.update([1.0, -math.inf, math.inf, math.inf, math.nan])
    read = FineCells.of(np.array([1.0])).log_histogram(negative_infinities=1, positive_infinities=2, nan=1)
    assert read.to_document() == histogram.to_document()
