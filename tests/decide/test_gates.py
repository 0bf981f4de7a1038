from __future__ import annotations

import doctest
import math
from typing import Any

import pytest

from sidecar.config_gates import Gates
from sidecar.decide import finding, gates
from sidecar.decide.gates import GATES, judge, overall
from sidecar.reports import Verdict
from tests.decide.decide_samples import NOW, alarm, evidence


def test_good_evidence_passes_every_gate_in_the_settings_order() -> None:
    table = judge(Gates(), evidence(), NOW)
    assert [(gate.name, gate.verdict) for gate in table.gates] == [(name, "pass") for name in Gates.model_fields]
    assert (table.deployment, table.champion, table.challenger, table.verdict) == ("fraud", "3", "4", "pass")
    assert list(GATES) == list(Gates.model_fields)


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (("pass", "pass"), "pass"),
        (("pass", "off"), "pass"),
        (("off", "insufficient", "pass"), "insufficient"),
        (("insufficient", "fail", "pass"), "fail"),
        (("off", "off"), "pass"),
        ((), "pass"),
    ],
)
def test_a_failed_gate_is_never_outweighed(verdicts: tuple[Verdict, ...], verdict: Verdict) -> None:
    assert overall(verdicts) == verdict


@pytest.mark.parametrize("name", list(GATES))
@pytest.mark.parametrize("written", ["off", False])
def test_a_gate_that_is_off_says_so_and_counts_for_nothing(name: str, written: object) -> None:
    settings = Gates.model_validate({name: written})
    table = judge(settings, evidence(), NOW)
    assert {gate.name: gate.verdict for gate in table.gates}[name] == "off"
    assert table.verdict == "pass"
    assert table.evidence != judge(Gates(), evidence(), NOW).evidence


def test_one_broken_feed_fails_the_whole_table_unless_its_gate_is_off() -> None:
    broken = evidence(open_alarms=(alarm(),))
    assert judge(Gates(), broken, NOW).verdict == "fail"
    assert judge(Gates.model_validate({"inputs": "off"}), broken, NOW).verdict == "pass"


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_none_is_not_shown_and_never_passes(number: float) -> None:
    table = judge(Gates(), evidence(prediction_psi=number), NOW)
    row = {gate.name: gate for gate in table.gates}["prediction"]
    assert row.observed is None
    assert row.verdict != "pass"


@pytest.mark.parametrize("seconds", [0.0, 119.0, 7_199.0, 172_799.0, 1e9])
def test_a_span_of_time_is_said_with_its_unit(seconds: float) -> None:
    assert finding.lasting(seconds).split()[1] in ("seconds", "minutes", "hours", "days")


@pytest.mark.parametrize("module", [finding, gates])
def test_the_examples_in_the_docstrings_hold(module: Any) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
