"""A canary under traffic with real workers: callers see two versions for a while, and never a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.process.whole_sidecar import Callers, Make, Model, Sidecar, until

ONE = "/v1/deployments/fraud"


@pytest.fixture
def four() -> Iterator[Model]:
    model = Model("4")
    yield model
    model.close()


@pytest.fixture
def sidecar(make: Make, settings: dict[str, Any], four: Model) -> Sidecar:
    (deployment,) = settings["deployments"]
    deployment["challengers"] = [{"version": "4", "url": four.url}]
    deployment["gates"] |= {"errors": {"max_increase": 0.01}, "completeness": {"min": 0.99}}
    steps = [{"weight": 0.3, "dwell_s": 0, "min_pairs": 150}, {"weight": 0.7, "dwell_s": 0, "min_pairs": 150}]
    deployment["promotion"] = {"canary": {"steps": steps}}
    return make(workers=2).start()


def begin(sidecar: Sidecar) -> None:
    until("the gates pass", lambda: sidecar.get(f"{ONE}/gates")["verdict"] == "pass")
    begun = sidecar.cli("canary", "fraud", "4", "--reason", "a few first")
    assert begun.returncode == 0, begun.stderr
    assert "version 4 answers 0.3 of the requests" in begun.stdout


def test_its_steps_pass_under_traffic_and_it_is_promoted(sidecar: Sidecar) -> None:
    with Callers(sidecar.data) as callers:
        begin(sidecar)
        until("it answers", lambda: sidecar.metric("sidecar_requests_total", version="4") > 0)
        until("the second step", lambda: (sidecar.get(ONE)["canary"] or {}).get("step") == 2)
        waits = "every step has passed"
        until("it is ready", lambda: waits in sidecar.get(ONE)["automation"].get("4", ""))
        promoted = sidecar.cli("promote", "fraud", "4", "--reason", "it did well")
        assert promoted.returncode == 0, promoted.stderr
        callers.more(50)
    assert (callers.faults, callers.statuses) == ([], {200})
    assert sidecar.metric("sidecar_canary_weight") == 0.0
    assert sidecar.cli("audit", "verify").returncode == 0
    assert sidecar.stop() == 0


def test_callers_lose_nothing_while_it_fails_and_it_is_taken_back(sidecar: Sidecar, four: Model) -> None:
    with Callers(sidecar.data) as callers:
        begin(sidecar)
        until("it answers", lambda: sidecar.metric("sidecar_requests_total", version="4") > 0)
        four.fails.set()
        until("it is taken back", lambda: sidecar.get(ONE)["canary"] is None)
        callers.more(50)
    assert (callers.faults, callers.statuses) == ([], {200})
    assert sidecar.get(ONE)["champion"]["version"] == "3"
    entry = sidecar.get("/v1/audit?after=1")["entries"][-1]
    assert (entry["action"], entry["actor"]) == ("canary_stop", "sidecar")
    assert "gate errors fails" in entry["reason"]
    assert sidecar.cli("audit", "verify", "--state-dir", str(sidecar.state_dir)).returncode == 0
