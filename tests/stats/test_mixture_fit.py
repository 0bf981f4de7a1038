from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from registry_client.log_histogram import cell_of
from sidecar.stats.mixture_fit import deviance, fit_shares, lattice_key, live_counts

Floats = NDArray[np.float64]
VALUES = np.array([-1e300, -5.0, -1.0, -5e-324, -0.0, 0.0, 5e-324, 0.01, 1.0, 1.015, 1.99, 2.0, 7.0, 1e9, 1e300])


@pytest.mark.parametrize("coarsening", [0, 1, 3])
def test_the_lattice_is_that_of_the_log_histogram(coarsening: int) -> None:
    assert lattice_key(VALUES, coarsening).tolist() == [cell_of(float(value), coarsening) for value in VALUES]


def test_a_product_one_bit_too_low_reaches_the_cell_of_its_round_number() -> None:
    whole = np.arange(1.0, 200.0)
    live = live_counts(whole / 100, np.ones(whole.size), 0)
    products = (whole * 0.01)[None, :]
    assert (products != whole / 100).any(), "the case needs products that round differently"
    smoothed = (live.observed() + 0.05) / (199 + 0.05 * live.cells)
    assert live.masses(products)[0] == pytest.approx(smoothed)


def test_a_repeated_value_gets_a_cell_of_its_own() -> None:
    values = np.array([1.0, 2.0, 3.0, 3.9, 4.0, 5.0])
    live = live_counts(values, np.array([100.0, 100.0, 100.0, 1.0, 100.0, 100.0]), 0)
    masses = live.masses(np.array([[3.0], [2.9], [3.1]]))
    at_three, below, above = (int(np.argmax(row)) for row in masses)
    assert len({at_three, below, above}) == 3
    assert live.observed().sum() == 501


def test_the_share_is_the_one_of_greatest_likelihood() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.dirichlet(np.ones(9)), rng.dirichlet(np.ones(9))
    observed = rng.multinomial(500, 0.6 * before + 0.4 * after).astype(float)
    shares, deviances = fit_shares(observed, before, [after, before])

    def lost(w: float) -> float:
        mixed: Floats = (1 - w) * before + w * after
        return float(deviance(observed, mixed[None, :])[0])

    best = minimize_scalar(lost, bounds=(0, 1), method="bounded", options={"xatol": 1e-10})
    assert shares[0] == pytest.approx(best.x, abs=1e-6)
    assert deviances[0] == pytest.approx(best.fun, abs=1e-6)
    assert deviances[1] == pytest.approx(lost(0.0))


def test_masses_are_shares_and_never_zero() -> None:
    live = live_counts(np.linspace(1, 2, 100), np.full(100, 3.0), 0)
    masses = live.masses(np.array([[1e9] * 4, [1.5] * 4, [-np.inf, np.inf, 1e308, 0.0]]))
    assert masses.sum(axis=1) == pytest.approx(1.0)
    assert (masses > 0).all()
    assert live.mass_of_key(10**6).sum() == pytest.approx(1.0)
