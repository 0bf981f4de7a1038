"""A whole sidecar whose champion and challenger a folder registry names: register, set the alias, and that is all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from registry_client.access import Access
from registry_client.client import Registry, open_registry
from registry_client.webhook import signature
from tests.process.whole_sidecar import Callers, Make, Model, Sidecar, ask_once, until
from tests.registry_client.mlflow_server import MlflowServer

ONE = "/v1/deployments/fraud"
POLL_S = 1.0


class Folder:
    """A registry in a folder, as a pipeline uses it."""

    def __init__(self, folder: Path) -> None:
        self.uri = f"file:{folder}"
        self.registry: Registry = open_registry(self.uri)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(work)

    def register(self, *versions: str) -> None:
        for version in versions:
            self.do(self.registry.register("fraud", version))

    def alias(self, alias: str, version: str) -> float:
        """When it was done."""
        self.do(self.registry.set_alias("fraud", alias, version))
        return time.monotonic()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "registry")
    made.register("3", "4", "5")
    return made


@pytest.fixture
def deployment(settings: dict[str, Any], models: dict[str, Model]) -> dict[str, Any]:
    """All versions behind one server, each at a path of its own."""
    gates = settings["deployments"][0]["gates"]
    source = {"url": models["3"].url, "path": "/{version}"}
    return {"name": "fraud", "from_registry": source, "gates": gates}


def copies(sidecar: Sidecar, version: str) -> float:
    return sidecar.metric("sidecar_shadow_requests_total", deployment="fraud", version=version)


def scoring(sidecar: Sidecar) -> list[str]:
    return [challenger["version"] for challenger in sidecar.get(ONE)["challengers"]]


def test_an_alias_set_gives_its_version_copies_and_one_moved_begins_anew(
    make: Make, folder: Folder, deployment: dict[str, Any]
) -> None:
    folder.alias("champion", "3")
    sidecar = make(registry={"uri": folder.uri, "poll_s": POLL_S}, deployments=[deployment]).start()
    with Callers(sidecar.data) as callers:
        set_at = folder.alias("challenger", "4")
        until("copies to 4", lambda: copies(sidecar, "4") > 0)
        took_s = time.monotonic() - set_at
        until("evidence on 4", lambda: sidecar.get(f"{ONE}/comparison")["pairs"] > 20)
        moved_at = folder.alias("challenger", "5")
        until("copies to 5", lambda: copies(sidecar, "5") > 0)
        moved_s = time.monotonic() - moved_at
        assert scoring(sidecar) == ["5"]
        until("evidence on 5", lambda: sidecar.get(f"{ONE}/comparison")["pairs"] > 0)

    # Counters come from workers once a second, and the machine may be busy; `make bench` has the figure.
    assert max(took_s, moved_s) < POLL_S + 20.0
    assert callers.statuses == {200}
    assert callers.versions == ["3"]
    audit = sidecar.get("/v1/audit")["entries"]
    followed = [(entry["from"], entry["to"]) for entry in audit if entry["action"] == "follow_registry"]
    assert followed == [(None, "4"), ("4", "5")]
    assert sidecar.cli("audit", "verify").returncode == 0


def test_a_webhook_has_it_followed_at_once(make: Make, folder: Folder, deployment: dict[str, Any]) -> None:
    folder.alias("champion", "3")
    registry = {"uri": folder.uri, "poll_s": 3600, "webhook_secret_env": "SIDECAR_TEST_HOOK"}
    sidecar = make({"SIDECAR_TEST_HOOK": "hush"}, registry=registry, deployments=[deployment]).start()
    data = {"name": "fraud", "alias": "challenger", "version": "4"}
    body = json.dumps({"entity": "model_version_alias", "action": "created", "data": data}).encode()
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": "d-1",
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": signature(b"hush", "d-1", stamp, body),
    }
    folder.alias("challenger", "4")
    answer = ask_once(sidecar.admin, "/v1/registry/webhook", body, headers)
    until("the challenger", lambda: scoring(sidecar) == ["4"])

    assert answer.status == 202  # and the registry is asked by itself once an hour


def test_a_restart_keeps_the_champion_whoever_moved_its_alias_and_says_so(
    make: Make, folder: Folder, deployment: dict[str, Any]
) -> None:
    folder.alias("champion", "3")
    folder.alias("challenger", "4")
    registry = {"uri": folder.uri, "poll_s": POLL_S}
    sidecar = make(registry=registry, deployments=[deployment]).start()
    with Callers(sidecar.data) as callers:
        callers.more(30)
        until("evidence", lambda: sidecar.get(f"{ONE}/gates")["verdict"] == "pass")
    promoted = sidecar.cli("promote", "fraud", "4", "--reason", "better by far")
    until("the alias", lambda: folder.do(folder.registry.aliases("fraud"))["champion"] == "4")
    folder.alias("champion", "5")
    until("the divergence", lambda: sidecar.get(ONE)["registry"]["diverged"])
    assert sidecar.stop() == 0
    sidecar.start()
    until("ready", sidecar.ready)

    assert promoted.returncode == 0, promoted.stderr
    assert ask_once(sidecar.data).version == "4"
    until("the divergence", lambda: sidecar.get(ONE)["registry"]["diverged"])
    assert scoring(sidecar) == ["3"]


@pytest.mark.parametrize("with_upstream", [False, True])
def test_a_deployment_of_which_nothing_is_known_waits_and_the_others_serve(
    make: Make, folder: Folder, deployment: dict[str, Any], models: dict[str, Model], *, with_upstream: bool
) -> None:
    other = {
        "name": "other",
        "match": {"path": "/other"},
        "champion": {"version": "1", "url": models["4"].url},
    }
    registry = {"uri": folder.uri, "poll_s": POLL_S}
    upstream = models["5"].url if with_upstream else None
    sidecar = make(registry=registry, deployments=[deployment, other], upstream=upstream).start()
    until("the other one", lambda: ask_once(sidecar.data, "/other").status == 200)
    waiting = ask_once(sidecar.admin, "/readyz", None)
    unrouted = ask_once(sidecar.data)
    folder.alias("champion", "3")
    until("ready", sidecar.ready)

    assert waiting.status == 503
    assert "fraud: the registry's alias champion is not known" in waiting.document["detail"]
    assert (unrouted.status, unrouted.headers["sidecar-error"]) == (503, "no_champion")
    assert ask_once(sidecar.data, "/else").status == (200 if with_upstream else 404)
    assert ask_once(sidecar.data).version == "3"


def test_mlflows_own_webhook_has_it_followed_at_once(
    make: Make, mlflow_server: MlflowServer, deployment: dict[str, Any]
) -> None:
    model = f"fraud-{uuid4().hex}"

    async def train() -> None:
        registry = open_registry(mlflow_server.uri, access=Access(timeout_s=30))
        for _ in range(2):
            await registry.register(model, "")
        await registry.set_alias(model, "champion", "1")
        await registry.close()

    asyncio.run(train())
    deployment["from_registry"]["model"] = model
    registry = {
        "uri": mlflow_server.uri,
        "poll_s": 3600,
        "timeout_s": 20.0,
        "webhook_secret_env": "SIDECAR_TEST_HOOK",
    }
    sidecar = make({"SIDECAR_TEST_HOOK": "hush-hush"}, registry=registry, deployments=[deployment]).start()
    until("that it serves", lambda: ask_once(sidecar.data).version == "1")
    told = {
        "name": model,
        "url": f"{sidecar.admin}/v1/registry/webhook",
        "secret": "hush-hush",
        "events": [{"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}],
    }
    headers = {"Content-Type": "application/json"}
    made = ask_once(mlflow_server.url, "/api/2.0/mlflow/webhooks", json.dumps(told).encode(), headers)
    alias = json.dumps({"name": model, "alias": "challenger", "version": "2"}).encode()
    ask_once(mlflow_server.url, "/api/2.0/mlflow/registered-models/alias", alias, headers)
    until("the challenger", lambda: scoring(sidecar) == ["2"])

    assert made.status == 200, made
    assert ask_once(sidecar.data).version == "1"
