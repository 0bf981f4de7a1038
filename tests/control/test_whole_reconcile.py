"""Alias and champion disagree, seen from outside: API, metrics, trail, and the registry's folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_client.client import Registry, open_registry
from tests.control.whole_control import ONE, Json, Stage, staged

RECONCILE = f"{ONE}/registry/reconcile"
TAKE_OURS = {"take": "sidecar", "reason": "moved by hand, by mistake"}


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


def registry_of(stage: Stage) -> Registry:
    return open_registry(f"file:{stage.folder / 'registry'}")


async def registry_status(stage: Stage) -> Json:
    found: Json = (await stage.get(ONE))["registry"]
    return found


async def diverged(stage: Stage) -> bool:
    return bool((await registry_status(stage))["diverged"])


async def test_an_alias_moved_by_hand_is_told_with_both_sides_and_put_back_by_a_person(stage: Stage) -> None:
    metric = 'sidecar_registry_diverged{deployment="fraud"}'
    assert f"{metric} 0.0" in await stage.text("/metrics")
    await registry_of(stage).set_alias("fraud", "champion", "4")
    await stage.until(lambda: diverged(stage))
    told = (await registry_status(stage))["divergence"]
    assert (told["alias"], told["registry"], told["sidecar"]) == ("champion", "4", "3")
    assert told["since"].endswith("Z")
    assert f"{metric} 1.0" in await stage.text("/metrics")
    assert "names version 4; version 3 answers callers" in await stage.text("/")
    assert (await stage.get(ONE))["champion"]["version"] == "3"

    refused = await stage.post(RECONCILE, {"take": "registry", "reason": "they are right"}, 409)
    assert "sidecar promote fraud 4" in refused["detail"]
    refused = await stage.post(RECONCILE, TAKE_OURS | {"expected": "9"}, 409)
    assert "not 9" in refused["detail"]
    done = await stage.post(RECONCILE, TAKE_OURS | {"expected": "4"})
    assert (done["from"], done["to"], done["written"]) == ("4", "3", True)
    assert (await registry_of(stage).aliases("fraud"))["champion"] == "3"
    assert not await diverged(stage)
    entries = (await stage.get("/v1/audit"))["entries"]
    assert [entry["action"] for entry in entries] == ["start", "reconcile"]
    assert (await stage.get("/v1/audit/verify"))["ok"]
    await stage.post(f"{RECONCILE}", TAKE_OURS)
    assert len((await stage.get("/v1/audit"))["entries"]) == 2, "both agree: nothing is done"


async def test_a_restart_forgets_neither_the_divergence_nor_what_was_not_told(stage: Stage) -> None:
    await registry_of(stage).set_alias("fraud", "champion", "4")
    await stage.until(lambda: diverged(stage))
    await stage.kill()
    await stage.open()
    await stage.until(lambda: diverged(stage))
    assert (await registry_of(stage).aliases("fraud"))["champion"] == "4", "never moved back unasked"


async def test_with_the_registry_away_nothing_is_reconciled(stage: Stage) -> None:
    await registry_of(stage).set_alias("fraud", "champion", "4")
    await stage.until(lambda: diverged(stage))
    (stage.folder / "registry").rename(stage.folder / "away")
    answer = await stage.post(RECONCILE, TAKE_OURS, 503)
    assert "nothing was changed" in answer["detail"]
    (stage.folder / "away").rename(stage.folder / "registry")
    assert (await stage.post(RECONCILE, TAKE_OURS))["written"]
