from __future__ import annotations

import re

import pytest

from sidecar.admin import charts
from sidecar.admin.tracks import Point
from tests.admin.fake_reports import shape


def test_a_line_stays_in_its_box_and_its_axis_holds_all_values() -> None:
    points = [Point(1000.0 + 60 * step, 0.9 + 0.002 * step, 50) for step in range(40)]
    chart = charts.over_time(points, share=True, required=0.85)
    assert chart is not None
    places = [tuple(map(float, place.split())) for place in chart.path.removeprefix("M").split("L")]
    assert len(places) == 40
    assert all(0 <= x <= 100 and 0 <= y <= charts.HEIGHT for x, y in places)
    assert places[0][0] == 0
    assert places[-1][0] == 100
    assert chart.required is not None
    assert chart.required > places[0][1], "what is asked for lies below"
    assert [tick.label for tick in chart.up] == ["80%", "90%", "100%"]
    assert chart.dots[-1][2].endswith("97.8% of 50 rows")


def test_fewer_than_two_points_are_no_line() -> None:
    assert charts.over_time([], share=True) is None
    assert charts.over_time([Point(1.0, 0.5)], share=False) is None
    assert charts.over_time([Point(1.0, 0.5), Point(1.0, 0.6)], share=False) is None


@pytest.mark.parametrize("span", [5.0, 61.0, 3_700.0, 90_000.0, 40 * 86_400.0])
def test_times_are_round_inside_and_few(span: float) -> None:
    ticks = charts.times(1_767_225_599.0, 1_767_225_599.0 + span)
    assert 1 <= len(ticks) <= 6
    assert all(0 <= tick.place <= 100 for tick in ticks)
    assert len({tick.label for tick in ticks}) == len(ticks)


def test_two_distributions_share_one_scale() -> None:
    found = shape()
    chart = charts.outlines(
        found.latency_champion, found.latency_challenger, [(3.0, "p50", "one"), (None, "p99", "two")], "x"
    )
    assert chart is not None
    assert chart.one.startswith("M0 150V")
    assert len(chart.marks) == 1
    heights = [float(height) for height in re.findall(r"V([0-9.]+)", chart.one + chart.two)]
    assert min(heights) == pytest.approx(36, abs=0.01)
    assert max(heights) == charts.HEIGHT
    assert charts.outlines((), (), [], "x") is None
    assert charts.outlines(((0.0, 0.0, 5),), ((1.0, 1.01, 5),), [], "x") is not None


def test_cells_wider_than_a_bin_leave_no_gaps() -> None:
    cells = tuple((2.0**step, 2.0 ** (step + 1), 100) for step in range(6))
    chart = charts.outlines(cells, (), [], "x")
    assert chart is not None
    heights = {round(float(height), 1) for height in re.findall(r"V([0-9.]+)", chart.one)}
    assert heights == {36.0, charts.HEIGHT}
    assert chart.two == ""


def test_a_plane_covers_every_row_once() -> None:
    cells = shape().scores
    chart = charts.plane(cells)
    assert chart is not None
    rows = sum(int(re.findall(r": ([0-9,]+) rows", square.title)[0].replace(",", "")) for square in chart.squares)
    assert rows == sum(cell[4] for cell in cells)
    assert (chart.low, chart.high) == ("0", "1")
    assert all(0 <= square.x <= 100 and 0 <= square.y <= 100 and 1 <= square.weight <= 9 for square in chart.squares)


def test_a_plane_of_odd_cells_is_none_or_drawn() -> None:
    assert charts.plane(()) is None
    assert charts.plane(((0.5, 0.5, 0.5, 0.5, 3),)) is not None
    amounts = charts.plane(((-10.0, -9.0, 900.0, 910.0, 3), (5.0, 6.0, 5.0, 6.0, 1)))
    assert amounts is not None
    assert amounts.low == "-10"


def test_differences_lie_around_zero_on_bars_of_one_width() -> None:
    bars = charts.differences(((-0.4, -0.3, 10), (0.0, 0.0, 70), (0.3, 0.4, 20)))
    assert len(bars) == 41
    assert bars[20].height == max(bar.height for bar in bars)
    assert bars[20].title.endswith("70.0% of 100 rows")
    assert bars[0].label == "0.5"
    assert charts.differences(()) == ()
    assert charts.differences(((0.0, 0.0, 5),)) == ()


@pytest.mark.parametrize(("value", "above"), [(0.05, 0.05), (0.051, 0.1), (3.0, 5.0), (51.0, 100.0)])
def test_axes_end_at_round_numbers(value: float, above: float) -> None:
    assert charts.nice(value) == pytest.approx(above)
