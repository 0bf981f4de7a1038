from __future__ import annotations

import math

import numpy as np
import pytest

from bench.drift.scores import auroc, rate_bound, share_bound, window_threshold, windows_to_alarm


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(4)
    scores, harmful = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    pairs = [1.0 if bad > good else 0.5 if bad == good else 0.0 for bad in scores[harmful] for good in scores[~harmful]]
    assert auroc(scores, harmful) == pytest.approx(sum(pairs) / len(pairs))


def test_auroc_says_nothing_where_all_periods_are_alike() -> None:
    assert auroc([0.1, 0.2], [True, True]) is None
    assert auroc([0.1, 0.2], [False, False]) is None


def test_no_alarm_in_a_hundred_days_bounds_the_rate_by_three_in_a_hundred() -> None:
    assert rate_bound(0, 100.0) == pytest.approx(0.03, rel=0.01)
    assert rate_bound(5, 100.0) > 0.05


def test_a_bound_on_a_share_lies_above_it() -> None:
    assert share_bound(0, 300) == pytest.approx(0.01, rel=0.01)
    assert share_bound(300, 300) == 1.0


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.25])
def test_a_tuned_threshold_never_alarms_more_often_than_it_may(rate: float) -> None:
    for null in (np.random.default_rng(5).normal(size=2_000), np.zeros(2_000), np.repeat(np.arange(20.0), 100)):
        assert np.mean(null >= window_threshold(null, rate)) <= rate


def test_a_tuned_threshold_alarms_as_often_as_it_may_where_nothing_ties() -> None:
    null = np.random.default_rng(6).normal(size=2_000)
    assert np.mean(null >= window_threshold(null, 0.01)) == 0.01


def test_windows_until_an_alarm_follow_the_power_of_one() -> None:
    assert [windows_to_alarm(power) for power in (0.0, 0.1, 0.5, 1.0)] == [math.inf, 7.0, 1.0, 1.0]
