from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.config_gates import Gates
from sidecar.decide.evidence import digest
from sidecar.decide.gates import judge
from tests.decide.decide_samples import NOW, evidence, quality

TABLE = judge(Gates(), evidence(), NOW)


def test_the_digest_is_the_same_on_every_machine() -> None:
    # A golden value: whoever changes the encoding makes every stored digest unexplainable.
    assert digest(evidence(), Gates(pairs=False), "pass", ()) == GOLDEN


GOLDEN = "sha256:ccd718bd74c21e9bd1278826d4807f5b86f8b49b85cbf2ed5483b3723b795ef8"


@pytest.mark.parametrize(
    "changes",
    [
        {"deployment": "other"},
        {"champion": "2"},
        {"challenger": "5"},
        {"baseline_digest": None},
        {"baseline_digest": "sha256:0123"},
        {"pairs": 10_001},
        {"quality": quality(201, 100, 9_700)},
    ],
)
def test_any_change_of_what_was_judged_is_another_digest(changes: dict[str, Any]) -> None:
    assert judge(Gates(), evidence(**changes), NOW).evidence != TABLE.evidence


@pytest.mark.parametrize(
    "settings",
    [{"pairs": {"min": 5_001}}, {"duration": "off"}, {"outcome": {"alpha": 0.01}}, {"lineage": {"require": ["data"]}}],
)
def test_any_change_of_the_gates_settings_is_another_digest(settings: dict[str, Any]) -> None:
    assert judge(Gates.model_validate(settings), evidence(), NOW).evidence != TABLE.evidence


def test_equal_content_is_an_equal_digest_whenever_it_is_asked_for() -> None:
    assert judge(Gates(), evidence(), NOW + 3_600).evidence == TABLE.evidence


def test_a_number_outside_json_is_refused() -> None:
    row = msgspec.structs.replace(TABLE.gates[0], observed=float("inf"))
    with pytest.raises(ValueError, match="JSON"):
        digest(evidence(), Gates(), "pass", (row,))
