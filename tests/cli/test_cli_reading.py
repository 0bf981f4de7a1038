"""The commands that read: what the API answers is shown, and `--json` gives it as it came."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.errors import Unavailable
from sidecar.standing import AuditCheck

Run = Callable[..., Any]


def words(result: Any) -> str:
    """The output with single spaces, so that a table's columns are plain text."""
    return " ".join(str(result.stdout).split())


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("status",), "/v1/deployments"),
        (("gates", "fraud"), "/v1/deployments/fraud/gates"),
        (("gates", "fraud", "--challenger", "4"), "/v1/deployments/fraud/gates?challenger=4"),
        (("comparison", "fraud"), "/v1/deployments/fraud/comparison"),
        (("drift", "fraud"), "/v1/deployments/fraud/drift?against=training"),
        (("alarms",), "/v1/alarms"),
        (("audit",), "/v1/audit?after=0&limit=100"),
        (("audit", "verify"), "/v1/audit/verify"),
    ],
)
def test_json_prints_the_answer_as_it_came(fraud: Any, sidecar: Run, arguments: tuple[str, ...], path: str) -> None:
    result = sidecar(*arguments, "--json")

    assert result.stdout == fraud.answers[path][2].decode() + "\n"
    assert [call.path for call in fraud.calls] == [path]


@pytest.mark.parametrize("command", ["gates", "comparison", "drift"])
def test_a_sole_deployment_need_not_be_named(fraud: Any, sidecar: Run, command: str) -> None:
    named, unnamed = sidecar(command, "fraud"), sidecar(command)

    assert unnamed.stdout == named.stdout
    assert unnamed.exit_code == named.exit_code


def test_of_several_deployments_one_has_to_be_named(fraud: Any, sidecar: Run) -> None:
    item = json.loads(fraud.answers["/v1/deployments"][2])["items"][0]
    fraud.answer("/v1/deployments", {"items": [item, {**item, "name": "churn"}]})

    result = sidecar("gates")

    assert (result.exit_code, result.stderr) == (2, "there are several deployments; name one of fraud, churn\n")


def test_without_deployments_that_is_said(fraud: Any, sidecar: Run) -> None:
    fraud.answer("/v1/deployments", {"items": []})

    assert sidecar("gates").stderr.startswith("the sidecar has no deployments")
    assert sidecar("status").stdout.startswith("no deployments")


def test_status_shows_each_deployment_and_what_is_odd(fraud: Any, sidecar: Run) -> None:
    result = sidecar("status")

    assert result.exit_code == 0
    assert "fraud 3 2026-01-01T00:00:00.000Z 4 at 0.5 (healthy) steady 2 7" in words(result)
    assert "the configuration file differs; alias champion points at 9" in words(result)


def test_status_says_what_is_not_served_yet_and_what_an_alias_waits_for(fraud: Any, sidecar: Run) -> None:
    document = json.loads(fraud.answers["/v1/deployments"][2])
    waits = "version 5 gets nothing yet: its artifact is being fetched"
    document["items"][0]["from_registry"] = {"model": "fraud", "aliases": {"challenger": "5"}, "waits": [waits]}
    fraud.answer("/v1/deployments", document | {"waits": "Not everything is served yet. churn: no alias."})
    some = sidecar("status")
    fraud.answer("/v1/deployments", {"items": [], "waits": "Not everything is served yet. churn: no alias."})
    none = sidecar("status")

    assert waits in words(some)
    assert some.stderr == none.stderr == "Not everything is served yet. churn: no alias.\n"
    assert none.stdout == ""


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("fail", 1), ("insufficient", 1), ("off", 1)])
def test_gates_exit_with_0_only_on_a_pass(fraud: Any, sidecar: Run, verdict: str, code: int) -> None:
    path = "/v1/deployments/fraud/gates"
    fraud.answer(path, {**json.loads(fraud.answers[path][2]), "verdict": verdict})

    assert sidecar("gates").exit_code == code
    assert sidecar("gates", "--json").exit_code == code


def test_gates_show_each_gate_with_what_is_missing(fraud: Any, sidecar: Run) -> None:
    shown = words(sidecar("gates"))

    assert "fraud 4 against champion 3: … insufficient" in shown
    assert "errors ✓ pass 0 0.001 9000 fine" in shown
    assert "pairs … insufficient 12 5000 12 4988 to go" in shown
    assert "latency – off – – 0 switched off" in shown
    assert "sha256:cafe" in shown


def test_an_unknown_deployment_is_the_apis_own_sentence(fraud: Any, sidecar: Run) -> None:
    fraud.problem("/v1/deployments/frod/gates", 404, "There is no deployment frod; did you mean fraud?")

    result = sidecar("gates", "frod")

    assert (result.exit_code, result.stderr) == (2, "There is no deployment frod; did you mean fraud?\n")


def test_comparison_shows_copies_agreement_and_latency(fraud: Any, sidecar: Run) -> None:
    shown = words(sidecar("comparison"))

    assert "challenger 4 beside champion 3" in shown
    assert "copies mirrored 100 copies answered 98 errors timeout 2 dropped queue_full 5" in shown
    assert "97.00% (between 90.00% and 99.00%)" in shown
    assert "1.5 ms / 4 ms" in shown


def test_a_comparison_without_answers_shows_dashes(fraud: Any, sidecar: Run) -> None:
    path = "/v1/deployments/fraud/comparison"
    document = json.loads(fraud.answers[path][2])
    empty = {"agreement": None, "score_difference": None, "pairs": 0, "errors": {"timeout": 0}}
    latency = {"champion": {"p50": None, "p99": None}, "challenger": {"p50": None, "p99": None}}
    fraud.answer(path, {**document, **empty, "latency_ms": latency})

    shown = words(sidecar("comparison"))

    assert "errors none" in shown
    assert "agreement –" in shown


def test_drift_shows_the_worst_first_with_its_cause(fraud: Any, sidecar: Run) -> None:
    shown = words(sidecar("drift"))

    assert "severity critical, 500 of 1000 rows" in shown
    assert shown.index("score (prediction)") < shown.index("amount") < shown.index("age")
    assert "amount 500 7.5 0.3 25.00% 0.00% alarm amount is ×0.01: cents to euros" in shown


def test_drift_says_which_features_the_shift_of_predictions_goes_with(fraud: Any, sidecar: Run) -> None:
    path = "/v1/deployments/fraud/drift?against=training"
    document = json.loads(fraud.answers[path][2])
    shift = {"since": "2026-01-01T00:00:00.000Z", "rows": 256, "shares": {"amount": 0.714, "age": 0.2}, "together": 0.8}
    fraud.answer(path, {**document, "shift": shift})

    assert "the predictions' shift goes with amount 71%, age 20%" in words(sidecar("drift"))


def test_drift_against_recent_traffic_is_asked_for(fraud: Any, sidecar: Run) -> None:
    sidecar("drift", "fraud", "--against", "recent")

    assert fraud.calls[0].path == "/v1/deployments/fraud/drift?against=recent"


def test_a_deployment_without_a_baseline_says_that_nothing_is_judged(fraud: Any, sidecar: Run) -> None:
    path = "/v1/deployments/fraud/drift?against=training"
    document = json.loads(fraud.answers[path][2])
    fraud.answer(path, {**document, "baseline": {"model": None, "version": None, "digest": None}, "features": []})

    assert "there is no baseline: nothing is judged" in words(sidecar("drift"))


def test_alarms_say_what_to_do_and_whose_they_are(fraud: Any, sidecar: Run) -> None:
    shown = words(sidecar("alarms"))

    assert "amount is ×0.01 since 12:00 fix the feed, do not retrain" in shown
    assert "open risk-ml@example.com a1" in shown


def test_no_alarms_are_said_too(fraud: Any, sidecar: Run) -> None:
    fraud.answer("/v1/alarms", {"items": []})

    assert sidecar("alarms").stdout == "no alarms\n"


def test_text_from_elsewhere_is_shown_and_not_obeyed(fraud: Any, sidecar: Run) -> None:
    hostile = "[bold red]x[/] \x1b[2J\x07\r\n\u202e"
    document = json.loads(fraud.answers["/v1/alarms"][2])
    document["items"][0]["says"] = hostile
    fraud.answer("/v1/alarms", document)

    shown = sidecar("alarms").stdout

    assert "[bold red]x[/] \\x1b[2J\\x07\\r \\u202e" in shown
    assert "\x1b" not in shown


def test_a_pipe_gets_no_colours_and_no_cut_lines(fraud: Any, sidecar: Run) -> None:
    document = json.loads(fraud.answers["/v1/alarms"][2])
    document["items"][0]["says"] = "long " * 100
    fraud.answer("/v1/alarms", document)

    shown = sidecar("alarms").stdout

    assert "\x1b" not in shown
    assert ("long " * 100).strip() in shown


def test_audit_lists_entries_and_tells_how_to_go_on(fraud: Any, sidecar: Run) -> None:
    fraud.answers["/v1/audit?after=1&limit=1"] = fraud.answers["/v1/audit?after=0&limit=100"]

    result = sidecar("audit", "--after", "1", "--limit", "1")

    assert "2 2026-01-01T00:00:00.000Z alice promote fraud 3 4 gates pass" in words(result)
    assert result.stderr == "there may be more: sidecar audit --after 2\n"
    assert sidecar("audit").stderr == ""


def test_options_before_verify_would_have_no_effect_and_are_refused(fraud: Any, sidecar: Run) -> None:
    result = sidecar("audit", "--url", fraud.url, "verify")

    assert (result.exit_code, result.stderr) == (2, "options go after the word verify (see `sidecar audit --help`)\n")


def test_an_audit_trail_that_holds_exits_with_0(fraud: Any, sidecar: Run) -> None:
    result = sidecar("audit", "verify")

    assert (result.exit_code, result.stdout) == (0, "the audit trail holds: 2 entries, head sha256:beef\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_an_audit_trail_that_does_not_hold_exits_with_1_and_says_where(fraud: Any, sidecar: Run, as_json: bool) -> None:
    found = {"ok": False, "entries": 2, "head": "sha256:beef", "fault": "entry 2 was edited"}
    fraud.answer("/v1/audit/verify", found)

    result = sidecar("audit", "verify", *(["--json"] if as_json else []))

    assert (result.exit_code, result.stderr) == (1, "the audit trail does not hold: entry 2 was edited\n")
    assert (json.loads(result.stdout) if as_json else result.stdout) == (found if as_json else "")


def test_a_state_folder_is_verified_without_a_sidecar(
    sidecar: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Path] = []
    found = AuditCheck(ok=True, entries=1, head="sha256:aa")

    def verify(path: Path, *_keys_and_head: object) -> AuditCheck:
        seen.append(path)
        return found

    module = types.ModuleType("sidecar.control.store")
    vars(module)["verify_state_dir"] = verify
    monkeypatch.setitem(sys.modules, "sidecar.control.store", module)

    plain = sidecar("audit", "verify", "--state-dir", str(tmp_path))
    as_json = sidecar("audit", "verify", "--state-dir", str(tmp_path), "--json")

    assert plain.stdout == "the audit trail holds: 1 entry, head sha256:aa\n"
    assert msgspec.json.decode(as_json.stdout, type=AuditCheck) == found
    assert seen == [tmp_path, tmp_path]

    def refuse(path: Path, *_keys_and_head: object) -> AuditCheck:
        raise Unavailable("it is no state folder")

    vars(module)["verify_state_dir"] = refuse
    refused = sidecar("audit", "verify", "--state-dir", str(tmp_path))
    assert (refused.exit_code, refused.stderr) == (2, "it is no state folder\n")


def test_the_real_store_refuses_a_folder_without_a_trail(sidecar: Run, tmp_path: Path) -> None:
    result = sidecar("audit", "verify", "--state-dir", str(tmp_path))

    assert result.exit_code == 2
    assert str(tmp_path) in result.stderr
    assert result.stderr.count("\n") == 1
