from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from sidecar.config_gates import Gates
from sidecar.decide.evidence_record import (
    FORMULAS,
    NotRecomputable,
    judge_again,
    read_record,
    record_of,
    with_record,
)
from sidecar.decide.gates import judge
from sidecar.reports import Disagreement, Interval
from tests.decide.decide_samples import NOW, alarm, evidence, quality

WORST = Disagreement(request_id="r-1", row=0, at=NOW, champion="yes", challenger="no", difference=1.0)


def kept(found: dict[str, Any]) -> dict[str, Any]:
    """As it comes out of an audit entry's details."""
    read: dict[str, Any] = json.loads(with_record('{"verdict":"pass"}', found))["record"]
    return read


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({}, {}),
        ({"pairs": 10}, {}),
        ({"quality": None}, {}),
        ({"quality": quality(0, 900, 9_000)}, {"outcome": {"test": "superior"}}),
        ({"open_alarms": (alarm(),)}, {}),
        ({"baseline_digest": None, "agreement": Interval(0.5, 0.4, 0.6)}, {"latency": False, "pairs": {"min": 7}}),
        (
            {"lineage": {"data": "d", "metrics.auc": "0.9", "secret": "x"}},
            {"lineage": {"require": ["data", "metrics"]}},
        ),
        ({"lineage": None, "lineage_limit_s": 5.0, "lineage_age_s": 9.0}, {"lineage": {"require": ["data"]}}),
        ({"baseline_limit_s": 86_400.0, "baseline_age_s": 100_000.5}, {}),
    ],
    ids=str,
)
def test_judged_again_from_the_kept_counts_it_is_the_same_table_and_digest(
    changes: dict[str, Any], settings: dict[str, Any]
) -> None:
    gates = Gates.model_validate(settings)
    table = judge(gates, evidence(**changes), NOW)
    record = read_record(kept(record_of(evidence(**changes), gates, NOW)))
    assert judge_again(record) == table
    assert (record.since, record.at, record.formulas) == (evidence().comparison.since, NOW, FORMULAS)


def test_one_changed_count_gives_another_digest() -> None:
    document = kept(record_of(evidence(), Gates(), NOW))
    document["evidence"]["comparison"]["pairs"] += 1
    assert judge_again(read_record(document)).evidence != judge(Gates(), evidence(), NOW).evidence


def test_examples_and_what_no_gate_asked_for_are_not_kept() -> None:
    gates = Gates.model_validate({"lineage": {"require": ["data"]}})
    text = json.dumps(record_of(evidence(worst=(WORST,), lineage={"data": "d", "params.c": "hush"}), gates, NOW))
    assert "r-1" not in text
    assert "hush" not in text
    assert '"data": "d"' in text


def test_a_number_that_json_does_not_have_never_stops_a_promotion() -> None:
    found = record_of(evidence(prediction_psi=math.nan, mirrored_s=math.inf), Gates(), NOW)
    assert '"prediction_psi":null' in with_record("{}", found)
    with pytest.raises(NotRecomputable):
        read_record(kept(found))


def test_what_another_version_has_judged_is_not_claimed_to_be_the_same() -> None:
    record = read_record(kept(record_of(evidence(), Gates(), NOW)))
    with pytest.raises(NotRecomputable, match="was judged by sidecar-gates/0"):
        judge_again(msgspec.structs.replace(record, formulas="sidecar-gates/0"))
    with pytest.raises(NotRecomputable, match="settings are of another version"):
        judge_again(msgspec.structs.replace(record, settings={"pears": {}}))


@pytest.mark.parametrize("document", [None, 5, {}, {"formulas": 1}, []], ids=str)
def test_what_is_no_record_is_said(document: object) -> None:
    with pytest.raises(NotRecomputable):
        read_record(document)


def test_nothing_is_added_where_there_is_no_record() -> None:
    assert with_record('{"a":1}', {}) == '{"a":1}'
