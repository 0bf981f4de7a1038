from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multinomial

from sidecar.stats import divergence_ball
from sidecar.stats.eprocess import TolerantTest
from sidecar.stats.tilts import TILTS, tilt_scores
from sidecar.stats.tolerant_tests import TolerantTests

Counts = NDArray[np.int64]


def _columns(seed: int, sizes: list[int]) -> tuple[list[Counts], list[list[Counts]]]:
    """Baselines with a few empty cells, and for each column live rows from empty to far away."""
    rng = np.random.default_rng(seed)
    baselines, lives = [], []
    for size in sizes:
        shares = rng.dirichlet(np.full(size, 2.0))
        baseline = rng.multinomial(5_000, shares)
        baseline[rng.integers(size)] += 1
        away = rng.dirichlet(np.full(size, 2.0))
        lives.append(
            [
                np.zeros(size, dtype=np.int64),
                rng.multinomial(30, shares),
                rng.multinomial(4_000, shares),
                rng.multinomial(700, 0.9 * shares + 0.1 * away),
                rng.multinomial(10**7, away),
            ]
        )
        baselines.append(baseline)
    return baselines, lives


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 43), min_size=1, max_size=40))
def test_no_column_changes_a_bit_of_another_and_padding_changes_nothing(seed: int, sizes: list[int]) -> None:
    baselines, lives = _columns(seed, sizes)
    tolerances = np.random.default_rng(seed).choice([0.0, 1e-4, 0.005, 0.3], size=len(sizes))
    ordered = [size * (size % 3 > 0) for size in sizes]
    bets, gaps = bool(seed % 2), [0.01 if size > 4 and size % 2 else None for size in sizes]
    tests = TolerantTests(baselines, ordered, apart=bets, gaps=gaps)
    live = np.stack([tests.padded([rows[age] for rows in lives]) for age in range(5)], axis=1)
    together, bounds = tests.log_e(live, tolerances), tests.kl_lower(live[:, 3], 0.01)
    for index, (baseline, rows) in enumerate(zip(baselines, lives, strict=True)):
        alone = TolerantTest(baseline, ordered[index], apart=bets, gaps=gaps[index])
        for age, row in enumerate(rows):
            assert alone.log_e(row[None, :], float(tolerances[index]))[0] == together[index, age]
        assert alone.kl_lower(rows[3], 0.01, 0.0) == bounds[index]


def test_rows_without_counts_are_no_evidence_and_no_columns_are_no_answers() -> None:
    tests = TolerantTests([[5, 5], [1, 2, 3]])
    assert tests.log_e(np.zeros((2, 4, 3)), 0.005).tolist() == [[0.0] * 4] * 2
    assert tests.kl_lower(np.zeros((2, 3)), 0.01).tolist() == [0.0, 0.0]
    assert TolerantTests([]).log_e(np.zeros((0, 4, 1)), 0.005).shape == (0, 4)


def test_new_cells_in_a_column_that_did_not_move_do_not_disturb_the_bounds_of_another() -> None:
    tests = TolerantTests([[700, 300, 0], [700, 300, 0], [500, 500, 0]])
    bounds = tests.kl_lower([[70, 30, 1], [100, 100, 800], [900, 100, 0]], 0.01)
    assert bounds[0] < 0.01
    assert (bounds[1:] > 0.2).all()


def test_each_column_has_its_own_tolerance_and_floor() -> None:
    tests = TolerantTests([[500, 500], [500, 500]])
    live = np.array([[[700, 300]], [[700, 300]]])
    strict, generous = tests.log_e(live, [0.001, 0.1])[:, 0]
    assert strict > 10 > generous
    bounds = tests.kl_lower(live[:, 0], 0.01, [0.0, 0.5])
    assert bounds[0] > 0.0
    assert bounds[1] == 0.0


def test_the_lower_bounds_of_many_are_roots_of_their_evidence() -> None:
    rng = np.random.default_rng(3)
    baselines = [rng.multinomial(5_000, rng.dirichlet(np.full(size, 5.0))) for size in (2, 9, 30)]
    tests = TolerantTests(baselines)
    live = tests.padded([rng.multinomial(3_000, rng.dirichlet(np.full(size, 5.0))) for size in (2, 9, 30)])
    bounds = tests.kl_lower(live, 0.01)
    assert (bounds > 0.01).all()
    assert tests.log_e(live[:, None, :], bounds * 0.9999)[:, 0] == pytest.approx(math.log(100), abs=0.5)
    assert (tests.log_e(live[:, None, :], bounds * 0.9999) >= math.log(100) - 1e-6).all()
    assert (tests.log_e(live[:, None, :], bounds * 1.001) < math.log(100)).all()


@pytest.mark.parametrize(
    ("live", "tolerance"),
    [
        (np.zeros((2, 1, 2)), 0.005),
        (np.zeros((1, 1, 3)), 0.005),
        (np.zeros((2, 3)), 0.005),
        (np.array([[[0.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]]]), 0.005),
        (np.full((2, 1, 3), -1.0), 0.005),
        (np.full((2, 1, 3), math.inf), 0.005),
        (np.zeros((2, 1, 3)), -0.1),
        (np.zeros((2, 1, 3)), [0.1, math.nan]),
    ],
    ids=["width", "columns", "no ages", "in the padding", "negative", "infinite", "tolerance", "one tolerance"],
)
def test_counts_and_tolerances_that_are_none_are_refused(live: NDArray[np.float64], tolerance: float) -> None:
    with pytest.raises(ValueError, match=r"counts|tolerance"):
        TolerantTests([[5, 5], [1, 2, 3]]).log_e(live, tolerance)


@pytest.mark.parametrize("tolerance", [0.0, 0.02])
@pytest.mark.parametrize("n", [1, 4, 9])
@pytest.mark.parametrize(("ordered", "apart"), [(3, False), (3, True), (0, True)], ids=["tilts", "all", "apart"])
def test_enumerating_three_cells_the_mean_of_e_never_exceeds_one_inside_the_ball(
    n: int, tolerance: float, ordered: int, apart: bool
) -> None:
    test, p0 = TolerantTest([20, 50, 30], ordered, apart=apart), np.array([0.2, 0.5, 0.3])
    live = np.array([[i, j, n - i - j] for i in range(n + 1) for j in range(n + 1 - i)])
    e = np.exp(test.log_e(live, tolerance))
    for p in [p0, *np.random.default_rng(1).dirichlet([20, 50, 30], size=200)]:
        if float((p0 * np.log(p0 / p)).sum()) <= tolerance + 1e-12:
            assert float(multinomial.pmf(live, n, p) @ e) <= 1.0 + 1e-9
    if tolerance == 0.0:
        assert float(multinomial.pmf(live, n, p0) @ e) == pytest.approx(1.0)  # all of the stake is on distributions


@pytest.mark.parametrize("n", [1, 4, 9])
def test_enumerating_values_and_gaps_the_mean_of_e_never_exceeds_one_inside_both_balls(n: int) -> None:
    test, p0 = TolerantTest([30, 50, 15, 5], 2, apart=True, gaps=0.01), np.array([0.3, 0.5, 0.15, 0.05])
    live = np.array(
        [[i, j, k, n - i - j - k] for i in range(n + 1) for j in range(n + 1 - i) for k in range(n + 1 - i - j)]
    )
    e, inside = np.exp(test.log_e(live, 0.1)), 0
    for p in [p0, *np.random.default_rng(1).dirichlet([30, 50, 15, 5], size=300)]:
        coarse, of = np.array([p[:2].sum(), *p[2:]]), np.array([0.8, 0.15, 0.05])
        if float((p0 * np.log(p0 / p)).sum()) <= 0.1 and float((of * np.log(of / coarse)).sum()) <= 0.01:
            inside += 1
            assert float(multinomial.pmf(live, n, p) @ e) <= 1.0 + 1e-9
    assert inside > 50


def test_a_column_that_varies_much_by_nature_may_not_lose_its_values_unnoticed() -> None:
    rng = np.random.default_rng(2)
    baseline = np.array([0, *rng.multinomial(3_000, np.full(16, 1 / 16)), 0, 0, 0])
    holes = np.array([*(baseline[:-2] * 2), 3_000, 0])[None, :]
    narrow = np.array([0, *([0] * 6), *([400] * 10), 0, 0, 0])[None, :]
    blind, seeing = (TolerantTest(baseline, 18, apart=True, gaps=gaps) for gaps in (None, 0.02))
    assert blind.log_e(holes, 1.5)[0] < 0
    assert seeing.log_e(holes, 1.5)[0] > 100
    assert seeing.log_e(narrow, 8.0)[0] < 0  # another day, not another feed


def test_one_cell_that_grows_is_found_with_far_fewer_rows() -> None:
    baseline, shares = np.array([*np.full(16, 3_000), 1_000, 0]), np.array([*np.full(16, 0.93 / 16), 0.07, 0.0])
    plain, apart = (TolerantTest(baseline, 16, apart=bets) for bets in (False, True))
    buckets: dict[TolerantTest, list[int]] = {plain: [], apart: []}
    for seed in range(7):
        live = np.cumsum(np.random.default_rng(seed).multinomial(50, shares, size=200), axis=0)
        for test, needed in buckets.items():
            told = test.log_e(live, 0.005) >= math.log(2_160_000)
            needed.append(int(np.argmax(told)) if told.any() else 200)
    assert np.median(buckets[apart]) < 0.75 * np.median(buckets[plain])


def test_every_tilt_is_a_distribution() -> None:
    prior = np.array([1e-5, 0.2, 0.5, 0.29, 0.00999])
    scores, norms = tilt_scores(prior, 4)
    shares = prior * np.exp(TILTS @ scores - norms[:, None])
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert (shares > 0).all()


def test_half_of_the_stake_on_an_ordered_column_is_on_its_tilts() -> None:
    baseline, live = np.array([40, 160, 600, 160, 40, 0]), np.array([10.0, 40.0, 180.0, 90.0, 40.0, 3.0])
    prior = (baseline + 0.5) / (baseline.sum() + 3.0)
    scores, norms = tilt_scores(prior, 5)
    each = [float(live @ (np.log(prior) + way @ scores - norm)) for way, norm in zip(TILTS, norms, strict=True)]
    tilts = logsumexp(each) - math.log(len(TILTS))
    plain, ordered = (TolerantTest(baseline, first).log_e(live[None, :], 0.005)[0] for first in (0, 5))
    ball = TolerantTests([baseline])._log_best_inside(live[:, None], np.array([0]), np.array([0.005]))[0]
    assert ordered == pytest.approx(np.logaddexp(plain, tilts - ball) - math.log(2))
    assert TolerantTest(baseline, 2).log_e(live[None, :], 0.005)[0] == plain


@pytest.mark.parametrize(("shift", "spread"), [(0.3, 1.0), (-0.3, 1.0), (0.0, 1.3), (0.0, 0.75)])
def test_a_simple_move_of_an_ordered_column_is_found_with_far_fewer_rows(shift: float, spread: float) -> None:
    rng = np.random.default_rng(9)
    edges = np.quantile(rng.normal(size=200_000), np.arange(1, 16) / 16)
    baseline = np.full(16, 5_000)
    rows = np.searchsorted(edges, rng.normal(shift, spread, size=6_000))
    live = np.cumsum(np.eye(16)[rows], axis=0)[49::50]
    plain, ordered = (TolerantTest(baseline, first).log_e(live, 0.005) >= math.log(2_160_000) for first in (0, 16))
    assert plain.any()
    assert ordered.any()
    assert np.argmax(ordered) < 0.75 * np.argmax(plain)


@pytest.mark.parametrize("ordered", [-1, 4])
def test_more_ordered_cells_than_there_are_is_refused(ordered: int) -> None:
    with pytest.raises(ValueError, match="ordered"):
        TolerantTest([1, 2, 3], ordered)


def test_a_root_that_was_not_found_makes_the_evidence_smaller_never_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    baselines, lives = _columns(5, [4, 9, 20, 31])
    tests = TolerantTests(baselines)
    live = np.stack([tests.padded([rows[age] for rows in lives]) for age in range(5)], axis=1)
    exact = tests.log_e(live, 0.01)
    for steps in (1, 2, 3):
        monkeypatch.setattr(divergence_ball, "MOST_STEPS", steps)
        rough = tests.log_e(live, 0.01)
        assert (rough <= exact + 1e-9 * np.abs(exact)).all()
    assert (rough != exact).any()


def test_rows_that_do_not_fit_their_column_are_not_padded() -> None:
    with pytest.raises(ValueError, match="3 cells"):
        TolerantTests([[5, 5], [1, 2, 3]]).padded([[1, 2], [1, 2]])
