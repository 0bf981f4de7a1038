from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import gammaln, logsumexp, rel_entr
from scipy.stats import binom

from sidecar.stats.eprocess import TolerantTest, kl_lower, log_e, log_e_many

Floats = NDArray[np.float64]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]


def _kl(p0: Floats, p: Floats) -> float:
    return float(rel_entr(p0, p).sum())


def _on_boundary(p0: Floats, direction: Floats, tolerance: float) -> Floats:
    """The distribution at KL(p0||p) = tolerance on the way from p0 to `direction`."""

    def mixed(w: float) -> Floats:
        return (1 - w) * p0 + w * direction

    weight = brentq(lambda w: _kl(p0, mixed(w)) - tolerance, 0.0, 1.0 - 1e-9)
    return mixed(weight)


def _log_mixture(live: Floats, prior: Floats) -> float:
    """The Dirichlet mixture of Lindon & Malek, written out plainly."""
    n = live.sum()
    each = [
        gammaln(k) - gammaln(k + n) + sum(gammaln(k * p + c) - gammaln(k * p) for p, c in zip(prior, live, strict=True))
        for k in (50, 200, 800, 3_200, 12_800, 51_200)
    ]
    return float(logsumexp(each)) - math.log(6)


@pytest.mark.parametrize("tolerance", [0.001, 0.005, 0.05])
@pytest.mark.parametrize("n", [30, 400])
def test_the_mean_of_e_is_at_most_one_on_the_boundary_of_the_ball(tolerance: float, n: int) -> None:
    rng = np.random.default_rng(11)
    baseline = np.array([100, 400, 300, 150, 50])
    p = _on_boundary(baseline / baseline.sum(), rng.dirichlet(np.ones(5)), tolerance)
    e = np.exp(log_e_many(rng.multinomial(n, p, size=20_000), baseline, tolerance))
    assert e.mean() <= 1.0 + 3 * e.std() / math.sqrt(e.size)


@pytest.mark.parametrize("n", range(1, 13))
@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.1])
def test_enumerating_two_cells_the_mean_of_e_never_exceeds_one_inside_the_ball(n: int, tolerance: float) -> None:
    baseline = np.array([30, 70])
    p0 = baseline / 100
    live = np.array([[k, n - k] for k in range(n + 1)])
    e = np.exp(log_e_many(live, baseline, tolerance))
    for first in np.linspace(0.01, 0.99, 197):
        p = np.array([first, 1 - first])
        if _kl(p0, p) <= tolerance or first == pytest.approx(0.3):
            assert float(binom.pmf(np.arange(n + 1), n, first) @ e) <= 1.0 + 1e-9


def _generic_loss(live: Floats, p0: Floats, tolerance: float) -> float:
    """Minus the largest log-likelihood in the ball, found by a general optimiser over logits."""

    def loss(logits: Vector) -> float:
        return -float(live @ (logits - logsumexp(logits)))

    def slack(logits: Vector) -> float:
        return tolerance - _kl(p0, np.exp(logits - logsumexp(logits)))

    inside: Any = {"type": "ineq", "fun": slack}
    options: Any = {"maxiter": 500, "ftol": 1e-13}
    return float(minimize(loss, np.log(p0).reshape(p0.size), method="SLSQP", constraints=inside, options=options).fun)


def test_the_constrained_maximum_is_that_of_a_generic_optimiser() -> None:
    rng = np.random.default_rng(2)
    for tolerance in (0.002, 0.02, 0.2):
        baseline = rng.integers(20, 200, size=5)
        live = rng.integers(0, 60, size=5).astype(float)
        live[0] += 150
        p0 = baseline / baseline.sum()

        prior = (baseline + 0.5) / (baseline.sum() + 2.5)
        expected = _log_mixture(live, prior) + _generic_loss(live, p0, tolerance)
        assert log_e(live, baseline, tolerance) == pytest.approx(expected, abs=2e-4)


def test_the_constrained_maximum_is_never_below_any_point_of_the_ball() -> None:
    rng = np.random.default_rng(4)
    baseline = np.array([500, 300, 0, 200])
    p0 = baseline / 1_000
    live = rng.multinomial(2_000, [0.3, 0.3, 0.1, 0.3]).astype(float)
    mixture = _log_mixture(live, (baseline + 0.5) / 1_002)
    for tolerance in (1e-6, 1e-3, 0.1):
        ways = [way for way in rng.dirichlet(np.ones(4), size=200) if _kl(p0, way) > tolerance]
        points = [_on_boundary(p0, way, tolerance) for way in ways]
        bound = max(float(live @ np.log(point)) for point in points)
        assert log_e(live, baseline, tolerance) <= mixture - bound + 1e-9


def test_without_tolerance_it_is_the_mixture_over_the_point_null() -> None:
    baseline, live = np.array([100, 200, 700]), np.array([30.0, 25.0, 45.0])
    prior = (baseline + 0.5) / 1_001.5
    expected = _log_mixture(live, prior) - float(live @ np.log(baseline / 1_000))
    assert log_e(live, baseline, 0.0) == pytest.approx(expected, abs=1e-9)
    assert log_e(live, baseline, 1e-12) == pytest.approx(expected, abs=1e-3)


def test_live_rows_inside_the_ball_meet_their_own_likelihood() -> None:
    baseline, live = np.array([500, 500]), np.array([520.0, 480.0])
    expected = _log_mixture(live, np.array([0.5, 0.5])) - float(live @ np.log(live / 1_000))
    assert log_e(live, baseline, 0.01) == pytest.approx(expected, abs=1e-9)
    assert log_e(live, baseline, 0.01) < 0


def test_no_row_is_no_evidence() -> None:
    assert log_e([0, 0], [5, 5], 0.005) == 0.0
    assert log_e_many(np.zeros((3, 2)), [5, 5], 0.005).tolist() == [0.0, 0.0, 0.0]
    assert kl_lower([0, 0], [5, 5]) == 0.0


def test_a_cell_that_the_baseline_never_filled_is_tolerated_up_to_its_share() -> None:
    baseline = [700, 300, 0]
    assert log_e([7_000, 3_000, 20], baseline, 0.005) < 0  # 0.2 % new, 0.5 % tolerated
    assert log_e([7_000, 3_000, 500], baseline, 0.005) > 50
    assert log_e([7, 3, 1], baseline, 0.0) == math.inf


def test_the_gaussian_approximation_holds_near_the_centre() -> None:
    # ln E = -(d/2) ln((n+k)/k) + (X2/2) n/(n+k) for one concentration, mixed over the six.
    p0 = np.full(4, 0.25)
    live = np.array([2_600.0, 2_400.0, 2_550.0, 2_450.0])
    n, d = live.sum(), 3
    x2 = float((((live - n * p0) ** 2) / (n * p0)).sum())
    each = [-(d / 2) * math.log((n + k) / k) + x2 / 2 * n / (n + k) for k in 50.0 * 4.0 ** np.arange(6)]
    approximate = float(logsumexp(each)) - math.log(6)
    assert log_e(live, p0 * 1e9, 0.0) == pytest.approx(approximate, abs=0.05)


def test_looking_all_the_time_keeps_the_promise_of_ville() -> None:
    rng = np.random.default_rng(8)
    baseline = np.array([100, 200, 300, 250, 150])
    p = _on_boundary(baseline / 1_000, np.array([0.3, 0.1, 0.2, 0.3, 0.1]), 0.002)
    test = TolerantTest(baseline)
    crossed = sum(
        bool((test.log_e(np.cumsum(rng.multinomial(20, p, size=100), axis=0), 0.002) >= math.log(20)).any())
        for _ in range(400)
    )
    assert crossed <= 400 * 0.05, f"{crossed} of 400 streams crossed 20 although 5 % may"


def test_a_shift_is_found_within_the_promised_rows() -> None:
    rng = np.random.default_rng(9)
    edges = np.quantile(rng.normal(size=200_000), np.arange(1, 10) / 10)
    baseline = np.full(10, 20_000)
    rows = np.searchsorted(edges, rng.normal(0.3, size=5_000))
    cumulative = np.cumsum(np.eye(10)[rows], axis=0)[49::50]
    crossed = log_e_many(cumulative, baseline, 0.002) >= math.log(100)
    first = (int(np.argmax(crossed)) + 1) * 50
    assert crossed.any()
    assert first <= 1_500, f"0.3 sd at tolerance 0.002 took {first} rows"


def test_e_falls_as_the_tolerance_grows() -> None:
    live, baseline = [300, 500, 200], [200, 500, 300]
    values = [log_e(live, baseline, tolerance) for tolerance in (0.0, 1e-6, 1e-3, 0.01, 0.1, 1.0)]
    assert all(left >= right for left, right in pairwise(values))


def test_the_lower_bound_is_the_largest_tolerance_still_rejected() -> None:
    live, baseline = [900, 2_100, 500], [1_000, 1_000, 1_000]
    bound = kl_lower(live, baseline, alpha=0.01)
    assert log_e(live, baseline, bound * 0.9999) >= math.log(100) - 1e-6
    assert log_e(live, baseline, bound * 1.001) < math.log(100)
    truth = _kl(np.full(3, 1 / 3), np.asarray(live) / 3_500)
    assert 0.5 * truth < bound < truth


def test_the_lower_bound_is_zero_without_evidence_or_under_the_floor() -> None:
    assert kl_lower([100, 101, 99], [1_000, 1_000, 1_000]) == 0.0
    live, baseline = [900, 2_100, 500], [1_000, 1_000, 1_000]
    assert kl_lower(live, baseline, tolerance_floor=10.0) == 0.0


def test_the_lower_bound_covers_the_truth_at_every_look() -> None:
    rng = np.random.default_rng(13)
    baseline = np.array([200, 300, 500])
    p = np.array([0.3, 0.3, 0.4])
    truth = _kl(baseline / 1_000, p)
    wrong = 0
    for _ in range(60):
        looks = np.cumsum(rng.multinomial(100, p, size=20), axis=0)
        wrong += any(kl_lower(look, baseline, alpha=0.05) > truth for look in looks)
    assert wrong <= 3


def test_many_rows_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    baseline = rng.multinomial(5_000, rng.dirichlet(np.ones(9)))
    live = rng.multinomial(700, rng.dirichlet(np.ones(9)), size=8)
    singles = [log_e(row, baseline, 0.005) for row in live]
    assert log_e_many(live, baseline, 0.005) == pytest.approx(singles, rel=1e-9)


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_any_size_of_counts_stays_finite(scale: int) -> None:
    value = log_e(np.array([3, 1, 0, 6]) * scale, np.array([4, 3, 2, 1]) * 10**6, 0.005)
    assert math.isfinite(value)
    assert value > 0 or scale == 1
    assert log_e(np.array([4, 3, 2, 1]) * scale, np.array([4, 3, 2, 1]) * 10**6, 0.005) < 0


@pytest.mark.parametrize(
    ("live", "baseline", "tolerance"),
    [
        ([1, 2], [1, 2, 3], 0.0),
        ([1, -2], [1, 2], 0.0),
        ([1, math.nan], [1, 2], 0.0),
        ([1, 2], [0, 0], 0.0),
        ([1, 2], [1, -1], 0.0),
        ([1, 2], [1, 2], -0.1),
        ([1, 2], [1, 2], math.nan),
        ([1, 2], [], 0.0),
    ],
)
def test_counts_that_are_none_are_refused(live: list[float], baseline: list[float], tolerance: float) -> None:
    with pytest.raises(ValueError, match=r"counts|tolerance|baseline"):
        log_e(live, baseline, tolerance)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_a_level_outside_zero_and_one_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        kl_lower([1, 2], [1, 2], alpha=alpha)
