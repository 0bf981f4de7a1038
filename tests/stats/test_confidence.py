from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom

from sidecar.stats.confidence import proportion_interval, risk_log_e


@pytest.mark.parametrize("p", [0.02, 0.3, 0.9])
def test_the_interval_covers_the_truth_at_every_look(p: float) -> None:
    rng = np.random.default_rng(21)
    missed = 0
    for _ in range(100):
        successes = np.cumsum(rng.random(600) < p)
        looks = range(9, 600, 45)
        missed += any(
            not lower <= p <= upper for lower, upper in (proportion_interval(int(successes[n]), n + 1) for n in looks)
        )
    assert missed <= 5, f"{missed} of 100 streams left their 95 % interval"


def test_the_interval_shrinks_around_the_share() -> None:
    widths = []
    for n in (10, 100, 1_000, 100_000):
        lower, upper = proportion_interval(n // 5, n)
        assert lower < 0.2 < upper
        widths.append(upper - lower)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.012


def test_at_the_ends_the_interval_is_closed() -> None:
    assert proportion_interval(0, 0) == (0.0, 1.0)
    lower, upper = proportion_interval(0, 100)
    assert lower == 0.0
    assert 0.03 < upper < 0.1
    assert proportion_interval(100, 100) == pytest.approx((1 - upper, 1.0))


def test_swapping_success_and_failure_mirrors_the_interval() -> None:
    lower, upper = proportion_interval(13, 57)
    assert proportion_interval(44, 57) == pytest.approx((1 - upper, 1 - lower))


@pytest.mark.parametrize(("errors", "n", "limit"), [(0, 5, 0.1), (3, 20, 0.1), (15, 20, 0.5), (7, 9, 0.01)])
def test_the_evidence_is_the_integral_over_rates_above_the_limit(errors: int, n: int, limit: float) -> None:
    def ratio(p: float) -> float:
        return float((p / limit) ** errors * ((1 - p) / (1 - limit)) ** (n - errors))

    expected, _ = quad(ratio, limit, 1)
    assert risk_log_e(errors, n, limit) == pytest.approx(math.log(expected / (1 - limit)), abs=1e-8)


@pytest.mark.parametrize("limit", [0.01, 0.2, 0.5])
@pytest.mark.parametrize("n", [1, 7, 40])
def test_at_any_allowed_rate_the_mean_of_e_is_at_most_one(limit: float, n: int) -> None:
    k = np.arange(n + 1)
    e = np.exp([risk_log_e(int(errors), n, limit) for errors in k])
    assert float(binom.pmf(k, n, limit) @ e) == pytest.approx(1.0)
    assert float(binom.pmf(k, n, limit / 3) @ e) < 1.0


def test_many_rows_without_errors_stay_finite() -> None:
    assert -40 < risk_log_e(0, 10**7, 0.5) < -10
    assert risk_log_e(10**6, 10**7, 0.01) > 1_000


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_counts_that_cannot_be_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="cannot have"):
        proportion_interval(successes, n)
    with pytest.raises(ValueError, match="cannot have"):
        risk_log_e(successes, n, 0.1)


def test_levels_and_limits_without_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="alpha"):
        proportion_interval(1, 2, alpha=1.0)
    with pytest.raises(ValueError, match="limit"):
        risk_log_e(1, 2, 0.0)
