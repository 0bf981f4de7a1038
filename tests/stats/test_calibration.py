from __future__ import annotations

import math

import numpy as np
import pytest

from sidecar.stats.calibration import BINS, Calibration, CrossCalibration, bin_of, error_difference


def counted(scores: list[float], came_true: list[bool]) -> Calibration:
    counts = Calibration()
    for score, hit in zip(scores, came_true, strict=True):
        counts.add(bin_of(score), score, hit)
    return counts


def both(one: list[float], two: list[float], came_true: list[bool]) -> tuple[float, float, float] | None:
    cross = CrossCalibration()
    for first, second, hit in zip(one, two, came_true, strict=True):
        cross.add((bin_of(first), bin_of(second)), (hit - first, hit - second))
    return error_difference(counted(one, came_true), counted(two, came_true), cross)


def test_the_error_is_the_mean_gap_between_score_and_share() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(2_000)
    came_true = rng.random(2_000) < scores**2
    place = np.minimum(np.ceil(scores * BINS).astype(int) - 1, BINS - 1)
    gaps = [abs((came_true[place == k].mean() - scores[place == k].mean()) * (place == k).mean()) for k in range(BINS)]
    assert counted(scores.tolist(), came_true.tolist()).error == pytest.approx(sum(gaps), abs=1e-9)


def test_bins_with_rows_tell_score_and_share() -> None:
    (low, high) = counted([0.1, 0.1, 0.9], [False, True, True]).reliability()
    assert [(one.n, one.came_true) for one in (low, high)] == [(2, 0.5), (1, 1.0)]
    assert [low.score, high.score] == pytest.approx([0.1, 0.9])


def test_merging_and_taking_back_are_exact() -> None:
    one, two = counted([0.3, 0.7], [True, False]), counted([0.3, 0.5], [False, True])
    whole = counted([0.3, 0.7, 0.3, 0.5], [True, False, False, True])
    one.merge(two)
    assert one == whole
    whole.merge(two, -1)
    assert whole == counted([0.3, 0.7], [True, False])
    assert whole.whole


def test_nothing_is_known_without_rows() -> None:
    assert Calibration().error is None
    assert Calibration().interval() is None
    assert error_difference(Calibration(), Calibration(), CrossCalibration()) is None


def test_of_two_versions_that_are_nearly_the_same_the_difference_is_known_closely() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(5_000)
    came_true = (rng.random(5_000) < scores).tolist()
    near = np.clip(scores + rng.normal(0.0, 0.01, 5_000), 0.0, 1.0)
    found = both(scores.tolist(), near.tolist(), came_true)
    assert found is not None
    value, low, high = found
    assert low <= value <= high
    assert high - low < 0.03
    alone = counted(scores.tolist(), came_true).interval()
    assert alone is not None
    assert alone[1] - alone[0] > high - low


def test_a_version_that_is_badly_calibrated_is_found_out() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random(4_000)
    came_true = (rng.random(4_000) < scores).tolist()
    found = both(scores.tolist(), np.sqrt(scores).tolist(), came_true)
    assert found is not None
    assert found[1] > 0.05


def test_few_rows_have_no_bounds() -> None:
    found = both([0.5], [0.6], [True])
    assert found is not None
    assert found[1:] == (-math.inf, math.inf)
