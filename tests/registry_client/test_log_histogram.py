from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_client.log_histogram import (
    CELL_LIMIT,
    INFINITE_CELL,
    LogHistogram,
    LogHistogramDocument,
    cell_bounds,
    cell_of,
)

DENORMAL = 5e-324
LARGEST = 1.7976931348623157e308
numbers = st.floats(allow_nan=False)
lists = st.lists(st.floats(), max_size=60)


def histogram_of(values: list[float]) -> LogHistogram:
    histogram = LogHistogram()
    histogram.update(values)
    return histogram


@given(numbers, numbers)
def test_a_larger_number_never_has_a_smaller_cell(left: float, right: float) -> None:
    low, high = sorted((left, right))
    for coarsening in (0, 3, 9):
        assert cell_of(low, coarsening) <= cell_of(high, coarsening)


@given(numbers, st.integers(0, 9))
def test_a_number_lies_within_the_bounds_of_its_cell_and_its_mirror_image_in_the_mirror_cell(
    value: float, coarsening: int
) -> None:
    cell = cell_of(value, coarsening)
    low, high = cell_bounds(cell, coarsening)
    assert low <= value <= high
    assert cell_of(-value, coarsening) == -cell
    assert cell_of(low, coarsening) == cell_of(high, coarsening) == cell


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ([0.0, -0.0], {0: 2}),
        ([math.inf, -math.inf], {INFINITE_CELL: 1, -INFINITE_CELL: 1}),
        ([DENORMAL, -DENORMAL, 2 * DENORMAL], {1: 2, -1: 1}),
        ([LARGEST, -LARGEST], {131_008: 1, -131_008: 1}),
        ([math.nan], {}),
    ],
)
def test_special_numbers_have_cells_of_their_own(values: list[float], cells: dict[int, int]) -> None:
    histogram = histogram_of(values)
    assert histogram.counts == cells
    assert histogram.total + histogram.nan == len(values)


def test_neighbouring_cells_leave_no_gap() -> None:
    for cell in (1, 64, 65, 60_000, 131_007):
        assert cell_bounds(cell + 1)[0] == math.nextafter(cell_bounds(cell)[1], math.inf)


def test_a_cell_is_at_most_1_6_percent_wide() -> None:
    for value in (1.0, 1.999, 12.5, 3e-200, 7e200):
        low, high = cell_bounds(cell_of(value))
        assert high / low < 1.016


def test_a_power_of_two_shifts_the_histogram() -> None:
    values = np.random.default_rng(1).lognormal(size=500)
    before, after = histogram_of(values.tolist()), histogram_of((values * 1024).tolist())
    assert after.counts == {cell + 10 * 64: count for cell, count in before.counts.items()}


@given(lists)
def test_adding_one_by_one_equals_one_update(values: list[float]) -> None:
    one_by_one = LogHistogram()
    for value in values:
        one_by_one.add(value)
    assert one_by_one.to_document() == histogram_of(values).to_document()


@given(lists, lists, lists)
def test_merging_is_the_same_as_counting_together_in_any_order(
    first: list[float], second: list[float], third: list[float]
) -> None:
    together = histogram_of(first + second + third).to_document()
    left = histogram_of(first)
    left.merge(histogram_of(second))
    left.merge(histogram_of(third))
    right = histogram_of(third)
    tail = histogram_of(second)
    tail.merge(histogram_of(first))
    right.merge(tail)
    assert left.to_document() == right.to_document() == together


def _wide(seed: int, size: int) -> list[float]:
    generator = np.random.default_rng(seed)
    values = np.exp(generator.uniform(-700, 700, size)) * generator.choice([-1.0, 1.0], size)
    return [float(value) for value in values]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1_000), st.integers(1, 3_000), st.integers(1, 3_000), st.integers(1, 700))
def test_the_order_does_not_matter_either_when_the_limit_of_cells_is_exceeded(
    seed: int, first: int, second: int, third: int
) -> None:
    parts = [_wide(seed + index, size) for index, size in enumerate((first, second, third))]
    together = histogram_of([value for part in parts for value in part])
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        merged = LogHistogram()
        for index in order:
            merged.merge(histogram_of(parts[index]))
        assert merged.to_document() == together.to_document()
    assert len(together.counts) <= CELL_LIMIT


def test_the_limit_holds_for_every_exponent_and_both_signs() -> None:
    magnitudes = 2.0 ** np.arange(-1074, 1024)
    histogram = histogram_of([0.0, math.inf, -math.inf, *magnitudes.tolist(), *(-magnitudes).tolist()])
    assert len(histogram.counts) <= CELL_LIMIT
    assert histogram.total == 3 + 2 * magnitudes.size
    assert histogram.coarsening > 6
    values, counts = histogram.atoms()
    assert np.isfinite(values).all()
    assert (np.diff(values) > 0).all()
    assert counts.sum() == histogram.total - 2


def test_a_histogram_may_be_merged_with_itself() -> None:
    histogram = histogram_of([1.0, 2.0, math.nan])
    histogram.merge(histogram)
    assert (histogram.total, histogram.nan) == (4, 2)


def test_merging_leaves_the_other_as_it_was() -> None:
    fine, coarse = histogram_of([1.0, 1.02]), histogram_of(_wide(3, 4_000))
    before = fine.to_document()
    coarse.merge(fine)
    assert fine.to_document() == before
    assert coarse.total == 4_002


@pytest.mark.parametrize("q", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_quantiles_are_within_a_cell_of_the_exact_ones(q: float) -> None:
    values = np.random.default_rng(2).lognormal(2, 1.5, 5_000)
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    assert histogram_of(values.tolist()).quantile(q) == pytest.approx(exact, rel=0.008)


def test_quantiles_of_nothing_and_outside_the_unit_interval() -> None:
    assert math.isnan(LogHistogram().quantile(0.5))
    assert histogram_of([math.inf, 1.0]).quantile(1.0) == math.inf
    with pytest.raises(ValueError, match="between 0 and 1"):
        LogHistogram().quantile(1.5)


def test_atoms_stand_for_their_cells_in_ascending_order() -> None:
    values, counts = histogram_of([-3.0, 0.0, 5.0, 5.0, math.inf, math.nan]).atoms()
    assert values == pytest.approx([-3.0, 0.0, 5.0], rel=0.008)
    assert counts.tolist() == [1, 1, 2]


def test_arrays_of_any_shape_and_stride_are_counted() -> None:
    table = np.arange(20, dtype=np.float32).reshape(4, 5)
    histogram = LogHistogram()
    histogram.update(table[:, ::2])
    histogram.update(np.empty(0))
    assert histogram.total == 12


@given(lists)
def test_a_document_reads_back_as_it_was_written(values: list[float]) -> None:
    document = histogram_of(values).to_document()
    assert LogHistogram.from_document(document).to_document() == document


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (LogHistogramDocument(cells=(1, 2), counts=(1,)), "2 cells but 1 counts"),
        (LogHistogramDocument(cells=(2, 1), counts=(1, 1)), "ascend"),
        (LogHistogramDocument(cells=(1, 1), counts=(1, 1)), "ascend"),
        (LogHistogramDocument(cells=(1,), counts=(0,)), "positive"),
        (LogHistogramDocument(cells=(1,), counts=(-4,)), "positive"),
        (LogHistogramDocument(nan=-1), "positive"),
        (LogHistogramDocument(coarsening=64), "give up"),
        (LogHistogramDocument(cells=(131_009,), counts=(1,)), "no number"),
        (LogHistogramDocument(cells=(-131_009, 1, 2, 3, 4), counts=(1,) * 5), "no number"),
        (LogHistogramDocument(cells=(1, 131_009, INFINITE_CELL), counts=(1,) * 3), "no number"),
        (LogHistogramDocument(cells=(1, INFINITE_CELL + 1), counts=(1, 1)), "no number"),
        (LogHistogramDocument(cells=tuple(range(1, 1_026)), counts=(1,) * 1_025), "more than"),
    ],
)
def test_documents_that_no_histogram_wrote_are_refused(document: LogHistogramDocument, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        LogHistogram.from_document(document)
