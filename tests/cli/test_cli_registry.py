"""The registry's commands: both sides as they are told, what is asked, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sidecar.admin import answers
from sidecar.standing import Divergence, RegistryStatus
from tests.cli.conftest import FRAUD, NOW

Run = Callable[..., Any]
RECONCILE = "/v1/deployments/fraud/registry/reconcile"
DIVERGED = RegistryStatus(
    reachable=True,
    diverged=True,
    says="the registry's alias champion is at version 9, version 3 serves",
    divergence=Divergence(alias="champion", registry="9", sidecar="3", since=NOW),
)
AWAY = RegistryStatus(
    reachable=False, diverged=False, says="no answer within 5 s", unwritten="alias champion is to be moved to version 3"
)


def standing(api: Any, registry: RegistryStatus, **changes: Any) -> None:
    changed = msgspec.structs.replace(FRAUD, registry=registry, **changes)
    api.answer("/v1/deployments", {"items": [answers.deployment(changed)]})


@pytest.mark.parametrize(
    ("registry", "said"),
    [
        (DIVERGED, ("fraud", "answers", "3", "champion → 9", "2026-01-01T00:00:00.000Z", "version 3 serves")),
        (AWAY, ("unreachable", "alias champion is to be moved to version 3; no answer within 5 s")),
        (RegistryStatus(reachable=None, diverged=False), ("none",)),
    ],
)
def test_status_shows_both_sides(api: Any, sidecar: Run, registry: RegistryStatus, said: tuple[str, ...]) -> None:
    standing(api, registry)

    result = sidecar("registry", "status")

    assert result.exit_code == 0
    assert [text for text in said if text not in result.stdout] == []


def test_the_status_of_all_says_that_the_registry_is_away_and_since_when(api: Any, sidecar: Run) -> None:
    standing(api, RegistryStatus(reachable=False, diverged=False, since=NOW, age_s=60.0, says="no answer within 5 s"))

    words = " ".join(sidecar("status").stdout.split())

    assert "no answer within 5 s (since 2026-01-01T00:00:00.000Z)" in words


def test_status_prints_the_answer_as_it_came_and_says_when_there_is_nothing(api: Any, sidecar: Run) -> None:
    standing(api, DIVERGED)
    assert json.loads(sidecar("registry", "status", "--json").stdout)["items"][0]["name"] == "fraud"

    api.answer("/v1/deployments", {"items": []})
    assert "no deployments" in sidecar("registry", "status").stdout


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ({"written": True, "audit_seq": 8}, "fraud: alias champion moved from 9 to 3 (audit 8)\n"),
        (
            {"written": False, "audit_seq": 8},
            "fraud: alias champion goes to 3 as soon as the registry takes it (audit 8)\n",
        ),
        ({"written": True, "audit_seq": None}, "fraud: alias champion is at 3 already\n"),
    ],
)
def test_reconcile_says_what_was_done(fraud: Any, sidecar: Run, done: dict[str, Any], said: str) -> None:
    fraud.answer(RECONCILE, {"deployment": "fraud", "alias": "champion", "from": "9", "to": "3"} | done)

    result = sidecar("registry", "reconcile", "fraud", "--take", "sidecar", "--expected", "9", "--reason", "by hand")

    assert (result.exit_code, result.stdout) == (0, said)
    assert [(call.path, call.body) for call in fraud.calls] == [
        (RECONCILE, {"take": "sidecar", "expected": "9", "reason": "by hand"})
    ]


def test_what_is_refused_is_one_sentence_and_exit_code_1(fraud: Any, sidecar: Run) -> None:
    fraud.problem(RECONCILE, 409, "fraud: version 9 becomes champion through the gates only")

    result = sidecar("registry", "reconcile", "fraud", "--take", "registry", "--reason", "they are right")
    told = sidecar("registry", "reconcile", "fraud", "--take", "registry", "--reason", "they are right", "--json")

    assert (result.exit_code, told.exit_code) == (1, 1)
    assert "through the gates only" in result.stderr
    assert json.loads(told.stdout)["status"] == 409


def test_a_registry_that_cannot_be_asked_is_exit_code_2(fraud: Any, sidecar: Run) -> None:
    fraud.problem(RECONCILE, 503, "the registry cannot be asked, nothing was changed (away): repeat later")

    result = sidecar("registry", "reconcile", "fraud", "--take", "sidecar", "--reason", "by hand")

    assert (result.exit_code, "repeat later" in result.stderr) == (2, True)


def test_a_side_has_to_be_taken(fraud: Any, sidecar: Run) -> None:
    assert sidecar("registry", "reconcile", "fraud", "--reason", "by hand").exit_code == 2
    assert sidecar("registry", "reconcile", "fraud", "--take", "both", "--reason", "by hand").exit_code == 2
    assert fraud.calls == []


def test_the_overview_shows_what_made_each_version_and_what_the_registry_was_not_told(api: Any, sidecar: Run) -> None:
    metrics = {f"metrics.m{number}": "0.9" for number in range(9)}
    told = {"3": {"data": "2026-01", "code": "9f3c21d", "approved_by": "ana"} | metrics, "4": {}}
    standing(api, AWAY, lineage=told)

    result = sidecar("status")

    assert result.exit_code == 0
    for said in ("2026-01", "9f3c21d", "ana", "m0 0.9, m1 0.9, m2 0.9, m3 0.9", "the registry was not told yet"):
        assert said in result.stdout, said
    assert "m4" not in result.stdout
    standing(api, AWAY)
    assert "approved by" not in sidecar("status").stdout
