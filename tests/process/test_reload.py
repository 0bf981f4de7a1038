"""SIGHUP: what the file says counts from the next request on, and no caller notices."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
from pathlib import Path
from typing import Any

import trustme

from tests.process.whole_sidecar import ROW, Answer, Callers, Make, Model, Sidecar, ask, ask_once, connect, until

ONE = "/v1/deployments/fraud"


def reload(sidecar: Sidecar, settings: dict[str, Any]) -> None:
    """Writes the file, sends SIGHUP, and waits until control says what became of it."""
    said = ("the configuration was reloaded", "the configuration was not reloaded")
    before = sum(len(sidecar.logged(event)) for event in said)
    sidecar.write(settings)
    sidecar.process.send_signal(signal.SIGHUP)
    until("the reload", lambda: sum(len(sidecar.logged(event)) for event in said) > before)


def call(sidecar: Sidecar, method: str, path: str, body: Any = None) -> Answer:
    with contextlib.closing(connect(sidecar.admin)) as connection:
        sent = None if body is None else json.dumps(body).encode()
        connection.request(method, path, sent, {"content-type": "application/json"})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def copies(sidecar: Sidecar, version: str) -> float:
    return sidecar.metric("sidecar_shadow_requests_total", version=version, outcome="ok")


def test_a_reload_adds_a_challenger_and_changes_a_limit_without_a_failed_request(
    sidecar: Sidecar, models: dict[str, Model]
) -> None:
    changed: dict[str, Any] = copy.deepcopy(sidecar.settings)
    changed["deployments"][0]["challengers"].append({"version": "5", "url": models["5"].url})
    changed["limits"] = {"body_bytes": 1000, "mirror_body_bytes": 1000}
    assert ask_once(sidecar.data, body=ROW + b" " * 2000).status == 200

    with Callers(sidecar.data) as callers:
        callers.more(20)
        sidecar.write(changed)
        sidecar.process.send_signal(signal.SIGHUP)
        until("copies to 5", lambda: sidecar.metric("sidecar_shadow_requests_total", version="5", outcome="ok"))
        callers.more(20)

    assert (callers.faults, callers.statuses) == ([], {200})
    status = sidecar.get("/v1/deployments/fraud")
    assert [challenger["version"] for challenger in status["challengers"]] == ["4", "5"]
    assert ask_once(sidecar.data, body=ROW + b" " * 2000).status == 413


def test_a_bad_file_is_refused_and_serving_goes_on(sidecar: Sidecar) -> None:
    before = sidecar.get("/v1/deployments/fraud")
    with Callers(sidecar.data) as callers:
        callers.more(5)
        sidecar.config.write_text("deployments: []\nchampoin: 3\n", encoding="utf-8")
        sidecar.process.send_signal(signal.SIGHUP)
        refused = until("the refusal", lambda: sidecar.logged("the configuration was not reloaded"))
        callers.more(5)

    assert "config.yaml:2: champoin: unknown key" in refused[0]["fields"]["says"]
    assert (callers.faults, callers.statuses) == ([], {200})
    assert sidecar.get("/v1/deployments/fraud") == before


def test_what_needs_a_restart_is_said(sidecar: Sidecar) -> None:
    admin = {"listen": "127.0.0.1:2"}
    changed = sidecar.settings | {"workers": 2, "listen": "127.0.0.1:1", "state_dir": "/elsewhere", "admin": admin}
    reload(sidecar, changed)

    (said,) = sidecar.logged("these need a restart")

    assert said["fields"]["keys"] == "listen, workers, state_dir, admin.listen"
    assert ask_once(sidecar.data).status == 200


def test_an_open_connection_sees_new_limits_and_its_next_request_goes_to_the_new_challengers(
    sidecar: Sidecar, models: dict[str, Model]
) -> None:
    changed: dict[str, Any] = copy.deepcopy(sidecar.settings)
    changed["deployments"][0]["challengers"] = [{"version": "5", "url": models["5"].url}]
    changed["limits"] = {"body_bytes": 1000, "mirror_body_bytes": 1000}
    with contextlib.closing(connect(sidecar.data)) as connection:
        assert ask(connection, body=ROW + b" " * 2000).status == 200
        socket = connection.sock
        until("a copy to 4", lambda: copies(sidecar, "4"))

        reload(sidecar, changed)
        before = copies(sidecar, "4")
        assert ask(connection).status == 200
        assert connection.sock is socket, "the connection lived through the reload"
        until("a copy to 5", lambda: copies(sidecar, "5"))
        assert copies(sidecar, "4") == before
        assert ask(connection, body=ROW + b" " * 2000).status == 413


def issued(folder: Path, name: str) -> dict[str, str]:
    pair = trustme.CA().issue_cert("localhost")
    pair.private_key_pem.write_to_path(folder / f"{name}.key")
    pair.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    return {"cert_file": str(folder / f"{name}.pem"), "key_file": str(folder / f"{name}.key")}


def unworkable(settings: dict[str, Any], folder: Path, fault: str) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(settings)
    changed["limits"] = {"body_bytes": 10, "mirror_body_bytes": 10}
    challenger = changed["deployments"][0]["challengers"][0]
    match fault:
        case "tls.key_file":
            changed["tls"] = issued(folder, "a") | {"key_file": issued(folder, "b")["key_file"]}
        case "tls.ca_file":
            challenger["url"] = "https://127.0.0.1:1"
            challenger["tls"] = {"ca_file": str(folder / "gone.pem")}
        case "headers.transfer-encoding":
            challenger["headers"] = {"transfer-encoding": "chunked"}
        case "url":
            changed["listen"] = challenger["url"].removeprefix("http://")
    return changed


def test_a_file_that_could_not_work_changes_nothing_and_every_fault_is_logged(sidecar: Sidecar, tmp_path: Path) -> None:
    before = sidecar.get(ONE)
    faults = ("tls.key_file", "tls.ca_file", "headers.transfer-encoding", "url")
    for fault in faults:
        reload(sidecar, unworkable(sidecar.settings, tmp_path, fault))

    refused = [line["fields"]["says"] for line in sidecar.logged("the configuration was not reloaded")]
    assert [key in says and "config.yaml:" in says for key, says in zip(faults, refused, strict=True)] == [True] * 4
    assert sidecar.get(ONE) == before
    assert ask_once(sidecar.data).status == 200


def test_tls_is_not_switched_on_by_a_reload(sidecar: Sidecar, tmp_path: Path) -> None:
    reload(
        sidecar, sidecar.settings | {"tls": issued(tmp_path, "a"), "limits": {"body_bytes": 10, "mirror_body_bytes": 9}}
    )

    assert sidecar.logged("these need a restart")[0]["fields"]["keys"] == "tls"
    assert ask_once(sidecar.data).status == 413, "the rest of the file counts"


def test_the_kill_switch_and_changed_challengers_count_live_and_with_control_killed(
    sidecar: Sidecar, models: dict[str, Model]
) -> None:
    with Callers(sidecar.data) as callers:
        until("copies to 4", lambda: copies(sidecar, "4"))
        assert call(sidecar, "POST", f"{ONE}/shadow", {"enabled": False}).status == 200
        until("dropped ones", lambda: sidecar.metric("sidecar_shadow_dropped_total", version="4", reason="disabled"))
        callers.more(10)
        sidecar.cli("shadow", "on", "fraud")
        added = sidecar.cli("challenger", "set", "fraud", "5", "--model-url", models["5"].url)
        assert (added.returncode, added.stdout) == (0, "fraud: challenger 5 added (audit 4)\n")
        until("copies to 5", lambda: copies(sidecar, "5"))
        removed = call(sidecar, "DELETE", f"{ONE}/challengers/4")
        assert (removed.status, removed.document["done"]) == (200, "removed")
        control = sidecar.control
        os.kill(control, signal.SIGKILL)
        until("another control", lambda: sidecar.child("sidecar.app.control") not in ([], [control]))
        until("it routes", sidecar.ready)
        status = sidecar.get(ONE)
        callers.more(10)

    assert (callers.faults, callers.statuses) == ([], {200})
    assert [challenger["version"] for challenger in status["challengers"]] == ["5"]
    assert status["differences"] == ["challenger 5 was added by a call", "challenger 4 was removed by a call"]
    assert sidecar.cli("audit", "verify").returncode == 0


def test_a_token_is_changed_without_a_restart_and_a_missing_file_changes_nothing(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "alice"
    file.write_text("the-first-secret")
    tokens = [{"name": "alice", "role": "viewer", "token_file": str(file)}]
    sidecar = make(admin={"listen": "127.0.0.1:0", "tokens": tokens}).start()

    def status(secret: str) -> int:
        return ask_once(sidecar.admin, ONE, None, {"Authorization": f"Bearer {secret}"}).status

    assert (status("the-first-secret"), status("the-second-secret")) == (200, 401)
    file.write_text("the-second-secret")
    assert status("the-first-secret") == 200  # nobody said that it changed
    reload(sidecar, sidecar.settings)
    assert (status("the-first-secret"), status("the-second-secret")) == (401, 200)

    file.unlink()
    reload(sidecar, sidecar.settings)
    (said,) = sidecar.logged("the configuration was not reloaded")
    assert "cannot be read" in said["fields"]["says"]
    assert status("the-second-secret") == 200
    assert "secret" not in sidecar.said
