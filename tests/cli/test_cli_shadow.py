"""The commands on the shadow: what is asked, what is told, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
FOUR = "/v1/deployments/fraud/challengers/4"
SHADOW = "/v1/deployments/fraud/shadow"


def change(done: str, seq: int | None = 9) -> dict[str, Any]:
    return {"deployment": "fraud", "version": "4", "done": done, "audit_seq": seq}


def test_a_challenger_is_set_with_the_settings_that_are_given_and_no_others(fraud: Any, sidecar: Run) -> None:
    fraud.answer(FOUR, change("changed"))

    result = sidecar("challenger", "set", "fraud", "4", "--fraction", "0.1", "--reason", "half of it is too much")

    assert (result.exit_code, result.stdout) == (0, "fraud: challenger 4 changed (audit 9)\n")
    assert [(call.method, call.path, call.body) for call in fraud.calls] == [
        ("PUT", FOUR, {"fraction": 0.1, "reason": "half of it is too much"})
    ]


def test_every_setting_of_the_command_line_has_its_key(fraud: Any, sidecar: Run) -> None:
    fraud.answer(FOUR, change("added"))

    sidecar(
        "challenger", "set", "fraud", "4", "--model-url", "https://m:1", "--path", "/p", "--timeout-s", "2",
        "--max-inflight", "7", "--copy-bytes", "1000", "--max-per-s", "5", "--ramp-s", "0",
        "--header", "Host: m.internal", "--header", "x-a:b:c",
    )  # fmt: skip

    assert fraud.calls[0].body == {
        "url": "https://m:1", "path": "/p", "timeout_s": 2.0, "max_inflight": 7, "copy_bytes": 1000, "max_per_s": 5.0,
        "ramp_s": 0.0, "headers": {"Host": "m.internal", "x-a": "b:c"},
    }  # fmt: skip


def test_nothing_to_set_and_a_header_without_a_value_are_said_without_asking(fraud: Any, sidecar: Run) -> None:
    nothing = sidecar("challenger", "set", "fraud", "4")
    secret = sidecar("challenger", "set", "fraud", "4", "--header", "very-secret")

    assert (nothing.exit_code, secret.exit_code) == (2, 2)
    assert nothing.stderr.startswith("give at least one setting to change")
    assert "very-secret" not in secret.stderr
    assert fraud.calls == []


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body", "done", "said"),
    [
        (
            ("challenger", "remove", "fraud", "4"),
            "DELETE",
            FOUR,
            {},
            "removed",
            "fraud: challenger 4 removed (audit 9)",
        ),
        (
            ("shadow", "off", "fraud"),
            "POST",
            SHADOW,
            {"enabled": False},
            "disabled",
            "fraud: shadow disabled (audit 9)",
        ),
        (("shadow", "on", "fraud"), "POST", SHADOW, {"enabled": True}, "enabled", "fraud: shadow enabled (audit 9)"),
    ],
)
def test_a_change_is_asked_for_and_told(
    fraud: Any, sidecar: Run, arguments: tuple[str, ...], method: str, path: str, body: Any, done: str, said: str
) -> None:
    fraud.answer(path, change(done))

    plain, with_reason, as_json = (
        sidecar(*arguments),
        sidecar(*arguments, "--reason", "r"),
        sidecar(*arguments, "--json"),
    )

    assert (plain.exit_code, plain.stdout) == (0, said + "\n")
    assert [(call.method, call.path, call.body) for call in fraud.calls[:2]] == [
        (method, path, body), (method, path, body | {"reason": "r"})
    ]  # fmt: skip
    assert (with_reason.exit_code, json.loads(as_json.stdout)) == (0, change(done))


def test_what_is_so_already_is_said(fraud: Any, sidecar: Run) -> None:
    fraud.answer(SHADOW, change("unchanged", None))

    assert sidecar("shadow", "off", "fraud").stdout == "fraud: shadow is so already\n"


@pytest.mark.parametrize(("status", "code"), [(409, 1), (400, 2), (401, 2), (403, 2), (404, 2), (503, 2)])
def test_a_refusal_exits_with_1_and_everything_else_with_2(fraud: Any, sidecar: Run, status: int, code: int) -> None:
    fraud.problem(FOUR, status, "No.")

    result = sidecar("challenger", "remove", "fraud", "4")

    assert result.exit_code == code
    assert result.stderr.startswith("No.")


def test_a_name_with_a_slash_stays_one_part_of_the_path(fraud: Any, sidecar: Run) -> None:
    sidecar("challenger", "remove", "a/b", "c/d")

    assert fraud.calls[0].path == "/v1/deployments/a%2Fb/challengers/c%2Fd"


def test_status_says_how_the_file_differs_and_that_the_shadow_is_off(fraud: Any, sidecar: Run) -> None:
    found = json.loads(fraud.answers["/v1/deployments"][2])
    found["items"][0] |= {"shadow_enabled": False, "differences": ["challenger 5 was added by a call"]}
    fraud.answer("/v1/deployments", found)

    said = sidecar("status").stdout

    assert "the shadow is switched off; challenger 5 was added by a call" in said
