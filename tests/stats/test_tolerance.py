from __future__ import annotations

import numpy as np
import pytest
from scipy.special import xlogy
from scipy.stats import chi2

from sidecar.stats.tolerance import effective_tolerance


def test_the_three_radii_add_as_roots() -> None:
    finite = chi2.ppf(0.999, 9) / (2 * 5_000)
    expected = (0.005**0.5 + finite**0.5 + 0.002**0.5) ** 2
    assert effective_tolerance(0.005, 5_000, 10, natural=0.002) == pytest.approx(expected)


def test_rows_of_training_that_depend_on_each_other_are_worth_fewer() -> None:
    assert effective_tolerance(0.005, 8_000, 10, overdispersion=4.0) == effective_tolerance(0.005, 2_000, 10)
    assert effective_tolerance(0.005, 8_000, 1, overdispersion=4.0) == 0.005
    for wrong in (0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="over-dispersion"):
            effective_tolerance(0.005, 8_000, 10, overdispersion=wrong)


def test_a_large_baseline_leaves_the_tolerance_alone() -> None:
    assert effective_tolerance(0.005, 10**12, 10) == pytest.approx(0.005, rel=1e-3)
    assert effective_tolerance(0.005, 10, 1) == 0.005


def test_the_finite_part_covers_the_baseline_s_own_error() -> None:
    rng = np.random.default_rng(5)
    truth = rng.dirichlet(np.full(12, 10.0))
    p0 = rng.multinomial(3_000, truth, size=2_000) / 3_000
    kl = (xlogy(p0, p0) - xlogy(p0, truth)).sum(axis=1)
    assert np.mean(kl > effective_tolerance(0.0, 3_000, 12, delta=0.05)) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("tolerance", "baseline_n", "cells", "natural", "delta"),
    [
        (-1, 10, 2, 0, 0.1),
        (0, 0, 2, 0, 0.1),
        (0, 10, 0, 0, 0.1),
        (0, 10, 2, -1, 0.1),
        (0, 10, 2, 0, 1),
        (float("inf"), 1, 2, 0, 0.1),
    ],
)
def test_settings_without_sense_are_refused(
    tolerance: float, baseline_n: int, cells: int, natural: float, delta: float
) -> None:
    with pytest.raises(ValueError, match=r"toleranc|baseline|delta"):
        effective_tolerance(tolerance, baseline_n, cells, natural, delta)
