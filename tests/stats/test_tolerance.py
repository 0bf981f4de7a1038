from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import xlogy
from scipy.stats import chi2, ncx2

from sidecar.stats.tolerance import effective_tolerance


def test_what_is_tolerated_and_what_days_do_add_as_roots_and_training_s_error_in_any_direction() -> None:
    radius = (0.005**0.5 + 0.002**0.5) ** 2
    expected = ncx2.ppf(0.999, 9, 2 * 5_000 * radius) / (2 * 5_000)
    assert effective_tolerance(0.005, 5_000, 10, natural=0.002) == pytest.approx(expected)
    finite = chi2.ppf(0.999, 9) / (2 * 5_000)
    assert radius < expected < (radius**0.5 + finite**0.5) ** 2
    assert effective_tolerance(0.0, 5_000, 10) == pytest.approx(finite)


@pytest.mark.parametrize("natural", [0.0, 0.003], ids=["alike days", "days that differ"])
def test_live_data_on_the_border_of_what_is_tolerated_lie_outside_as_seldom_as_said(natural: float) -> None:
    rng = np.random.default_rng(6)
    truth, way = rng.dirichlet(np.full(12, 10.0)), rng.dirichlet(np.full(12, 3.0))
    radius = (0.005**0.5 + natural**0.5) ** 2

    def distance(share: float) -> float:
        live = (1 - share) * truth + share * way
        return float((xlogy(truth, truth) - xlogy(truth, live)).sum())

    share = brentq(lambda share: distance(share) - radius, 0.0, 1.0)
    live = (1 - share) * truth + share * way
    p0 = rng.multinomial(3_000, truth, size=4_000) / 3_000
    kl = (xlogy(p0, p0) - xlogy(p0, live)).sum(axis=1)
    outside = np.mean(kl > effective_tolerance(0.005, 3_000, 12, natural, delta=0.05))
    assert outside == pytest.approx(0.05, abs=0.02)


def test_a_huge_baseline_is_worked_out_as_smoothly_as_a_small_one() -> None:
    sizes = [9_000_000, 9_999_000, 10_001_000, 11_000_000, 10**9, 10**15]
    found = [effective_tolerance(0.005, size, 10) for size in sizes]
    assert found[1] == pytest.approx(found[2], rel=1e-4)
    assert all(0.005 < one < 0.0052 for one in found)


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
