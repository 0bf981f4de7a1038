from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from sidecar.stats.independence import log_e_dependent


def test_enumerating_the_mean_of_e_is_at_most_one_whatever_the_share() -> None:
    sizes = (4, 3, 5, 2)
    for share in (0.1, 0.5, 0.8):
        mean = 0.0
        for part in itertools.product(*(range(size + 1) for size in sizes)):
            weight = math.prod(binom.pmf(hits, size, share) for hits, size in zip(part, sizes, strict=True))
            rest = [size - hits for hits, size in zip(part, sizes, strict=True)]
            mean += weight * math.exp(log_e_dependent(part, rest))
        assert mean <= 1.0 + 1e-9


def test_looking_all_the_time_independent_drops_are_hardly_ever_called_dependent() -> None:
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(100):
        cells, dropped = rng.integers(0, 20, 2_000), rng.random(2_000) < 0.02
        looks = (
            log_e_dependent(
                np.bincount(cells[:n][dropped[:n]], minlength=20).tolist(),
                np.bincount(cells[:n][~dropped[:n]], minlength=20).tolist(),
            )
            for n in range(100, 2_001, 100)
        )
        wrong += max(looks) >= math.log(20)
    assert wrong <= 5


def test_drops_that_fall_on_high_scores_are_found() -> None:
    assert log_e_dependent([0] * 15 + [12] * 5, [500] * 20) > math.log(20)
    assert log_e_dependent([5] * 20, [500] * 20) < 0.0


@pytest.mark.parametrize(("part", "rest"), [([], []), ([3], [4]), ([0, 0], [5, 5]), ([5, 5], [0, 0])])
def test_without_two_sides_in_two_cells_nothing_can_be_said(part: list[int], rest: list[int]) -> None:
    assert log_e_dependent(part, rest) == 0.0


@pytest.mark.parametrize(("part", "rest"), [([1, 2], [1]), ([-1, 2], [1, 1])])
def test_counts_that_are_none_are_refused(part: list[int], rest: list[int]) -> None:
    with pytest.raises(ValueError, match="counts"):
        log_e_dependent(part, rest)
