from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.stats.overdispersion import FEWEST_PAIRS, overdispersion

SHARES = np.array([0.05, 0.1, 0.1, 0.15, 0.2, 0.2, 0.1, 0.1])


def _buckets(rng: np.random.Generator, rows: int, cluster: int = 1, buckets: int = 64) -> NDArray[np.int64]:
    return cluster * rng.multinomial(rows // cluster, SHARES, size=buckets)


@pytest.mark.parametrize("rows", [10, 100, 5_000])
def test_independent_rows_lose_almost_no_weight(rows: int) -> None:
    rng = np.random.default_rng(1)
    factors = [overdispersion(_buckets(rng, rows)) for _ in range(200)]
    assert np.mean(factors) < 1.06
    assert np.quantile(factors, 0.95) < 1.3


def test_two_cells_lose_little_too() -> None:
    rng = np.random.default_rng(2)
    factors = [overdispersion(rng.multinomial(200, [0.3, 0.7], size=64)) for _ in range(200)]
    assert np.mean(factors) < 1.15


@pytest.mark.parametrize("cluster", [3, 10])
def test_rows_that_come_in_groups_are_counted_as_so_many_fewer(cluster: int) -> None:
    rng = np.random.default_rng(3)
    factors = [overdispersion(_buckets(rng, 1_200, cluster)) for _ in range(50)]
    assert np.median(factors) == pytest.approx(cluster, rel=0.2)


def test_a_drift_and_a_slow_season_are_not_dependence() -> None:
    rng = np.random.default_rng(4)
    tilt = np.linspace(-1, 1, 8)
    moved = SHARES * np.exp(tilt)
    before, after = rng.multinomial(500, SHARES, size=32), rng.multinomial(500, moved / moved.sum(), size=32)
    assert overdispersion(np.vstack([before, after])) < 1.3
    waves = [SHARES * np.exp(0.5 * np.sin(index / 64 * 2 * np.pi) * tilt) for index in range(64)]
    assert overdispersion([rng.multinomial(500, wave / wave.sum()) for wave in waves]) < 2.0


def test_groups_that_last_a_few_buckets_are_heard() -> None:
    rng = np.random.default_rng(5)
    sessions = 6 * rng.multinomial(80, SHARES, size=16)  # each session lasts about four buckets
    spread = np.concatenate([rng.multivariate_hypergeometric(row, row.sum() // 4, size=4) for row in sessions])
    assert overdispersion(spread) > 2.5


def test_too_little_says_nothing() -> None:
    wild = np.array([[100, 0], [0, 100]] * 40)
    assert overdispersion(wild[:FEWEST_PAIRS]) == 1.0
    assert overdispersion(wild[: FEWEST_PAIRS + 1]) > 50
    assert overdispersion(np.zeros((0, 3))) == 1.0
    assert overdispersion(np.zeros((20, 3))) == 1.0
    assert overdispersion([[9, 0]] * 20) == 1.0
    assert overdispersion([[1, 0], [0, 1]] * 20) == pytest.approx(1.0, abs=1.0)


@pytest.mark.parametrize("buckets", [[1, 2, 3], [[1, -2]], [[1, float("nan")]]])
def test_counts_that_are_none_are_refused(buckets: list[float]) -> None:
    with pytest.raises(ValueError, match="counts"):
        overdispersion(buckets)
