from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.config_gates import Gates
from sidecar.decide.evidence_record import NotRecomputable, record_of
from sidecar.decide.gates import judge
from sidecar.decide.rehearsal import KeptHour, kept_hour, rehearse
from sidecar.recorded import Move
from tests.decide.decide_samples import NOW, evidence

HOUR_S = 3_600.0


def hour(number: int, **changes: Any) -> KeptHour:
    """As it comes back from where it was kept."""
    at = NOW + number * HOUR_S
    record = record_of(evidence(**changes), Gates(pairs=False), at, whole_lineage=True)
    return kept_hour(changes.get("challenger", "4"), at, json.loads(json.dumps(record)))


def move(number: float, action: str, to: str) -> Move:
    return Move(at=NOW + number * HOUR_S, action=action, actor="ana", from_version="3", to_version=to)


HOURS = [hour(0, pairs=10), hour(1, pairs=6_000), hour(2, pairs=12_000), hour(2, challenger="5", quality=None)]


def test_each_hour_is_judged_by_the_gates_that_are_rehearsed_and_not_by_those_of_then() -> None:
    prediction = {"prediction": "off", "agreement": "off"}
    first, second = rehearse(HOURS, Gates.model_validate(prediction), ())
    assert [(each.at, each.verdict, each.blocking) for each in first.items] == [
        (NOW, "insufficient", ("pairs",)),
        (NOW + HOUR_S, "pass", ()),
        (NOW + 2 * HOUR_S, "pass", ()),
    ]
    assert (first.challenger, first.hours, first.passed, first.insufficient, first.failed) == ("4", 3, 2, 1, 0)
    assert (first.first_pass, first.gates["pairs"]) == (NOW + HOUR_S, {"insufficient": 1, "pass": 2})
    assert (second.challenger, second.first_pass, second.items[0].blocking) == ("5", None, ("outcome", "calibration"))
    stricter, _ = rehearse(HOURS, Gates.model_validate(prediction | {"pairs": {"min": 10_000}}), ())
    assert stricter.first_pass == NOW + 2 * HOUR_S
    looser, _ = rehearse(HOURS, Gates.model_validate(prediction | {"pairs": "off"}), ())
    assert (looser.first_pass, looser.gates["pairs"]) == (NOW, {"off": 3})


@pytest.mark.parametrize(
    ("moves", "promoted"),
    [
        ((), None),
        ((move(1.5, "promote", "4"), move(1.9, "rollback", "3")), NOW + 1.5 * HOUR_S),
        ((move(1.5, "override", "4"),), NOW + 1.5 * HOUR_S),
        ((move(1.5, "rollback", "4"), move(1.6, "promote", "5")), None),
    ],
)
def test_what_happened_stands_beside_what_would_have(moves: tuple[Move, ...], promoted: float | None) -> None:
    assert rehearse(HOURS, Gates(), moves)[0].promoted == promoted


def test_a_gate_that_was_never_asked_for_can_be_rehearsed_on_the_whole_lineage() -> None:
    gates = Gates.model_validate({"lineage": {"require": ["code"]}})
    (found,) = rehearse([hour(0)], gates, ())
    assert found.passed == 1


def test_an_hour_gives_the_table_that_was_seen_then() -> None:
    kept = hour(0)
    assert judge(Gates(), kept.evidence, kept.at) == judge(Gates(), evidence(), NOW)


@pytest.mark.parametrize("document", [{}, None, {"evidence": 1}], ids=str)
def test_what_cannot_be_read_is_said(document: object) -> None:
    with pytest.raises(NotRecomputable):
        kept_hour("4", NOW, document)


def test_nothing_kept_is_nothing_rehearsed() -> None:
    assert rehearse([], Gates(), ()) == ()
