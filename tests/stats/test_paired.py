from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.special import xlogy
from scipy.stats import binom, multinomial

from sidecar.stats.paired import log_e_inferior, log_e_noninferior, log_e_superior


@pytest.mark.parametrize("n", range(1, 21))
def test_enumerating_mcnemar_the_mean_of_e_is_one_at_equality_and_less_below(n: int) -> None:
    k = np.arange(n + 1)
    e = np.exp([log_e_superior(int(right), n - int(right)) for right in k])
    assert float(binom.pmf(k, n, 0.5) @ e) == pytest.approx(1.0)
    assert float(binom.pmf(k, n, 0.4) @ e) < 1.0


def test_mcnemar_steps_are_fair_so_that_it_may_stop_at_any_time() -> None:
    for right in range(15):
        for wrong in range(15):
            now = math.exp(log_e_superior(right, wrong))
            steps = math.exp(log_e_superior(right + 1, wrong)) + math.exp(log_e_superior(right, wrong + 1))
            assert steps / 2 == pytest.approx(now)


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("n", [1, 5, 12])
def test_enumerating_triples_the_mean_of_e_is_at_most_one_under_the_null(n: int, margin: float) -> None:
    triples = [(better, worse, n - better - worse) for better in range(n + 1) for worse in range(n + 1 - better)]
    for discordant in (margin + 0.01, 0.3, 0.7, 1.0):
        better = max(0.0, (discordant - margin) / 2)
        null = [better, better + margin, max(0.0, 1 - 2 * better - margin)]
        weights = multinomial.pmf(triples, n, null)
        mean = sum(w * math.exp(log_e_noninferior(*t, margin)) for w, t in zip(weights, triples, strict=True))
        assert mean <= 1.0 + 1e-9
        harm_null = [null[1], null[0], null[2]] if margin == 0 else [better, better + margin, null[2]]
        weights = multinomial.pmf(triples, n, harm_null)
        mean = sum(w * math.exp(log_e_inferior(*t, margin)) for w, t in zip(weights, triples, strict=True))
        assert mean <= 1.0 + 1e-9


def _constrained_ratio(better: int, worse: int, same: int, margin: float) -> float:
    """Log-likelihood ratio of the best trinomial to the best with p(better) - p(worse) = -margin: root in mu."""
    counts = np.array([better, worse, same], dtype=float)
    scores = np.array([1.0, -1.0, 0.0]) + margin
    low, high = -1 / (1 + margin) + 1e-12, 1 / (1 - margin) - 1e-12
    mu = brentq(lambda m: float((counts * scores / (1 + m * scores)).sum()), low, high)
    return float((counts * np.log1p(mu * scores)).sum())


@pytest.mark.parametrize(("better", "worse", "same"), [(30, 20, 950), (200, 210, 590), (5, 1, 40)])
def test_the_best_stake_in_hindsight_is_the_constrained_likelihood_ratio(better: int, worse: int, same: int) -> None:
    margin, counts = 0.02, np.array([better, worse, same], dtype=float)
    ratio = _constrained_ratio(better, worse, same, margin)
    n = counts.sum()

    def lost(p_better: float) -> float:
        p = np.array([p_better, p_better + margin, 1 - 2 * p_better - margin])
        return -float(xlogy(counts, p).sum())

    grid = minimize_scalar(lost, bounds=(1e-9, (1 - margin) / 2 - 1e-9), method="bounded", options={"xatol": 1e-12})
    assert ratio == pytest.approx(float(xlogy(counts, counts / n).sum()) + grid.fun, abs=1e-5)
    # Mixing twelve stakes costs at most ln 12 and what lies between two of them.
    assert ratio - math.log(12) - 0.7 <= log_e_noninferior(better, worse, same, margin) <= ratio


def test_looking_all_the_time_a_challenger_at_the_margin_rarely_passes() -> None:
    rng = np.random.default_rng(17)
    passed = 0
    for _ in range(300):
        rows = rng.choice(3, size=3_000, p=[0.025, 0.035, 0.94])
        better, worse = np.cumsum(rows == 0), np.cumsum(rows == 1)
        passed += any(
            log_e_noninferior(int(better[i]), int(worse[i]), i + 1 - int(better[i]) - int(worse[i]), 0.01)
            >= math.log(20)
            for i in range(49, 3_000, 50)
        )
    assert passed <= 15, f"{passed} of 300 passed although 5 % may"


def test_equal_models_pass_within_about_twice_the_pairs_of_a_fixed_test() -> None:
    rng = np.random.default_rng(18)
    margin, discordant, reached = 0.01, 0.06, []
    for _ in range(40):
        rows = rng.choice(3, size=20_000, p=[discordant / 2, discordant / 2, 1 - discordant])
        better, worse = np.cumsum(rows == 0), np.cumsum(rows == 1)
        reached.append(
            next(
                (
                    n
                    for n in range(500, 20_000, 250)
                    if log_e_noninferior(
                        int(better[n - 1]), int(worse[n - 1]), n - int(better[n - 1] + worse[n - 1]), margin
                    )
                    >= math.log(20)
                ),
                20_000,
            )
        )
    pairs = float(np.quantile(reached, 0.8))
    assert pairs < 11_000, f"80 % passed after {pairs:.0f} pairs; a fixed test needs 3,700"


def test_evidence_of_harm_grows_with_harm_only() -> None:
    assert log_e_inferior(20, 120, 2_000, 0.005) > math.log(100)
    assert log_e_inferior(60, 60, 2_000, 0.0) < 1.0
    assert log_e_inferior(120, 20, 2_000, 0.0) < 0.0
    assert log_e_inferior(20, 120, 2_000, 0.0) > log_e_inferior(20, 120, 2_000, 0.01)


def test_no_row_is_no_evidence() -> None:
    assert log_e_noninferior(0, 0, 0, 0.01) == 0.0
    assert log_e_inferior(0, 0, 0) == 0.0
    assert log_e_superior(0, 0) == 0.0


def test_counts_of_any_size_stay_finite() -> None:
    for counts in ((10**9, 0, 0), (0, 10**9, 0), (0, 0, 10**9), (10**8, 10**8, 10**9)):
        assert math.isfinite(log_e_noninferior(*counts, 0.005))
        assert math.isfinite(log_e_inferior(*counts, 0.005))
        assert math.isfinite(log_e_superior(*counts[:2]))


@pytest.mark.parametrize("counts", [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_negative_counts_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="negative"):
        log_e_noninferior(*counts, 0.01)
    with pytest.raises(ValueError, match="negative"):
        log_e_inferior(*counts, 0.01)


@pytest.mark.parametrize("margin", [-0.1, 1.0, math.nan])
def test_a_margin_without_sense_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        log_e_noninferior(1, 1, 1, margin)
    with pytest.raises(ValueError, match="margin"):
        log_e_inferior(1, 1, 1, margin)
