from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from registry_client.log_histogram import CELL_LIMIT, LogHistogram
from sidecar.observe.number_counts import MOST_COLUMNS, NumberCounts

Floats = NDArray[np.float64]
COLUMNS = 3


def counted(blocks: list[Floats], columns: int = COLUMNS) -> NumberCounts:
    counts = NumberCounts(columns)
    for block in blocks:
        ascending = np.sort(block, axis=1)
        counts.add_sorted(ascending, ascending.shape[1] - np.isnan(ascending).sum(axis=1))
    return counts


def one_by_one(blocks: list[Floats], column: int) -> LogHistogram:
    histogram = LogHistogram()
    for block in blocks:
        histogram.update(block[column][~np.isnan(block[column])])
    return histogram


def block_of(rng: np.random.Generator, n: int) -> Floats:
    wide = np.exp(rng.normal(0.0, 40.0, n)) * rng.choice([-1.0, 1.0], n)
    special = rng.choice([0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 1.0], n)
    return np.vstack([rng.normal(100.0, 1.0, n), wide, special])


numbers = arrays(np.float64, st.tuples(st.just(COLUMNS), st.integers(0, 12)), elements=st.floats(width=64))


@settings(max_examples=100, deadline=None)
@given(st.lists(numbers, max_size=4))
def test_every_column_is_counted_as_its_own_log_histogram(blocks: list[Floats]) -> None:
    counts = counted(blocks)
    for column in range(COLUMNS):
        assert counts.column(column).histogram().to_document() == one_by_one(blocks, column).to_document()


def test_a_column_of_all_magnitudes_is_coarsened_as_a_log_histogram_is_and_the_others_are_not() -> None:
    rng = np.random.default_rng(1)
    blocks = [block_of(rng, 4_000) for _ in range(5)]
    counts = counted(blocks)
    for column in range(COLUMNS):
        assert counts.column(column).histogram().to_document() == one_by_one(blocks, column).to_document()
        assert counts.column(column).cells.size <= CELL_LIMIT
    assert counts.column(1).coarsening > 0
    assert counts.column(0).coarsening == 0


def test_merging_is_adding_in_any_order() -> None:
    rng = np.random.default_rng(2)
    blocks = [block_of(rng, int(n)) for n in rng.integers(1, 3_000, 9)]
    whole = counted(blocks).to_document()
    for _ in range(5):
        parts = [counted([blocks[place]]) for place in rng.permutation(len(blocks))]
        while len(parts) > 1:
            parts[0].merge(parts.pop(int(rng.integers(1, len(parts)))))
        assert parts[0].to_document() == whole
    twice = counted(blocks)
    twice.merge(twice)
    assert twice.column(0).total == 2 * counted(blocks).column(0).total


def test_it_survives_its_document() -> None:
    counts = counted([block_of(np.random.default_rng(3), 3_000)])
    again = NumberCounts.from_document(counts.to_document(), COLUMNS)
    assert again.to_document() == counts.to_document()
    assert NumberCounts(0).to_document() == NumberCounts.from_document(NumberCounts(0).to_document(), 0).to_document()


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": b"123"},
        {"counts": b"1234567"},
        {"coarsening": b"12"},
        {"coarsening": b"\xff\xff\xff"},
        {"counts": np.zeros(4, dtype="<i8").tobytes()},
        {"counts": np.ones(5, dtype="<i8").tobytes()},
        {"keys": np.array([4, 3, 2, 1], dtype="<u4").tobytes()},
        {"keys": np.array([1, 2, 3, 1 << 31], dtype="<u4").tobytes()},
    ],
)
def test_a_document_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    document = counted([np.array([[1.0, 2.0], [3.0, np.nan], [-4.0, np.nan]])]).to_document()
    assert len(document.keys) == 16
    damaged = type(document)(**{name: getattr(document, name) for name in document.__struct_fields__} | changes)
    with pytest.raises(ValueError, match="log histogram"):
        NumberCounts.from_document(damaged, COLUMNS)


def test_counts_beyond_four_thousand_million_do_not_wrap() -> None:
    counts = counted([np.array([[1.0], [1.0], [1.0]])])
    for _ in range(33):
        counts.merge(counts)
    assert counts.column(0).total == 2**33


def test_other_columns_cannot_be_added_and_their_number_is_bounded() -> None:
    with pytest.raises(ValueError, match="columns"):
        NumberCounts(2).merge(NumberCounts(3))
    with pytest.raises(ValueError, match="columns"):
        NumberCounts(MOST_COLUMNS + 1)
