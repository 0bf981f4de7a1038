"""Figures and ratios from runs, and the table and picture made of them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bench import chart, report
from bench.figures import Spread, Target, figures, ratios
from bench.measure import Run
from bench.report import Machine

MINE, PEER = "sidecar, shadow", "nginx <mirror>"


def run(contender: str, cpu_us: float, **other: object) -> Run:
    fields: dict[str, object] = {
        "requests": 1000,
        "requests_per_s": 500.0,
        "errors": 0,
        "copies": 1.0,
        "new_connections": 0.0,
        "dropped": {},
        "elsewhere": 0.0,
    }
    return Run(contender, cpu_us, **{**fields, **other})  # type: ignore[arg-type]


ROUNDS = [
    run(MINE, 50, dropped={"capture/bytes_full": 100, "copy/inflight_limit": 7}, errors=1),
    run(PEER, 100),
    run(MINE, 120),
    run(PEER, 200),
    run(MINE, 80),
    run(PEER, 100),
]


def test_a_figure_is_the_median_with_its_span_and_counts_everything_lost() -> None:
    mine, peer = figures(ROUNDS, frozenset({MINE}))
    assert mine.cpu_us == Spread(80, 50, 120)
    assert mine.capture_dropped == pytest.approx(100 / 3000)
    assert (mine.copies_dropped, mine.errors) == (7, 1)
    assert peer.capture_dropped is None


def test_a_ratio_is_taken_within_each_round() -> None:
    (ratio,) = ratios(ROUNDS, (Target(MINE, PEER, 0.75),))
    assert ratio.reached == Spread(0.6, 0.5, 0.8)  # the medians' own ratio would be 0.8
    assert ratio.met


def test_a_target_that_was_missed_is_called_missed() -> None:
    found = ratios(ROUNDS, (Target(MINE, PEER, 0.5), Target(MINE, PEER, 0.6)))
    assert [ratio.met for ratio in found] == [False, True]


def test_rounds_that_are_not_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios(ROUNDS[:-1], (Target(MINE, PEER, 0.75),))


def test_the_report_tells_figures_targets_drops_and_noise() -> None:
    machine = Machine("a processor", "nginx/1", 3, 4, 638, Spread(0.25, 0.0, 0.5))
    memory = {"worker": 30 << 20}
    text = report.whole(
        machine, figures(ROUNDS, frozenset({MINE})), ratios(ROUNDS, (Target(MINE, PEER, 0.5),)), memory, memory
    )
    assert "| sidecar, shadow | 80.0 (50.0–120.0) | 500 | 100.0% | 0.00 | 3.3% |" in text
    assert "| sidecar, shadow | nginx <mirror> | 0.60 (0.50–0.80) | ≤ 0.5 | missed |" in text
    assert "| worker | 30.0 | 30.0 |" in text
    assert "Failed requests: 1. Copies dropped by the sidecar: 7. Other processes took 25%" in text


def test_the_picture_is_well_formed_and_has_a_bar_for_each() -> None:
    drawn = ET.fromstring(chart.draw(figures(ROUNDS, frozenset())))  # noqa: S314  our own
    space = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f"{space}rect")) == 2
    assert PEER in [text.text for text in drawn.findall(f"{space}text")]
    widths = [float(bar.attrib["width"]) for bar in drawn.findall(f"{space}rect")]
    assert widths[0] / widths[1] == pytest.approx(0.8, rel=0.01)
