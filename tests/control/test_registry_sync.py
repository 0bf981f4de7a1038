from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from registry_client.baseline import to_json
from registry_client.client import Registry, open_registry
from registry_client.errors import InvalidDocument, Unreachable
from sidecar.control.outbox import Undelivered
from sidecar.control.registry_sync import ALIAS_MOVE, RegistrySync
from sidecar.control.store import Delivery
from sidecar.decide.promotion import Rollback, decide_rollback, decide_start
from sidecar.standing import Target
from tests.control.live_samples import baseline, deployment, state

VERSIONS = ("3", "4", "3")


async def registry(folder: Path) -> Registry:
    found = open_registry(f"file:{folder}")
    await found.register("fraud", "3", baseline=baseline(), lineage={"data": "2026-01"})
    await found.register("fraud", "4", lineage={"data": "2026-02"})
    await found.set_alias("fraud", "champion", "3")
    return found


async def test_baselines_and_lineage_come_from_the_registry(tmp_path: Path) -> None:
    sync = RegistrySync(await registry(tmp_path))
    fraud = deployment(baseline="registry")
    assert sync.baseline(fraud, "3") is None
    assert sync.status("fraud").reachable is None
    await sync.refresh(fraud, state(), VERSIONS)
    found = sync.baseline(fraud, "3")
    assert found is not None
    assert found.digest == baseline().digest
    assert sync.baseline(fraud, "4") is None
    assert sync.lineage("fraud", "4") == {"data": "2026-02"}
    assert sync.lineage("fraud", "9") == {}
    status = sync.status("fraud")
    assert (status.reachable, status.diverged, status.says) == (True, False, None)


async def test_an_alias_that_someone_else_moved_is_said_and_not_followed(tmp_path: Path) -> None:
    there = await registry(tmp_path)
    sync = RegistrySync(there)
    await there.set_alias("fraud", "champion", "4")
    await sync.refresh(deployment(), state(), VERSIONS)
    status = sync.status("fraud")
    assert status.diverged
    assert status.says == "the registry's alias champion is at version 4, version 3 serves"
    assert (await there.aliases("fraud"))["champion"] == "4"


async def test_what_was_fetched_stays_when_the_registry_is_away(tmp_path: Path) -> None:
    sync = RegistrySync(await registry(tmp_path / "registry"))
    await sync.refresh(deployment(), state("4"), VERSIONS)
    (tmp_path / "registry").rename(tmp_path / "moved")
    await sync.refresh(deployment(), state("4"), VERSIONS)
    status = sync.status("fraud")
    assert (status.reachable, status.diverged) == (False, True)
    assert sync.baseline(deployment(), "3") is not None
    (tmp_path / "moved").rename(tmp_path / "registry")
    await sync.refresh(deployment(), state("3"), VERSIONS)
    assert sync.status("fraud").reachable


async def test_one_version_that_is_not_registered_hides_nothing_of_the_others(tmp_path: Path) -> None:
    sync = RegistrySync(await registry(tmp_path))
    await sync.refresh(deployment(), state("4"), ("9", "3", "4"))
    status = sync.status("fraud")
    assert status.diverged
    assert "9" in str(status.says)
    assert sync.lineage("fraud", "4")
    assert sync.baseline(deployment(), "3") is not None


async def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sync = RegistrySync(open_registry(f"file:{tmp_path / 'empty'}"))
    await sync.refresh(deployment(), state(), VERSIONS)
    status = sync.status("fraud")
    assert (status.reachable, status.diverged) == (True, False)
    assert "no model 'fraud'" in str(status.says)


async def test_a_damaged_registry_is_said_and_does_not_raise(tmp_path: Path) -> None:
    sync = RegistrySync(await registry(tmp_path))
    (tmp_path / "fraud" / "aliases.json").write_text("{")
    await sync.refresh(deployment(), state(), VERSIONS)
    assert "cannot be read" in str(sync.status("fraud").says)
    assert sync.status("fraud").reachable


async def test_a_damaged_baseline_is_said_and_lineage_comes_all_the_same(tmp_path: Path) -> None:
    sync = RegistrySync(await registry(tmp_path))
    (tmp_path / "fraud" / "versions" / "3" / "baseline.json").write_text("{}")
    await sync.refresh(deployment(), state(), VERSIONS)
    assert "baseline" in str(sync.status("fraud").says)
    assert sync.lineage("fraud", "3")
    assert sync.baseline(deployment(), "3") is None


async def test_lineage_and_baselines_that_change_there_change_here(tmp_path: Path) -> None:
    there = await registry(tmp_path)
    sync = RegistrySync(there)
    await sync.refresh(deployment(), state(), VERSIONS)
    await there.put_baseline("fraud", "3", baseline(2))
    path = tmp_path / "fraud" / "versions" / "4" / "version.json"
    document = json.loads(path.read_text())
    document["lineage"]["approved_by"] = "bob"
    path.write_text(json.dumps(document))
    await sync.refresh(deployment(), state(), VERSIONS)
    found = sync.baseline(deployment(), "3")
    assert found is not None
    assert found.digest == baseline(2).digest
    assert sync.lineage("fraud", "4")["approved_by"] == "bob"


async def test_a_baseline_file_serves_every_version_and_is_read_again_when_it_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "baseline.json"
    fraud, sync = deployment(baseline=str(path)), RegistrySync(None)
    await sync.refresh(fraud, state(), VERSIONS)
    await sync.refresh(fraud, state(), VERSIONS)
    assert len([r for r in caplog.records if "baseline cannot be read" in r.message]) == 1, "said once"
    path.write_bytes(to_json(baseline()))
    await sync.refresh(fraud, state(), VERSIONS)
    first = sync.baseline(fraud, "3")
    assert first is sync.baseline(fraud, "whatever")
    assert first is not None
    await sync.refresh(fraud, state(), VERSIONS)
    assert sync.baseline(fraud, "3") is first, "an unchanged file is not read again"
    path.write_bytes(to_json(baseline(2)))
    os.utime(path, ns=(1, 1))
    await sync.refresh(fraud, state(), VERSIONS)
    assert sync.baseline(fraud, "3") == baseline(2)
    path.write_bytes(b"\xff garbage")
    await sync.refresh(fraud, state(), VERSIONS)
    assert sync.baseline(fraud, "3") == baseline(2), "the last good one stays"


async def test_a_transition_tells_the_registry_and_a_start_does_not(tmp_path: Path) -> None:
    sync = RegistrySync(await registry(tmp_path))
    back = decide_rollback(state("4", 2, previous="3"), Rollback("bob", "worse"), {"3": Target("http://h:1")}, 1.0)
    (delivery,) = sync.deliveries(back)
    assert (delivery.kind, delivery.subject) == (ALIAS_MOVE, "fraud")
    assert RegistrySync(None).deliveries(back) == ()
    begun = decide_start(None, "fraud", "3", Target("http://h:1"), 1.0)
    assert begun is not None
    assert sync.deliveries(begun) == ()
    await sync.move_alias(Delivery(ALIAS_MOVE, "fraud", '{"model": "fraud", "version": "4"}'))
    assert (await open_registry(f"file:{tmp_path}").aliases("fraud"))["champion"] == "4"


@pytest.mark.parametrize("fault", [Unreachable("away"), InvalidDocument("damaged")])
async def test_a_move_that_fails_is_tried_again(fault: Exception) -> None:
    class Broken:
        async def set_alias(self, *_: Any) -> None:
            raise fault

    delivery = Delivery(ALIAS_MOVE, "fraud", '{"model": "fraud", "version": "4"}')
    with pytest.raises(Undelivered, match=str(fault)):
        await RegistrySync(Broken()).move_alias(delivery)  # type: ignore[arg-type]
    with pytest.raises(Undelivered, match="no registry"):
        await RegistrySync(None).move_alias(delivery)
