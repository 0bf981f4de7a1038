from __future__ import annotations

import pytest

from sidecar.admin.overlay import HEIGHT, WIDTH, interval, overlay
from sidecar.reports import Interval
from tests.admin.fake_reports import broken, categorical, numeric


def test_every_mark_lies_inside_the_picture() -> None:
    for feature in (broken(), numeric("a", missing=0.5, live_counts=(1,) * 26), categorical("c")):
        picture = overlay(feature)
        assert picture is not None
        for bar in picture.bars:
            assert bar.x >= 0
            assert bar.x + bar.width <= WIDTH + 0.01
            assert 0 <= bar.y <= HEIGHT
            assert bar.y + bar.height == pytest.approx(HEIGHT, abs=0.02)


def test_both_histograms_are_shares_on_one_scale() -> None:
    picture = overlay(numeric("a", cells=("x", "y"), baseline_counts=(100, 300), live_counts=(3, 1)))
    assert picture is not None
    low, high = picture.bars
    assert low.height == pytest.approx(high.height / 3, abs=0.02)
    assert picture.live == f"M0.00 {high.y:.2f}H140.00V{low.y:.2f}H280.00"
    assert low.title == "x: trained 25.0%, live 75.0%"


def test_cells_that_stand_apart_are_shown_only_when_something_is_in_them() -> None:
    quiet, missing = overlay(numeric("a")), overlay(numeric("a", live_counts=(*(5,) * 24, 30, 0)))
    assert quiet is not None
    assert missing is not None
    assert quiet.apart == ()
    assert missing.apart == ("missing",)
    assert [bar.apart for bar in missing.bars] == [False] * 24 + [True]
    assert quiet.last == missing.last == "≥ 820"


def test_many_cells_are_joined_without_losing_mass() -> None:
    cells = tuple(f"c{index}" for index in range(1000))
    picture = overlay(numeric("a", cells=cells, baseline_counts=(1,) * 1000, live_counts=(1,) * 1000))
    assert picture is not None
    assert len(picture.bars) <= 44
    assert picture.bars[0].title.startswith("c0 … c22: trained 2.3%")


@pytest.mark.parametrize(
    "changed",
    [
        {"cells": (), "baseline_counts": (), "live_counts": ()},
        {"live_counts": (1, 2)},
        {"baseline_counts": (0,) * 26, "live_counts": (0,) * 26},
    ],
)
def test_without_counts_there_is_no_picture(changed: dict[str, tuple[int, ...]]) -> None:
    assert overlay(numeric("a", **changed)) is None


def test_a_feature_without_live_rows_has_bars_and_no_line() -> None:
    picture = overlay(numeric("a", live_counts=(0,) * 26))
    assert picture is not None
    assert picture.live == ""
    assert picture.bars


@pytest.mark.parametrize(
    ("seen", "required", "axis"),
    [
        (Interval(0.97, 0.96, 0.98), 0.9, "80%"),
        (Interval(0.5, 0.0, 1.0), None, "0%"),
        (Interval(1.0, 1.0, 1.0), None, "90%"),
        (Interval(0.97, 0.96, 0.98), 0.0, "0%"),
    ],
)
def test_an_interval_lies_on_its_axis_in_order(seen: Interval, required: float | None, axis: str) -> None:
    picture = interval(seen, required)
    assert 0 <= picture.left <= picture.value <= picture.right <= WIDTH
    assert (picture.required is None) == (required is None)
    assert picture.axis_from == axis
