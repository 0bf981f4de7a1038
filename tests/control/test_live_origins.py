"""A whole control side: a version's number that comes to stand for another model takes no evidence along."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_client.client import open_registry
from tests.control.live_samples import baseline
from tests.control.whole_control import ONE, Stage, by_alias, staged


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch, made=by_alias) as standing:
        registry = open_registry(f"file:{tmp_path / 'registry'}")
        await registry.set_alias("fraud", "challenger", "4")

        async def follows() -> bool:
            return [shadow.to.version for shadow in standing.worker.tables[-1].routes[0].shadows] == ["4"]

        await standing.until(follows)
        standing.worker.offer(range(20))
        await standing.paired(40)

        async def known() -> bool:
            return "4" in standing.control._parts.origins.known("fraud")

        await standing.until(known)
        yield standing


async def begun_anew(stage: Stage) -> None:
    async def there() -> bool:
        return await stage.pairs() == 0

    await stage.until(there)


async def again(stage: Stage, version: str, content: bytes) -> None:
    """Registered anew with another artifact, as after the deletion of a model."""
    registry = open_registry(f"file:{stage.folder / 'registry'}")
    artifact = stage.folder / "model.onnx"
    artifact.write_bytes(content)
    shutil.rmtree(stage.folder / "registry" / "fraud" / "versions" / version)
    await registry.register("fraud", version, artifact=artifact, baseline=baseline(1 if version == "3" else 2))


@pytest.mark.parametrize("version", ["3", "4"])
async def test_a_version_that_was_registered_anew_begins_evidence_anew(
    stage: Stage, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    await again(stage, version, b"other bytes")
    await begun_anew(stage)
    assert "evidence begins anew, the version is another one" in caplog.text
    stage.worker.offer(range(20, 30))
    await stage.paired(20)


async def test_also_where_that_happened_while_the_sidecar_was_down(stage: Stage) -> None:
    await stage.close()
    await again(stage, "4", b"other bytes")
    await stage.open()
    await begun_anew(stage)


async def test_a_restart_alone_keeps_it(stage: Stage) -> None:
    for _ in range(2):
        await stage.close()
        await stage.open()
        assert await stage.pairs() == 40


async def test_a_reload_that_names_another_model_at_the_same_addresses_begins_it_anew(stage: Stage) -> None:
    registry = open_registry(f"file:{stage.folder / 'registry'}")
    for version in ("3", "4"):
        await registry.register("bc", version, baseline=baseline(1 if version == "3" else 2))
    await registry.set_alias("bc", "challenger", "4")
    stage.document["deployments"][0]["from_registry"]["model"] = "bc"
    stage.write()
    await stage.control.reload()
    assert (await stage.get(ONE))["from_registry"]["model"] == "bc"
    await begun_anew(stage)
