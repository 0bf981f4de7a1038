"""The same against a real MLflow server: what its own interface shows afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp

from registry_client.access import Access
from registry_client.client import open_registry
from sidecar.config import Deployment
from tests.control.store_samples import opened
from tests.control.write_back_ground import Ground
from tests.registry_client.mlflow_server import MlflowServer


async def told_by(server: MlflowServer, path: str, **query: str) -> Any:
    """MLflow's own REST interface, without this product in between."""
    url = f"{server.url}/api/2.0/mlflow/{path}?{urlencode(query)}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_promotion_and_its_rollback_are_seen_in_mlflow(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    model = f"fraud-{uuid4().hex}"
    registry = open_registry(mlflow_server.uri, access=Access(timeout_s=30))
    try:
        for month in range(1, 6):
            await registry.register(model, "", lineage={"data": f"2026-0{month}", "approved_by": "ana"})
        await registry.set_alias(model, "champion", "3")
        (tmp_path / "state").mkdir()
        async with opened(tmp_path / "state") as store:
            around = Ground(tmp_path, store, registry)
            source = {"model": model, "url": "http://fraud-{version}:8080"}
            named = Deployment.model_validate({"name": "fraud", "from_registry": source})
            versions = {"champion": around.deployment.champion, "challengers": around.deployment.challengers}
            around.deployment = named.model_copy(update=versions)
            await around.controller.start()
            assert (await around.look()).says is None

            await around.promote("4", reason="better on all of May, reviewed")
            assert await around.send() == 1
            found = await told_by(mlflow_server, "registered-models/alias", name=model, alias="champion")
            tags = {tag["key"]: tag["value"] for tag in found["model_version"]["tags"]}
            assert found["model_version"]["version"] == "4"
            assert tags["sidecar.reason"] == "better on all of May, reviewed"
            assert (tags["sidecar.promoted_by"], tags["sidecar.evidence"]) == ("alice", "sha256:e")
            entry = (await store.audit_entries(1, 1))[0]
            assert json.loads(entry.details)["lineage"]["approved_by"] == "ana"
            former = await told_by(mlflow_server, "model-versions/get", name=model, version="3")
            assert {"key": "sidecar.retired_for", "value": "4"} in former["model_version"]["tags"]

            await around.rollback()
            await around.send()
            assert await around.alias() == "3"
            assert (await around.tags("3"))["sidecar.retired_at"] == "none"
            assert (await around.tags("4"))["sidecar.retired_for"] == "3"

            await registry.set_alias(model, "champion", "5")
            diverged = (await around.look()).divergence
            assert diverged is not None
            assert (diverged.registry, diverged.sidecar) == ("5", "3")
    finally:
        await registry.close()
