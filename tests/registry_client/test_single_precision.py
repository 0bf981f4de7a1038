from __future__ import annotations

import doctest
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client import single_precision
from registry_client.cells import NumericCells, numeric_cells
from registry_client.single_precision import forgiving_borders


def test_the_examples_hold() -> None:
    assert doctest.testmod(single_precision).failed == 0


@pytest.mark.parametrize("step", [0.1, 0.01, 0.05, 0.007])
def test_written_numbers_are_counted_alike_in_double_and_single_precision(step: float) -> None:
    rng = np.random.default_rng(int(step * 1000))
    written = np.round(rng.normal(40.0, 12.0, 5_000) / step) * step
    written = np.array([float(f"{value:.6g}") for value in written])
    atoms = np.where(rng.random(5_000) < 0.3, float(f"{7 * step:.6g}"), written)
    for trained in (written, atoms, written.astype(np.float32).astype(np.float64)):
        cells = numeric_cells(trained)
        expected = cells.count(trained).tolist()
        assert cells.count(trained.astype(np.float32)).tolist() == expected
        assert sum(expected[:1]) == 0
        assert expected[cells.missing_index - 1] == 0


def test_training_in_single_precision_fits_live_rows_in_double() -> None:
    rng = np.random.default_rng(9)
    written = np.round(rng.normal(40.0, 12.0, 5_000), 1)
    trained = written.astype(np.float32).astype(np.float64)
    cells = numeric_cells(trained)
    assert cells.count(written).tolist() == cells.count(trained).tolist()


def test_a_continuum_is_counted_as_ever() -> None:
    values = np.random.default_rng(1).normal(0.0, 1.0, 20_000)
    cells = numeric_cells(values)
    assert cells.borders.tolist() == list(cells.edges)


@pytest.mark.parametrize(
    "edges",
    [
        (0.0, 10.0, 20.0),
        (0.5, 0.5000001),
        (16_777_217.0, 16_777_218.0),
        (1e-300, 1e300),
        (5e-324, 0.1e-40, 1e-39),
        (-1.7976931348623157e308, 1.7976931348623155e308),
        (3.4e38, 3.5e38),
        (1_700_000_000.123, 1_700_000_000.5),
    ],
)
def test_borders_that_float32_could_not_tell_apart_stay_where_they_are(edges: tuple[float, ...]) -> None:
    assert forgiving_borders(edges) == list(edges)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=12, unique=True))
def test_borders_always_ascend_and_stay_near(edges: list[float]) -> None:
    ascending = sorted(set(edges) - {-0.0} | ({0.0} if 0.0 in edges else set()))
    if not ascending:
        return
    moved = NumericCells(tuple(ascending)).borders.tolist()
    assert all(left < right for left, right in pairwise(moved))
    assert all(math.isclose(new, old, rel_tol=2e-7) for new, old in zip(moved, ascending, strict=True))
