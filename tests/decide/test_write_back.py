from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.decide.promotion import Rollback, decide_rollback
from sidecar.decide.write_back import Notice, Whose, notice_of, tags_of, whose
from sidecar.standing import DeploymentState, Target

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def step(before: str | None, after: str, generation: int = 2, **changes: Any) -> Notice:
    fields: dict[str, Any] = {
        "model": "bc",
        "version": after,
        "from_version": before,
        "deployment": "fraud",
        "generation": generation,
        "action": "promote",
        "at": NOW + generation,
        "actor": "alice",
        "reason": "better",
        "evidence": "sha256:e",
    }
    return Notice(**fields | changes)


@pytest.mark.parametrize(
    ("there", "line", "expected"),
    [
        ("4", [step("3", "4")], "there"),
        ("3", [step("3", "4")], "ours"),
        (None, [step("3", "4")], "ours"),
        ("9", [step("3", "4")], "theirs"),
        # The registry was away for two transitions: it is still where the first one found it.
        ("3", [step("3", "4"), step("4", "5", 3)], "ours"),
        ("4", [step("3", "4"), step("4", "5", 3)], "ours"),
        ("9", [step("3", "4"), step("4", "5", 3)], "theirs"),
        ("3", [step("3", "4"), step("4", "3", 3)], "there"),
        # A former champion is not where we left the alias: someone put it there.
        ("3", [step("4", "5", 3)], "theirs"),
        # The settings name another alias since: where the former one was left says nothing.
        ("3", [step("3", "4"), step("4", "5", 3, alias="live")], "theirs"),
        ("3", [step("3", "4"), step("4", "5", 3, model="other")], "theirs"),
        # What an earlier sidecar wrote does not say where the alias was left.
        ("3", [Notice(model="bc", version="4")], "theirs"),
        # A person has seen the alias at 9 and wants it back.
        ("9", [step("9", "4", action="reconcile")], "ours"),
        ("8", [step("9", "4", action="reconcile")], "theirs"),
    ],
)
def test_an_alias_is_ours_only_where_we_left_it(there: str | None, line: list[Notice], expected: Whose) -> None:
    assert whose(there, line) == expected


def test_both_versions_are_told_what_became_of_them() -> None:
    tags = tags_of([step("3", "4")])
    assert tags == {
        ("bc", "4"): {
            "sidecar.champion_since": "2026-01-01T00:00:02.000Z",
            "sidecar.deployment": "fraud",
            "sidecar.generation": "2",
            "sidecar.action": "promote",
            "sidecar.promoted_by": "alice",
            "sidecar.reason": "better",
            "sidecar.evidence": "sha256:e",
            "sidecar.from_version": "3",
            "sidecar.retired_at": "none",
            "sidecar.retired_for": "none",
        },
        ("bc", "3"): {"sidecar.retired_at": "2026-01-01T00:00:02.000Z", "sidecar.retired_for": "4"},
    }


def test_after_a_rollback_the_version_that_came_back_is_not_retired_any_more() -> None:
    tags = tags_of([step("3", "4"), step("4", "3", 3, action="rollback", evidence=None)])
    assert tags["bc", "3"]["sidecar.retired_at"] == "none"
    assert tags["bc", "3"]["sidecar.evidence"] == "none"
    assert tags["bc", "3"]["sidecar.generation"] == "3"
    assert tags["bc", "4"]["sidecar.retired_for"] == "3"
    assert tags["bc", "4"]["sidecar.retired_at"] == "2026-01-01T00:00:03.000Z"


def test_a_reconciliation_makes_nobody_champion_and_notes_nothing() -> None:
    assert tags_of([step("9", "4", action="reconcile")]) == {}


def test_what_is_told_of_a_plan_survives_its_way_through_the_outbox() -> None:
    stood = DeploymentState(
        deployment="fraud", generation=6, champion="4", champion_target=Target("http://h:4"), champion_since=NOW,
        previous="3", previous_target=Target("http://h:3"),
    )  # fmt: skip
    plan = decide_rollback(stood, Rollback("bob", "worse by far"), {}, NOW + 60)
    notice = notice_of(plan, "bc", "live")
    assert (notice.version, notice.from_version, notice.generation, notice.at) == ("3", "4", 7, NOW + 60)
    assert (notice.alias, notice.model, notice.action, notice.actor) == ("live", "bc", "rollback", "bob")
    assert msgspec.json.decode(msgspec.json.encode(notice), type=Notice) == notice
