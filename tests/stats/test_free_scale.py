from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.stats.free_scale import free_factor, mixture_factors
from sidecar.stats.mixture_fit import LiveCounts, live_counts

Floats = NDArray[np.float64]
RNG = np.random.default_rng(12)
TRAINED = np.sort(RNG.normal(80.0, 15.0, 512))


def _live(values: Floats) -> LiveCounts:
    return live_counts(values, np.ones(values.size), 0)


def _drawn(n: int = 2_000) -> Floats:
    return RNG.normal(80.0, 15.0, n)


@pytest.mark.parametrize("factor", [0.001, 0.37, 2.7, 371.0])
def test_the_factor_of_all_rows_lies_within_its_error(factor: float) -> None:
    found, error = free_factor(TRAINED, _live(factor * _drawn()))
    assert found is not None
    assert abs(np.log(found / factor)) <= 4.0 * error
    assert error < 0.05


def test_quantiles_around_zero_have_no_ratio() -> None:
    found, _ = free_factor(TRAINED - 80.0, _live(_drawn() - 70.0))
    assert found is None


@pytest.mark.parametrize("factor", [0.01, 371.0])
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_factor_of_a_part_is_the_peak(factor: float, share: float) -> None:
    values = _drawn()
    live = _live(np.where(RNG.random(values.size) < share, factor * values, values))
    found = [peak for peak, _ in mixture_factors(TRAINED, live, live.masses(TRAINED[None, :])[0])]
    assert min(abs(np.log(peak / factor)) for peak in found) < 0.06


def test_negative_values_are_matched_with_negative_ones() -> None:
    values = _drawn()
    live = _live(-np.where(RNG.random(values.size) < 0.4, 100.0 * values, values))
    trained = np.sort(-TRAINED)
    found = [peak for peak, _ in mixture_factors(trained, live, live.masses(trained[None, :])[0])]
    assert min(abs(np.log(peak / 100.0)) for peak in found) < 0.06


def test_zeros_and_absurd_ranges_find_nothing_and_raise_nothing() -> None:
    for values in (np.zeros(500), np.where(np.arange(500) % 2 == 0, 5e-324, 1.7e308)):
        live = _live(values)
        assert list(mixture_factors(np.zeros(512), live, live.masses(np.zeros((1, 512)))[0])) == []


def test_where_moved_rows_have_no_counterpart_no_factor_is_made_up() -> None:
    # All of training on one side of zero, what moved on the other: the rest crosses with nothing.
    values = np.where(RNG.random(2_000) < 0.4, 55.0, -_drawn())
    trained = np.sort(-TRAINED)
    live = _live(values)
    found = list(mixture_factors(trained, live, live.masses(trained[None, :])[0]))
    assert all(1e-9 < peak < 1e9 for peak, _ in found)
