"""Promote and rollback: what is asked, what is told, and the exit code that a pipeline branches on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
PROMOTE = "/v1/deployments/fraud/promote"
ROLLBACK = "/v1/deployments/fraud/rollback"
GATES = [
    {"name": "pairs", "verdict": "insufficient", "observed": 12, "required": 5000, "n": 12, "detail": "4988 to go"},
    {"name": "errors", "verdict": "pass", "observed": 0, "required": 0.001, "n": 12, "detail": "fine"},
    {"name": "latency", "verdict": "off", "observed": None, "required": None, "n": 0, "detail": "switched off"},
]


def test_a_promotion_says_what_became_of_it(fraud: Any, sidecar: Run) -> None:
    result = sidecar("promote", "fraud", "4", "--reason", "gates pass")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "fraud: promoted from 3 to 4 (generation 8, audit 12)\n"
    assert [(call.method, call.path, call.body) for call in fraud.calls] == [
        ("POST", PROMOTE, {"challenger": "4", "reason": "gates pass"})
    ]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--expected-champion", "3"], {"expected_champion": "3"}),
        (["--force"], {"force": True}),
        (["--dry-run"], {"dry_run": True}),
    ],
)
def test_options_of_a_promotion_are_asked_for(
    fraud: Any, sidecar: Run, options: list[str], asked: dict[str, Any]
) -> None:
    sidecar("promote", "fraud", "4", "--reason", "r", *options)

    assert fraud.calls[0].body == {"challenger": "4", "reason": "r", **asked}


def test_a_dry_run_says_that_nothing_was_changed(fraud: Any, sidecar: Run) -> None:
    fraud.answer(PROMOTE, {"from": "3", "to": "4", "generation": 7, "audit_seq": None, "dry_run": True})

    result = sidecar("promote", "fraud", "4", "--reason", "r", "--dry-run")

    assert result.stdout == "fraud: would be promoted from 3 to 4 (nothing was changed)\n"


def test_a_refused_promotion_shows_the_gates_in_its_way_and_exits_with_1(fraud: Any, sidecar: Run) -> None:
    fraud.problem(PROMOTE, 409, "4 may not take over: pairs is insufficient.", gates=GATES)

    result = sidecar("promote", "fraud", "4", "--reason", "r")

    assert (result.exit_code, result.stderr) == (1, "4 may not take over: pairs is insufficient.\n")
    assert "4988 to go" in result.stdout
    assert "errors" not in result.stdout
    assert "latency" not in result.stdout


@pytest.mark.parametrize("members", [{}, {"gates": 5}, {"gates": [{"name": "x", "verdict": "pass"}]}])
def test_a_refusal_without_gates_is_only_its_sentence(fraud: Any, sidecar: Run, members: dict[str, Any]) -> None:
    fraud.problem(PROMOTE, 409, "The champion is 5 by now.", **members)

    result = sidecar("promote", "fraud", "4", "--reason", "r")

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "The champion is 5 by now.\n")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500, 503])
@pytest.mark.parametrize("arguments", [("promote", "fraud", "4"), ("rollback", "fraud")])
def test_whatever_else_goes_wrong_exits_with_2(
    fraud: Any, sidecar: Run, arguments: tuple[str, ...], status: int
) -> None:
    fraud.problem(PROMOTE, status, "No.")
    fraud.problem(ROLLBACK, status, "No.")

    result = sidecar(*arguments, "--reason", "r")

    assert result.exit_code == 2
    assert result.stderr.startswith("No.")


def test_a_refusal_as_json_is_printed_as_it_came(fraud: Any, sidecar: Run) -> None:
    fraud.problem(PROMOTE, 409, "No.", gates=GATES)

    result = sidecar("promote", "fraud", "4", "--reason", "r", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["gates"] == GATES


def test_a_rollback_asks_for_no_gates(fraud: Any, sidecar: Run) -> None:
    fraud.answer(ROLLBACK, {"from": "4", "to": "3", "generation": 9, "audit_seq": 13})

    result = sidecar("rollback", "fraud", "--reason", "amount is broken")

    assert (result.exit_code, result.stdout) == (0, "fraud: rolled back from 4 to 3 (generation 9, audit 13)\n")
    assert [(call.path, call.body) for call in fraud.calls] == [(ROLLBACK, {"reason": "amount is broken"})]


def test_a_rollback_may_name_its_version_and_be_forced(fraud: Any, sidecar: Run) -> None:
    sidecar("rollback", "fraud", "--reason", "r", "--to", "2", "--force")

    assert fraud.calls[0].body == {"reason": "r", "to": "2", "force": True}


def test_a_rollback_with_nothing_to_go_back_to_exits_with_1(fraud: Any, sidecar: Run) -> None:
    fraud.problem(ROLLBACK, 409, "There is nothing to go back to.")

    result = sidecar("rollback", "fraud", "--reason", "r")

    assert (result.exit_code, result.stderr) == (1, "There is nothing to go back to.\n")


def test_json_prints_a_transition_as_it_came(fraud: Any, sidecar: Run) -> None:
    result = sidecar("rollback", "fraud", "--reason", "r", "--json")

    assert result.stdout == fraud.answers[ROLLBACK][2].decode() + "\n"


OVERRIDE = "/v1/deployments/fraud/override"
APPROVALS = "/v1/deployments/fraud/approvals"


def test_a_dry_run_shows_its_plan_and_the_plan_can_be_named(fraud: Any, sidecar: Run) -> None:
    plan = {
        "digest": "sha256:d1", "target": "http://127.0.0.1:8001", "rollback_to": "3", "watch_s": 1800.0,
        "verdicts": {"pairs": "pass", "errors": "pass", "latency": "off"}, "approvals": ["ann", "bob"],
    }  # fmt: skip
    done = {"from": "3", "to": "4", "generation": 7, "audit_seq": None, "dry_run": True, "plan": plan}
    fraud.answer(PROMOTE, done)

    result = sidecar("promote", "fraud", "4", "--reason", "r", "--dry-run")
    sidecar("promote", "fraud", "4", "--reason", "r", "--plan", "sha256:d1", "--evidence", "sha256:e1")

    for said in ("--plan sha256:d1", "goes back to 3", "gates pass: pairs, errors", "approved by ann, bob", "1800 s"):
        assert said in result.stdout
    assert fraud.calls[1].body == {"challenger": "4", "reason": "r", "plan": "sha256:d1", "evidence": "sha256:e1"}


def test_an_override_is_a_verb_of_its_own(fraud: Any, sidecar: Run) -> None:
    fraud.answer(OVERRIDE, {"from": "3", "to": "4", "generation": 8, "audit_seq": 14})

    result = sidecar("override", "fraud", "4", "--reason", "the champion leaks")

    assert (result.exit_code, result.stdout) == (0, "fraud: overridden from 3 to 4 (generation 8, audit 14)\n")
    assert [(call.path, call.body) for call in fraud.calls] == [
        (OVERRIDE, {"challenger": "4", "reason": "the champion leaks"})
    ]


def test_an_approval_shows_what_is_agreed_to(fraud: Any, sidecar: Run) -> None:
    fraud.answer(APPROVALS, {"challenger": "4", "done": "approved", "people": ["bob"], "needed": 2, "audit_seq": 9})

    result = sidecar("approve", "fraud", "4", "--reason", "read it")

    assert (result.exit_code, "4988 to go" in result.stdout) == (0, True)
    assert result.stdout.endswith("fraud: approved for 4 (audit 9); approvals 1 of 2: bob\n")
    assert fraud.calls[-1].body == {"challenger": "4", "reason": "read it", "evidence": "sha256:cafe"}


def test_an_approval_is_taken_back_without_reading_anything(fraud: Any, sidecar: Run) -> None:
    fraud.answer(APPROVALS, {"challenger": "4", "done": "unchanged"})

    result = sidecar("approve", "fraud", "4", "--reason", "no", "--withdraw")

    assert result.stdout == "fraud: unchanged for 4 (nothing was changed); approvals none asked for\n"
    assert [call.body for call in fraud.calls] == [{"challenger": "4", "reason": "no", "withdraw": True}]


def test_a_refused_approval_exits_with_1(fraud: Any, sidecar: Run) -> None:
    fraud.problem(APPROVALS, 409, "Gate pairs fails.", gates=GATES)

    result = sidecar("approve", "fraud", "4", "--reason", "r", "--evidence", "sha256:e1", "--json")

    assert (result.exit_code, result.stderr) == (1, "Gate pairs fails.\n")


@pytest.mark.parametrize(("command", "held", "done"), [("hold", True, "held"), ("release", False, "released")])
def test_a_version_is_held_and_released(fraud: Any, sidecar: Run, command: str, held: bool, done: str) -> None:
    path = "/v1/deployments/fraud/hold"
    fraud.answer(path, {"deployment": "fraud", "version": "4", "done": done, "audit_seq": 15})

    result = sidecar(command, "fraud", "4", "--reason", "not before May")

    assert (result.exit_code, result.stdout) == (0, f"fraud: version 4 {done} (audit 15)\n")
    assert fraud.calls[0].body == {"version": "4", "held": held, "reason": "not before May"}


@pytest.mark.parametrize(
    ("options", "body", "answer", "says"),
    [
        ((), {}, {"weight": 0.05, "audit_seq": 15}, "fraud: version 4 answers 0.05 of the requests (audit 15)\n"),
        (
            ("--dry-run",),
            {"dry_run": True},
            {"weight": 0.05, "audit_seq": None, "dry_run": True},
            "fraud: version 4 would answer 0.05 of the requests (nothing was changed)\n",
        ),
        (
            ("--abort",),
            {"abort": True},
            {"weight": 0.0, "audit_seq": None, "unrecorded": "free the disk"},
            "fraud: version 4 answers 0 of the requests (not recorded yet)\n",
        ),
    ],
)
def test_a_canary_begins_and_is_taken_back(
    fraud: Any, sidecar: Run, options: tuple[str, ...], body: dict[str, Any], answer: dict[str, Any], says: str
) -> None:
    done = {"deployment": "fraud", "from": "3", "to": "4", "generation": 1, "evidence": None} | answer
    fraud.answer("/v1/deployments/fraud/canary", done)

    result = sidecar("canary", "fraud", "4", "--reason", "a few first", *options)

    assert (result.exit_code, result.stdout) == (0, says)
    assert fraud.calls[0].body == {"challenger": "4", "reason": "a few first"} | body
    assert ("free the disk" in result.stderr) == ("unrecorded" in answer)


def test_a_refused_canary_exits_with_1_and_shows_the_gates(fraud: Any, sidecar: Run) -> None:
    fraud.problem("/v1/deployments/fraud/canary", 409, "Gate pairs fails.", gates=GATES)

    result = sidecar("canary", "fraud", "4", "--reason", "a few first")

    assert (result.exit_code, result.stderr) == (1, "Gate pairs fails.\n")
    assert "pairs" in result.stdout
