"""Versions that arrive by themselves: an alias in a folder registry becomes a model server and gets copies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from onnx import ModelProto

from registry_client.access import Access
from registry_client.client import open_registry
from registry_client.directory import DirectoryRegistry
from tests.model_server.tiny_models import times, written
from tests.process.whole_sidecar import Answer, Callers, Make, Sidecar, ask, ask_once, command, connect, until
from tests.registry_client.mlflow_server import MlflowServer

MODULE = "sidecar.app.model"
ROW = json.dumps({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.5]}]}).encode()
ONE = "/v1/deployments/fraud"


class Registry:
    """A folder registry as a pipeline fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._registry = DirectoryRegistry(folder)

    def register(self, version: str, model: ModelProto | bytes) -> None:
        path = self.folder.parent / f"trained-{version}.onnx"
        if isinstance(model, bytes):
            path.write_bytes(model)
        else:
            written(model, path)
        asyncio.run(self._registry.register("fraud", version, artifact=path))

    def alias(self, alias: str, version: str) -> None:
        asyncio.run(self._registry.set_alias("fraud", alias, version))

    def corrupt(self, version: str) -> None:
        path = self.folder / "fraud" / "versions" / version / "model.onnx"
        path.write_bytes(path.read_bytes()[:-1] + b"x")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "registry")
    registry.register("3", times(2.0))
    registry.register("4", times(3.0))
    registry.alias("champion", "3")
    return registry


@pytest.fixture
def settings(registry: Registry, tmp_path: Path) -> dict[str, Any]:
    off = ("pairs", "duration", "completeness", "errors", "latency", "agreement", "prediction", "outcome", "inputs")
    return {
        "listen": "127.0.0.1:0",
        "state_dir": str(tmp_path / "state"),
        "admin": {"listen": "127.0.0.1:0"},
        "registry": {"uri": f"file:{registry.folder}", "poll_s": 0.3},
        "timeouts": {"drain_s": 50},
        "deployments": [
            {"name": "fraud", "from_registry": {"managed": True}, "gates": dict.fromkeys((*off, "lineage"), False)}
        ],
    }


def served(sidecar: Sidecar) -> Answer:
    return ask_once(sidecar.data, body=ROW)


def serving(sidecar: Sidecar, version: str = "3") -> bool:
    answer = served(sidecar)
    return answer.status == 200 and answer.version == version


def score(answer: Answer) -> float:
    return float(answer.document["outputs"][0]["data"][0])


def copies(sidecar: Sidecar, version: str, outcome: str = "ok") -> float:
    """How many a version answered, after one more request."""
    served(sidecar)
    return sidecar.metric("sidecar_shadow_requests_total", version=version, outcome=outcome)


def server(sidecar: Sidecar, version: str) -> int:
    """The process that serves a version; waits for it."""

    def look() -> list[int]:
        return [pid for pid in sidecar.child(MODULE) if f"--version={version} " in command(pid)]

    return int(until(f"a model server of version {version}", look)[0])


def test_the_champion_by_alias_is_fetched_run_and_served(make: Make) -> None:
    sidecar = make().start()
    until("that it serves", lambda: serving(sidecar))

    assert score(served(sidecar)) == 3.0
    assert sidecar.get(ONE)["champion"]["version"] == "3"
    assert len(sidecar.child(MODULE)) == 1
    until("that it is ready", sidecar.ready)
    assert sidecar.stop() == 0
    assert not any(command(pid) for pid in sidecar.family)
    assert list(Path(sidecar._environment["TMPDIR"]).iterdir()) == []
    assert sidecar.sentences == []


def test_an_alias_becomes_a_running_challenger_and_its_evidence_goes_over_a_restart(
    make: Make, registry: Registry
) -> None:
    sidecar = make().start()
    until("that it serves", lambda: serving(sidecar))
    registry.alias("challenger", "4")
    until("copies to 4", lambda: copies(sidecar, "4") >= 3)
    assert copies(sidecar, "4", "connect") == 0  # none before it was ready
    generation = sidecar.get(ONE)["generation"]
    # What a killed control had not written yet is lost; so the snapshots first.
    until("the snapshots", lambda: sidecar.get(f"{ONE}/comparison?challenger=4")["mirrored"] >= 3)
    assert sidecar.stop() == 0

    again = make(state_dir=sidecar.settings["state_dir"]).start()
    until("that it serves again", lambda: serving(again))
    until("copies to 4 again", lambda: copies(again, "4") >= 1)
    assert again.get(ONE)["generation"] == generation
    until("more than before", lambda: again.get(f"{ONE}/comparison?challenger=4")["mirrored"] >= 4)


def test_a_killed_model_server_is_started_again_and_nothing_else_is(make: Make, registry: Registry) -> None:
    registry.alias("challenger", "4")
    sidecar = make().start()
    until("that it serves", lambda: serving(sidecar))
    champion, challenger = server(sidecar, "3"), server(sidecar, "4")
    control, worker = sidecar.control, sidecar.worker

    with Callers(sidecar.data, 1) as callers:
        os.kill(challenger, signal.SIGKILL)
        until("another server of 4", lambda: server(sidecar, "4") != challenger)
        callers.more(20)
    assert callers.statuses <= {400}  # the callers' own row has another shape; nobody was refused by the sidecar
    os.kill(champion, signal.SIGKILL)
    until("another server of 3", lambda: server(sidecar, "3") != champion)
    until("that it serves again", lambda: serving(sidecar))

    assert (sidecar.control, sidecar.worker) == (control, worker)
    assert sidecar.get(ONE)["champion"]["version"] == "3"


def test_model_servers_outlive_control(make: Make, registry: Registry) -> None:
    registry.alias("challenger", "4")
    sidecar = make().start()
    until("copies to 4", lambda: serving(sidecar) and copies(sidecar, "4") >= 1)
    before, control = [server(sidecar, "3"), server(sidecar, "4")], sidecar.control
    until("the snapshots", lambda: sidecar.get(f"{ONE}/comparison?challenger=4")["mirrored"] >= 1)
    generation = sidecar.get(ONE)["generation"]

    os.kill(control, signal.SIGKILL)
    with contextlib.closing(connect(sidecar.data)) as connection:
        answers = [ask(connection, body=ROW) for _ in range(50)]
    until("another control", lambda: sidecar.control != control and sidecar.ready())

    assert {(answer.status, answer.version) for answer in answers} == {(200, "3")}
    assert [server(sidecar, "3"), server(sidecar, "4")] == before
    assert sidecar.get(ONE)["generation"] == generation
    count = copies(sidecar, "4")
    until("more copies to 4", lambda: copies(sidecar, "4") > count)


@pytest.mark.parametrize("fault", ["garbage", "corrupt"])
def test_an_artifact_that_will_not_do_is_told_and_harms_nobody(make: Make, registry: Registry, fault: str) -> None:
    registry.register("5", b"garbage, and registered as it is" * 100 if fault == "garbage" else times(4.0))
    if fault == "corrupt":
        registry.corrupt("5")
    sidecar = make().start()
    until("that it serves", lambda: serving(sidecar))
    registry.alias("challenger", "5")
    says = "is not a usable ONNX model" if fault == "garbage" else "has digest"
    until("that it is told", lambda: says in json.dumps(sidecar.get(ONE)))

    with contextlib.closing(connect(sidecar.data)) as connection:
        answers = [ask(connection, body=ROW) for _ in range(100)]
    assert {(answer.status, answer.version) for answer in answers} == {(200, "3")}
    assert copies(sidecar, "5") == 0
    died = [datetime.fromisoformat(line["time"]) for line in sidecar.logged("child died")]
    assert all((later - sooner).total_seconds() > 3 for sooner, later in pairwise(died)), "no crash loop"
    if fault == "corrupt":
        assert sidecar.logged("child died") == []
    registry.alias("challenger", "4")
    until("copies to 4", lambda: copies(sidecar, "4") >= 1)


def test_with_the_registry_away_a_restart_serves_what_was_fetched(make: Make, registry: Registry) -> None:
    registry.alias("challenger", "4")
    sidecar = make().start()
    until("copies to 4", lambda: serving(sidecar) and copies(sidecar, "4") >= 1)
    assert sidecar.stop() == 0
    registry.folder.rename(registry.folder.with_name("away"))

    again = make(state_dir=sidecar.settings["state_dir"]).start()
    until("that it serves again", lambda: serving(again))
    until("copies to 4 again", lambda: copies(again, "4") >= 1)


def test_a_promoted_version_serves_and_the_former_one_is_there_for_a_rollback(make: Make, registry: Registry) -> None:
    registry.alias("challenger", "4")
    sidecar = make().start()
    until("copies to 4", lambda: serving(sidecar) and copies(sidecar, "4") >= 1)
    promoted = sidecar.cli("promote", "fraud", "4", "--reason", "it is better")
    assert promoted.returncode == 0, promoted.stderr
    assert score(served(sidecar)) == 4.5

    assert {"3", "4"} == {v for v in "34" if server(sidecar, v)}
    back = sidecar.cli("rollback", "fraud", "--reason", "it is not")
    assert back.returncode == 0, back.stderr
    assert score(served(sidecar)) == 3.0


def test_no_secret_of_the_environment_reaches_a_model(make: Make) -> None:
    sidecar = make({"SIDECAR_SECRET_OF_TEST": "hunter2"}).start()
    until("that it serves", lambda: serving(sidecar))

    assert b"hunter2" in Path(f"/proc/{sidecar.control}/environ").read_bytes()
    assert b"hunter2" not in Path(f"/proc/{server(sidecar, '3')}/environ").read_bytes()


def test_a_killed_supervisor_leaves_no_model_server(make: Make) -> None:
    sidecar = make().start()
    until("that it serves", lambda: serving(sidecar))
    model = server(sidecar, "3")
    sidecar.process.kill()
    sidecar.process.wait()
    until("the model server's end", lambda: not command(model))


def test_a_version_in_mlflow_arrives_by_its_alias(
    make: Make, mlflow_server: MlflowServer, settings: dict[str, Any], tmp_path: Path
) -> None:
    model = f"risk {uuid4().hex}"

    async def train() -> None:
        registry = open_registry(mlflow_server.uri, access=Access(timeout_s=30))
        for factor in (2.0, 3.0):
            await registry.register(model, "", artifact=written(times(factor), tmp_path / "trained.onnx"))
        await registry.set_alias(model, "champion", "1")
        await registry.set_alias(model, "challenger", "2")
        await registry.close()

    asyncio.run(train())
    deployment = settings["deployments"][0] | {"from_registry": {"model": model, "managed": True}}
    registry = {"uri": mlflow_server.uri, "poll_s": 0.5, "timeout_s": 20.0}
    sidecar = make(registry=registry, deployments=[deployment]).start()
    until("copies to 2", lambda: serving(sidecar, "1") and copies(sidecar, "2") >= 1)
    assert score(served(sidecar)) == 3.0
    assert sidecar.get(ONE)["challengers"][0]["version"] == "2"


def test_sigterm_while_the_champion_is_starting_ends_it_cleanly(make: Make) -> None:
    sidecar = make().begin()
    until("a model server", lambda: sidecar.child(MODULE))

    assert sidecar.stop() == 0
    assert not any(command(pid) for pid in sidecar.family)
    assert sidecar.sentences == []
