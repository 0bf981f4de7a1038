"""Findings against targets, and the page and picture that are made of them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bench import chart, report
from bench.report import Machine
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import Spread

MACHINE = Machine("a processor", "nginx/1", "Python 3, compiled", 5, 3, 20.4)
RATIO = Finding(measure="CPU", against="nginx <mirror>", reached=Spread(0.6, 0.5, 0.8), limit=0.75)


@pytest.mark.parametrize(
    ("median", "limit", "at_least", "met"),
    [(0.6, 0.5, False, False), (0.6, 0.6, False, True), (0.96, 0.97, True, False), (0.97, 0.97, True, True)],
)
def test_a_target_is_met_by_the_median(median: float, limit: float, *, at_least: bool, met: bool) -> None:
    finding = Finding(measure="m", reached=Spread(median, 0, 2), limit=limit, at_least=at_least)
    assert finding.met is met


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    finding = Finding(measure="disk full", limit=0, unit="", skipped="only root may mount")
    assert finding.met is None
    assert report.targets_table([finding]).rows == [("disk full", "–", "not measured: only root may mount", "≤ 0", "–")]


def test_the_table_of_targets_tells_what_was_reached() -> None:
    slow = Finding(measure="rate", reached=Spread(0.5, 0.5, 0.5), limit=0.9, at_least=True)
    assert report.targets_table([RATIO, slow]).rows == [
        ("CPU", "nginx <mirror>", "0.60 (0.50–0.80)×", "≤ 0.75×", "met"),
        ("rate", "–", "0.50×", "≥ 0.9×", "**missed**"),
    ]


def test_the_page_has_machine_noise_targets_tables_and_notes() -> None:
    table = Table(("a", "b"), [("1", "2")])
    result = Result(title="A row", findings=[RATIO], tables=[table], note="A word.", elsewhere=[0.0, 0.25, 0.5])
    page = report.document(report.whole(MACHINE, [result]), "picture.svg")
    for wanted in (
        "5 interleaved rounds of 3 s",
        "a processor; nginx/1. The sidecar: Python 3, compiled.",
        "took 25% of the measured core (0% to 50%)",
        "| CPU | nginx <mirror> | 0.60 (0.50–0.80)× | ≤ 0.75× | met |",
        "## A row\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nA word.",
        "(picture.svg)",
    ):
        assert wanted in page


def test_rows_that_measure_no_noise_say_so() -> None:
    assert "noise was not measured" in report.whole(MACHINE, [Result(title="A row", findings=[])])


def test_the_picture_is_well_formed_and_each_bar_is_as_long_as_its_value() -> None:
    bars = [Bar("sidecar", Spread(80, 50, 120), ours=True), Bar("nginx <mirror>", Spread(100, 100, 200), ours=False)]
    none = Panel("no difference", [Bar("sidecar", Spread(-0.1, -0.2, 0.0), ours=True)])
    drawn = ET.fromstring(chart.draw([Panel("CPU", bars), none]))  # noqa: S314  our own
    space = "{http://www.w3.org/2000/svg}"
    assert "nginx <mirror>" in [text.text for text in drawn.findall(f"{space}text")]
    found = drawn.findall(f"{space}rect")
    assert [bar.attrib["class"] for bar in found] == ["ours", "peer", "ours"]
    widths = [float(bar.attrib["width"]) for bar in found]
    assert widths[0] / widths[1] == pytest.approx(0.8, rel=0.01)
    assert widths[2] == 0.0


def test_a_picture_of_nothing_is_well_formed() -> None:
    assert ET.fromstring(chart.draw([])).tag.endswith("svg")  # noqa: S314  our own
