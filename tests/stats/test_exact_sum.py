from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.stats.exact_sum import as_float, as_text, exact_sum, from_stored

_NUMBERS = st.floats(min_value=-1e280, max_value=1e280, allow_subnormal=False).filter(
    lambda number: number == 0.0 or abs(number) > 1e-60
)


@given(st.lists(st.tuples(_NUMBERS, st.sampled_from((1, -1))), max_size=40))
def test_a_sum_is_that_of_fractions_to_the_nearest_float(rows: list[tuple[float, int]]) -> None:
    values, signs = np.array([value for value, _ in rows]), np.array([sign for _, sign in rows], dtype=np.int64)
    expected = sum((Fraction(value) * sign for value, sign in rows), Fraction(0))
    assert as_float(exact_sum(values, signs)) == float(expected)


@given(st.lists(_NUMBERS, min_size=1, max_size=30))
def test_order_and_parts_change_nothing_and_what_is_taken_back_leaves_no_trace(values: list[float]) -> None:
    whole = exact_sum(np.array(values))
    assert sum(exact_sum(np.array([value])) for value in sorted(values)) == whole
    taken = np.array([*values, 1e300, 1e300]), np.array([1] * len(values) + [1, -1], dtype=np.int64)
    assert exact_sum(*taken) == whole


def test_a_small_number_survives_beside_a_large_one() -> None:
    assert as_float(exact_sum(np.array([1e200, 3.25])) - exact_sum(np.array([1e200]))) == 3.25


def test_what_lies_below_the_unit_is_cut_off_the_same_way_each_time() -> None:
    tiny = np.array([1e-90, 5e-324, -0.0, 2.0**-256 * 1.75])
    assert (exact_sum(tiny), exact_sum(-tiny)) == (1, -1)


def test_many_rows_at_once_are_exact() -> None:
    values = np.random.default_rng(1).lognormal(0.0, 8.0, 20_000)
    assert as_float(exact_sum(values)) == math.fsum(values.tolist())


def test_a_sum_is_stored_and_read_back_and_sums_of_earlier_versions_are_read() -> None:
    for units in (0, 5, -(1 << 900), exact_sum(np.array([0.1]))):
        assert from_stored(as_text(units)) == units
    assert from_stored(0.5) == exact_sum(np.array([0.5]))


@pytest.mark.parametrize("stored", ["", "x", "1.5", math.inf, math.nan])
def test_a_damaged_sum_is_refused(stored: str | float) -> None:
    with pytest.raises(ValueError, match=r"finite|invalid"):
        from_stored(stored)
