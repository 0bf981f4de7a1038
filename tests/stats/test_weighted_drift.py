from __future__ import annotations

import math

import pytest

from sidecar.stats.weighted_drift import weighted_drift


def test_the_sum_weighs_each_bound_by_its_share_of_importance() -> None:
    found = weighted_drift([0.4, 0.1, 0.0], [3.0, 1.0, 6.0])
    assert found.parts == pytest.approx((0.12, 0.01, 0.0))
    assert found.total == pytest.approx(0.13)
    assert found.weighted


def test_importance_below_zero_is_none_and_unknown_importance_is_average() -> None:
    assert weighted_drift([1.0, 1.0], [-0.2, 0.5]).parts == (0.0, 1.0)
    assert weighted_drift([1.0, 1.0, 1.0], [1.0, 3.0, None]).parts == pytest.approx((1 / 6, 3 / 6, 2 / 6))


@pytest.mark.parametrize("importance", [[None, None], [0.0, 0.0], [-1.0, None]])
def test_without_any_importance_all_weigh_alike(importance: list[float | None]) -> None:
    found = weighted_drift([0.2, 0.4], importance)
    assert found.parts == pytest.approx((0.1, 0.2))
    assert not found.weighted


def test_nothing_weighs_nothing() -> None:
    assert weighted_drift([], []).total == 0.0


@pytest.mark.parametrize(
    ("bounds", "importance"),
    [([0.1], []), ([-0.1], [1.0]), ([math.inf], [1.0]), ([0.1], [math.nan]), ([0.1], [math.inf])],
)
def test_what_is_no_bound_or_no_importance_is_refused(bounds: list[float], importance: list[float | None]) -> None:
    with pytest.raises(ValueError, match=r"bounds|importances"):
        weighted_drift(bounds, importance)
