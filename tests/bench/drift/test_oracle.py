from __future__ import annotations

import math

import numpy as np
import pytest

from bench.drift.oracle import cusum, first_at_least, mean_run, nearest_inside, threshold_beyond, threshold_for


def test_the_cusum_is_that_of_its_recursion() -> None:
    ratios = np.random.default_rng(1).normal(-0.2, 1.0, (3, 200))
    for row, found in zip(ratios, cusum(ratios), strict=True):
        reached = 0.0
        for ratio, value in zip(row.tolist(), found.tolist(), strict=True):
            reached = max(0.0, reached + ratio)
            assert value == pytest.approx(reached, abs=1e-9)


def test_an_alarm_stands_at_the_first_value_that_reaches_the_threshold() -> None:
    paths = np.array([[0.0, 1.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    assert first_at_least(paths, 3.0).tolist() == [2, 4]


def test_a_mean_run_counts_the_streams_that_never_alarmed() -> None:
    # One stream alarms at its second step, three run their ten steps in peace: 32 steps for one alarm.
    paths = np.zeros((4, 10))
    paths[0, 1] = 5.0
    assert mean_run(paths, 5.0) == pytest.approx(32.0)
    assert mean_run(paths, 6.0) == math.inf


def test_the_threshold_keeps_to_the_run_that_was_asked_for() -> None:
    rng = np.random.default_rng(2)
    limit = threshold_for(cusum(rng.normal(-0.5, 1.0, (200, 3_000))), 500.0)
    fresh = cusum(rng.normal(-0.5, 1.0, (400, 3_000)))
    assert mean_run(fresh, limit) == pytest.approx(500.0, rel=0.2)


def test_a_run_beyond_the_paths_is_reached_by_the_exponential_law() -> None:
    rng = np.random.default_rng(3)
    short = threshold_beyond(cusum(rng.normal(-0.5, 1.0, (300, 1_000))), 5_000.0)
    long = cusum(rng.normal(-0.5, 1.0, (200, 20_000)))
    assert mean_run(long, short) == pytest.approx(5_000.0, rel=0.25)


def test_no_threshold_on_the_paths_will_do_for_a_run_that_none_of_them_reached() -> None:
    paths = np.ones((2, 10))
    assert threshold_for(paths, 1_000.0) > 1.0


def test_what_is_tolerated_is_taken_for_the_nearest_distribution_on_the_border() -> None:
    before, after = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    border = nearest_inside(after, before, 0.01)
    assert border.sum() == pytest.approx(1.0)
    assert float(before @ np.log(before / border)) == pytest.approx(0.01, rel=1e-6)
    rng = np.random.default_rng(1)
    inside = [p for p in rng.dirichlet(200 * before, size=2_000) if float(before @ np.log(before / p)) <= 0.01]
    nearest = float(after @ np.log(after / border))
    assert min(float(after @ np.log(after / p)) for p in inside) >= nearest - 1e-9
