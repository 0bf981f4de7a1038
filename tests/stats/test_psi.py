from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from sidecar.stats.psi import psi, psi_noise


@pytest.mark.parametrize(("live_n", "baseline_n", "cells"), [(800, 5_000, 8), (2_000, 2_000, 16)])
def test_psi_without_change_follows_the_chi_square_law(live_n: int, baseline_n: int, cells: int) -> None:
    rng = np.random.default_rng(7)
    p = rng.dirichlet(np.full(cells, 20.0))
    values = [psi(rng.multinomial(baseline_n, p), rng.multinomial(live_n, p)) for _ in range(2_000)]
    noise = psi_noise(live_n, baseline_n, cells)
    assert np.mean(values) == pytest.approx(noise.mean, rel=0.05)
    assert np.std(values) == pytest.approx(noise.sd, rel=0.10)
    assert np.mean(np.asarray(values) > noise.critical(0.95)) == pytest.approx(0.05, abs=0.02)


def test_psi_is_symmetric_and_zero_on_equal_shares() -> None:
    assert psi([10, 30, 60], [10, 30, 60]) == 0.0
    assert psi([10, 30, 60], [60, 30, 10]) == pytest.approx(psi([60, 30, 10], [10, 30, 60]))


def test_psi_of_a_normal_shift_is_the_known_effect_size() -> None:
    rng = np.random.default_rng(3)
    edges = np.quantile(rng.normal(size=400_000), np.arange(1, 10) / 10)
    counts = [
        np.bincount(np.searchsorted(edges, rng.normal(shift, size=400_000)), minlength=10) for shift in (0.0, 0.3)
    ]
    assert psi(counts[0], counts[1]) == pytest.approx(0.086, abs=0.005)


def test_an_emptied_cell_stays_finite_and_is_not_decided_by_a_filler() -> None:
    value = psi([100, 900], [0, 1_000])
    assert 0.1 < value < 1.0
    assert psi([0, 1_000, 0], [0, 1_000, 0]) == 0.0


def test_without_rows_psi_says_nothing() -> None:
    assert psi([0, 0], [3, 4]) == 0.0
    assert psi([3, 4], [0, 0]) == 0.0


@pytest.mark.parametrize(
    ("baseline", "live"),
    [([1, 2], [1, 2, 3]), ([1, -2], [1, 2]), ([1, float("nan")], [1, 2]), ([], []), ([[1]], [[1]])],
)
def test_counts_that_are_none_are_refused(baseline: list[float], live: list[float]) -> None:
    with pytest.raises(ValueError, match=r"cells|counts"):
        psi(baseline, live)


def test_noise_has_the_law_of_yurdakul_and_naranjo() -> None:
    noise = psi_noise(500, 2_000, 10)
    assert noise.mean == pytest.approx(9 * (1 / 500 + 1 / 2_000))
    assert noise.sd == pytest.approx(18**0.5 * (1 / 500 + 1 / 2_000))
    assert noise.critical(0.99) == pytest.approx(chi2.ppf(0.99, 9) * (1 / 500 + 1 / 2_000))
    with pytest.raises(ValueError, match="quantile"):
        noise.critical(1.0)
    with pytest.raises(ValueError, match="two cells"):
        psi_noise(500, 0, 10)
