from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom

from sidecar.stats.confidence import risk_log_e
from sidecar.stats.risk import degradation, rate_lower


@pytest.mark.parametrize("limit", [0.05, 0.3])
@pytest.mark.parametrize("n", [1, 5, 12])
def test_enumerated_the_mean_of_e_is_at_most_one_at_and_under_the_limit(n: int, limit: float) -> None:
    e = np.array([math.exp(risk_log_e(k, n, limit)) for k in range(n + 1)])
    for rate in (limit / 3, limit * 0.9, limit):
        assert float(binom.pmf(np.arange(n + 1), n, rate) @ e) <= 1.0 + 1e-9
    assert float(binom.pmf(np.arange(n + 1), n, limit) @ e) == pytest.approx(1.0)
    assert float(binom.pmf(np.arange(n + 1), n, min(0.9, 3 * limit)) @ e) > 1.05


def test_the_evidence_is_the_integral_of_its_formula() -> None:
    limit, errors, n = 0.1, 9, 40
    ratio = lambda p: (p / limit) ** errors * ((1 - p) / (1 - limit)) ** (n - errors)  # noqa: E731
    expected, _ = quad(ratio, limit, 1)
    assert risk_log_e(errors, n, limit) == pytest.approx(math.log(expected / (1 - limit)), rel=1e-6)


@pytest.mark.parametrize(("errors", "n"), [(3, 50), (40, 200), (900, 1_000), (5, 5)])
def test_evidence_falls_as_the_limit_rises_so_that_the_bound_is_one_number(errors: int, n: int) -> None:
    limits = np.linspace(0.001, min(0.999, errors / n), 200)
    values = [risk_log_e(errors, n, float(limit)) for limit in limits]
    assert all(left >= right - 1e-9 for left, right in pairwise(values))
    bound = rate_lower(errors, n, 0.05)
    if bound > 0:
        assert risk_log_e(errors, n, bound) >= math.log(20) - 1e-6
        assert risk_log_e(errors, n, bound * 1.001) < math.log(20)


def test_the_bound_covers_the_rate_at_every_look() -> None:
    # The bound passes the true rate exactly when the evidence against that rate reaches its level (see above).
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(200):
        errors = np.cumsum(rng.random(1_500) < 0.1)[19::50]
        wrong += any(risk_log_e(int(k), 20 + 50 * look, 0.1) >= math.log(20) for look, k in enumerate(errors))
    assert wrong <= 200 * 0.05


def test_no_error_bounds_nothing_and_all_errors_bound_from_below() -> None:
    assert rate_lower(0, 1_000) == 0.0
    assert 0.97 < rate_lower(1_000, 1_000) < 1.0
    assert rate_lower(0, 0) == 0.0


def test_both_sides_may_grow_and_be_looked_at_and_false_alarms_stay_rare() -> None:
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(60):
        reference, live = np.cumsum(rng.random(1_000) < 0.2), np.cumsum(rng.random(1_000) < 0.2)
        alarms += any(
            degradation(int(live[look]), look + 1, int(reference[look]), look + 1, alpha=0.1).degraded
            for look in range(99, 1_000, 150)
        )
    assert alarms <= 60 * 0.1


def test_a_model_that_became_worse_is_found_and_a_tolerated_loss_is_not() -> None:
    found = degradation(560, 2_000, 1_000, 5_000)
    assert found.degraded
    assert found.lower > found.limit > 0.2
    assert found.log_e > math.log(200)
    tolerated = degradation(560, 2_000, 1_000, 5_000, tolerance=0.08)
    assert not tolerated.degraded
    assert tolerated.limit == pytest.approx(found.limit + 0.08)
    assert not degradation(400, 2_000, 1_000, 5_000).degraded


def test_the_word_and_the_bounds_say_the_same() -> None:
    for errors in range(490, 580, 10):
        found = degradation(errors, 2_000, 1_000, 5_000)
        assert found.degraded == (found.lower >= found.limit)


def test_without_a_reference_nothing_is_degraded() -> None:
    found = degradation(900, 1_000, 0, 0)
    assert (found.degraded, found.limit, found.log_e) == (False, 1.0, 0.0)
    assert not degradation(0, 0, 5, 100).degraded


@pytest.mark.parametrize(("errors", "n", "alpha"), [(2, 1, 0.1), (-1, 5, 0.1), (1, 5, 0.0), (1, 5, 1.0)])
def test_counts_and_levels_that_are_none_are_refused(errors: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"out of|alpha"):
        rate_lower(errors, n, alpha)


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, math.nan])
def test_a_tolerance_without_sense_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerated"):
        degradation(1, 5, 1, 5, tolerance=tolerance)
