"""SIGHUP: what the file says counts from the next request on, and no caller notices."""

from __future__ import annotations

import copy
import signal
from typing import Any

from tests.process.whole_sidecar import ROW, Callers, Model, Sidecar, ask_once, until


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
    sidecar.write(sidecar.settings | {"workers": 2, "listen": "127.0.0.1:1"})
    sidecar.process.send_signal(signal.SIGHUP)

    said = until("the warning", lambda: sidecar.logged("these need a restart"))

    assert said[0]["fields"]["keys"] == "listen, workers"
    assert ask_once(sidecar.data).status == 200
