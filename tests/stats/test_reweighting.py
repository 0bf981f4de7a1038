from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from sidecar.stats.reweighting import DEGREES, reweighted

Floats = NDArray[np.float64]
BEFORE = np.random.default_rng(1).dirichlet(np.full(20, 5.0))


def _live(seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    ranks = np.linspace(-1, 1, 20)
    shares = BEFORE * np.exp(0.6 * ranks - 0.4 * ranks**2)
    return rng.multinomial(1_000, shares / shares.sum()).astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_each_degree_is_the_likeliest_as_a_generic_optimiser_finds_it(seed: int) -> None:
    observed = _live(seed)
    share = observed / observed.sum()
    ranks = 2.0 * (np.cumsum(BEFORE) - 0.5 * BEFORE) - 1.0
    for degree, masses in reweighted(observed, BEFORE):
        basis: Floats = np.polynomial.legendre.legvander(ranks, degree)[:, 1:].astype(np.float64)

        def lost(slopes: Floats, basis: Floats = basis) -> float:
            heights = np.log(BEFORE) + basis @ slopes
            return float(np.log(np.exp(heights).sum()) - share @ heights)

        best = minimize(lost, np.zeros(degree), method="BFGS").fun
        assert -float(share @ np.log(masses)) == pytest.approx(best, abs=1e-6)


def test_what_training_never_had_gets_no_mass() -> None:
    before = np.array([0.0, 0.3, 0.4, 0.3, 0.0])
    found = dict(reweighted(np.array([500.0, 100.0, 200.0, 100.0, 100.0]), before))
    assert all(masses[0] == masses[-1] == 0.0 for masses in found.values())


def test_a_move_of_everything_to_one_end_is_no_reweighting() -> None:
    observed = np.zeros(20)
    observed[-1] = 1_000.0
    assert dict(reweighted(observed, np.full(20, 0.05))) == {}


def test_nothing_moved_is_reweighted_by_nothing() -> None:
    found = dict(reweighted(1_000 * BEFORE, BEFORE))
    assert tuple(found) == DEGREES
    for masses in found.values():
        np.testing.assert_allclose(masses, BEFORE, atol=1e-6)
