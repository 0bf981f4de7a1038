from __future__ import annotations

import numpy as np
import pytest

from registry_client.natural_variation import FEWEST_ROWS_A_CELL, Variation, column_variation, variation_between

GENERATOR = np.random.default_rng(11)
SHARES = np.array([0.1, 0.2, 0.3, 0.4])


def test_blocks_that_differ_by_chance_have_little_variation_and_no_overdispersion() -> None:
    counts = GENERATOR.multinomial(50_000, SHARES, size=40).T
    found = variation_between(counts)
    assert found.natural < 1e-4
    assert 1.0 <= found.overdispersion < 1.3
    assert found.blocks == 40


def test_few_blocks_that_differ_by_chance_are_judged_alike() -> None:
    medians = [variation_between(GENERATOR.multinomial(1_000, SHARES, size=3).T).overdispersion for _ in range(400)]
    # The median of chi-square / (B-1) is below 1; without allowing for blocks inside the whole it would be far below.
    assert np.mean(np.array(medians) > 1.0) > 0.25


def test_blocks_that_move_have_the_variation_that_the_formula_says() -> None:
    tilted = SHARES * np.exp(0.3 * np.array([1, -1, 1, -1]))
    tilted /= tilted.sum()
    away = SHARES * 2 - tilted
    counts = np.stack([GENERATOR.multinomial(1_000_000, shares) for shares in (tilted, away) * 10], axis=1)
    whole = counts.sum(axis=1) / counts.sum()
    divergences = [float(whole @ np.log(whole / (block / block.sum()))) for block in counts.T]
    found = variation_between(counts)
    assert found.natural == pytest.approx(float(np.quantile(divergences, 0.95)), rel=1e-3)
    assert found.overdispersion > 1_000


def test_rows_that_come_in_groups_are_overdispersed() -> None:
    counts = 5 * GENERATOR.multinomial(2_000, SHARES, size=200).T
    assert variation_between(counts).overdispersion == pytest.approx(5, rel=0.35)


@pytest.mark.parametrize(
    "counts",
    [
        np.zeros((4, 0), np.int64),
        np.zeros((4, 10), np.int64),
        np.array([[100, 100, 100]]),
        np.array([[500, 500], [500, 500]]),
        np.full((4, 5), FEWEST_ROWS_A_CELL // 2),
    ],
    ids=["no blocks", "no rows", "one cell", "two blocks", "few rows"],
)
def test_too_little_says_nothing(counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> None:
    assert variation_between(counts) == Variation(0.0, 1.0, 0)


def test_days_with_few_rows_are_taken_together_with_the_next() -> None:
    tilted = SHARES * np.exp(0.5 * np.array([1, -1, 1, -1]))
    tilted /= tilted.sum()
    days = np.stack([GENERATOR.multinomial(12, shares) for shares in (*[tilted] * 4, *[SHARES] * 4) * 8], axis=1)
    found = variation_between(days)
    assert found.blocks == 32  # two days each: 24 rows for 4 cells
    assert found.natural > 0.05


def test_what_lasts_longer_than_a_block_shows_in_longer_ones() -> None:
    fronts = GENERATOR.normal(0.0, 0.3, size=24)
    shares = SHARES[:, None] * np.exp(np.repeat(fronts, 4)[None, :] * np.array([[1], [-1], [1], [-1]]))
    shares /= shares.sum(axis=0)
    lasting = np.stack([GENERATOR.multinomial(1_000, day) for day in shares.T], axis=1)
    mixed = lasting[:, GENERATOR.permutation(96)]
    assert variation_between(lasting).overdispersion > 2 * variation_between(mixed).overdispersion
    assert variation_between(lasting).natural == pytest.approx(variation_between(mixed).natural)


def test_gaps_vary_apart_from_values() -> None:
    values = np.stack([GENERATOR.multinomial(1_000, way) for way in ([0.7, 0.3], [0.3, 0.7]) * 10], axis=1)
    steady = column_variation(np.vstack((values, np.full(20, 50), np.zeros(20, np.int64))))
    bursts = column_variation(np.vstack((values, [10, 200] * 10, np.zeros(20, np.int64))))
    assert steady.natural > 0.05
    assert steady.gaps == 0.0
    assert bursts.gaps is not None
    assert bursts.gaps > 0.01
    assert column_variation(np.zeros((4, 10), np.int64)).gaps is None


def test_blocks_with_too_few_rows_and_empty_cells_do_not_count() -> None:
    full = np.full((4, 5), 1_000)
    sparse = np.array([[3], [0], [0], [0]])
    empty = np.zeros((1, 6), np.int64)
    found = variation_between(np.vstack((np.hstack((full, sparse)), empty)))
    assert found.blocks == 5
    assert found.natural < 1e-3
    assert np.isfinite(found.overdispersion)
