from __future__ import annotations

import math

import numpy as np
import pytest

from sidecar.stats.mean_interval import FEWEST, half_width, mean_interval


def test_few_values_have_no_interval() -> None:
    assert mean_interval(FEWEST - 1, 1.0, 1.0) is None
    assert half_width(FEWEST - 1, 1.0) == math.inf


def test_looking_all_the_time_the_mean_is_nearly_always_inside() -> None:
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(200):
        values = rng.exponential(1.0, 4_000)
        sums, squares = np.cumsum(values), np.cumsum(values**2)
        looks = range(FEWEST, 4_001, 50)
        found = [mean_interval(n, float(sums[n - 1]), float(squares[n - 1])) for n in looks]
        missed += any(one is None or not one[0] <= 1.0 <= one[1] for one in found)
    assert missed <= 16, f"{missed} of 200 left out the mean at some look, although 5 % may"


def test_values_that_were_all_alike_are_no_certainty_where_a_scale_is_given() -> None:
    found = mean_interval(400, 0.0, 0.0, scale=1.0)
    assert found is not None
    assert -1.0 < found[0] < 0.0 < found[1] < 1.0
    assert mean_interval(400, 0.0, 0.0) == (0.0, 0.0)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_an_alpha_without_sense_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        half_width(1_000, 1.0, alpha)
