from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from sidecar.stats.mean_risk import _BET, mean_log_e, mean_lower


@pytest.mark.parametrize(("n", "mean", "limit"), [(100, 1.2, 1.0), (1_000, 1.05, 1.0), (400, 0.9, 1.0), (10, 3.0, 0.0)])
def test_e_is_the_mixture_over_means_above_the_limit(n: int, mean: float, limit: float) -> None:
    deviation = 2.0
    squares = n * (deviation**2 + mean**2)
    steps = n * (mean - limit) / deviation

    def bet(above: float) -> float:
        return float(2 * norm.pdf(above, scale=_BET) * math.exp(above * steps - n * above * above / 2))

    mixed, _ = quad(bet, 0.0, 3.0, points=[0.01, 0.1])
    assert mean_log_e(n, n * mean, squares, limit) == pytest.approx(math.log(mixed), abs=1e-6)


def test_at_the_limit_it_seldom_speaks_at_any_look_even_for_long_tails() -> None:
    rng = np.random.default_rng(1)
    loud = 0
    for _ in range(400):
        values = rng.lognormal(0.0, 1.0, 4_000)
        n = np.arange(100, 4_001, 50)
        total, squares = np.cumsum(values)[n - 1], np.cumsum(values**2)[n - 1]
        limit = math.exp(0.5)
        looks = zip(n.tolist(), total.tolist(), squares.tolist(), strict=True)
        loud += max(mean_log_e(*look, limit) for look in looks) >= math.log(20.0)
    assert loud <= 400 * 0.05


def test_the_lower_bound_lies_under_the_mean_and_near_it() -> None:
    rng = np.random.default_rng(2)
    values = rng.exponential(5.0, 5_000)
    lower = mean_lower(5_000, float(values.sum()), float((values**2).sum()), 0.01)
    assert 4.5 < lower < 5.0
    assert mean_lower(0, 0.0, 0.0, 0.01) == -math.inf
    assert mean_lower(3, 3.0, 4.0, 0.01) < 1.0
    assert mean_lower(100, 100.0, 100.0, 0.01) == -math.inf


def test_an_outlier_alone_is_no_evidence_and_values_that_never_differ_are_none() -> None:
    assert mean_log_e(100, 99.0 + 1e6, 99.0 + 1e12, 1.0) < math.log(20.0)
    assert mean_log_e(100, 200.0, 400.0, 1.0) == 0.0
    assert mean_log_e(100, 200.0, 400.0, 1.0, scale=1.0) > math.log(20.0)


@pytest.mark.parametrize("sums", [(-1, 0.0, 0.0), (1, math.nan, 0.0), (1, 0.0, math.inf)])
def test_sums_that_are_none_are_refused(sums: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean_log_e(*sums, 1.0)
    with pytest.raises(ValueError, match="alpha"):
        mean_lower(10, 1.0, 1.0, 1.5)
