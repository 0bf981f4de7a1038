from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from registry_client.baseline import to_json
from registry_client.cache import CachedRegistry
from registry_client.errors import Unreachable
from sidecar.config import Deployment
from sidecar.config_registry import FromRegistry
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.write_back import WriteBack
from sidecar.decide.origin import Origin
from tests.control.live_samples import baseline, deployment
from tests.registry_client.hostile_registry import MOODS, Clock, HostileRegistry

VERSIONS = ("3", "4", "3")


class Seen(WriteBack):
    """What was told of where the alias is."""

    def __init__(self) -> None:
        super().__init__(None)
        self.told_of: list[dict[str, str]] = []

    def saw(self, deployment: Deployment, aliases: Mapping[str, str], asked: int) -> None:
        self.told_of.append(dict(aliases))


class Ground:
    """A registry with two versions of one model, and what synchronises with it; `restart` forgets all but the disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = HostileRegistry(folder / "registry")
        self.clock = Clock()
        self.seen = Seen()
        self.restart()

    async def fill(self) -> None:
        there = self.registry.inner
        await there.register("fraud", "3", baseline=baseline(), lineage={"data": "2026-01"})
        await there.register("fraud", "4", lineage={"data": "2026-02"})
        await there.set_alias("fraud", "champion", "3")

    def restart(self) -> None:
        self.cached = CachedRegistry(self.registry, self.folder / "cache", clock=self.clock)
        self.spoil(self.registry.mood)
        self.sync = RegistrySync(self.cached, self.seen, self.clock)

    def spoil(self, mood: str) -> None:
        self.registry.spoil(mood, self.cached)

    async def refresh(self, *versions: str, **changes: Any) -> None:
        await self.sync.refresh(deployment(**changes), versions or VERSIONS)

    @property
    def version_3(self) -> Path:
        return self.folder / "registry" / "fraud" / "versions" / "3"


@pytest.fixture
async def ground(tmp_path: Path) -> Ground:
    found = Ground(tmp_path)
    await found.fill()
    return found


async def test_baselines_and_lineage_come_from_the_registry(ground: Ground) -> None:
    sync, fraud = ground.sync, deployment(baseline="registry")
    assert sync.baseline(fraud, "3") is None
    assert (sync.status("fraud").reachable, sync.status("fraud").since) == (None, None)
    await sync.refresh(fraud, VERSIONS)
    found = sync.baseline(fraud, "3")
    assert found is not None
    assert found.digest == baseline().digest
    assert sync.baseline(fraud, "4") is None
    assert sync.lineage("fraud", "4") == {"data": "2026-02"}
    assert sync.lineage("fraud", "9") == {}
    assert (sync.knows("fraud", "4"), sync.knows("fraud", "9")) == (True, False)
    status = sync.status("fraud")
    assert (status.reachable, status.since, status.age_s, status.says) == (True, ground.clock.now, 0.0, None)


async def test_the_model_may_have_another_name_in_the_registry_than_the_deployment_here(ground: Ground) -> None:
    (ground.folder / "registry" / "fraud").rename(ground.folder / "registry" / "fraud-eu")
    for path in (ground.folder / "registry" / "fraud-eu" / "versions").glob("*/version.json"):
        path.write_text(path.read_text().replace('"model": "fraud"', '"model": "fraud-eu"'))
    named = {"model": "fraud-eu", "url": "http://fraud-{version}:8080"}
    renamed = deployment(champion=None, challengers=(), from_registry=named)
    await ground.sync.refresh(renamed, VERSIONS)
    assert ground.sync.status("fraud").reachable
    assert ground.sync.lineage("fraud", "4") == {"data": "2026-02"}
    assert ground.sync.baseline(renamed, "3") is not None
    assert ground.sync.status("fraud").age_s == 0.0


async def test_where_the_alias_is_comes_from_the_registry_itself_only(ground: Ground) -> None:
    await ground.refresh()
    assert ground.seen.told_of == [{"champion": "3"}]
    ground.spoil("garbage")
    await ground.refresh()
    ground.spoil("down")
    await ground.refresh()
    assert ground.seen.told_of == [{"champion": "3"}], "a copy is no news"
    ground.spoil("well")
    ground.clock.now += 60.0
    await ground.refresh()
    assert len(ground.seen.told_of) == 2


async def test_a_copy_is_no_news_though_another_question_was_answered_meanwhile(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ground.refresh()
    ground.restart()
    ground.seen.told_of.clear()
    failed = asyncio.Event()
    version = ground.registry.version

    async def aliases(model: str) -> dict[str, str]:
        failed.set()
        raise Unreachable(f"{model}: the connection broke")

    async def slow(model: str, of: str) -> object:
        await failed.wait()
        return await version(model, of)

    monkeypatch.setattr(ground.registry, "aliases", aliases)
    monkeypatch.setattr(ground.registry, "version", slow)
    other = asyncio.create_task(ground.cached.version("fraud", "4"))
    await asyncio.sleep(0)
    await ground.refresh()
    await other
    assert ground.seen.told_of == []


async def test_what_a_version_is_comes_from_the_registry_and_stays_while_it_is_away(ground: Ground) -> None:
    fraud = deployment()
    assert ground.sync.origin(fraud, "3") == Origin(model="fraud")
    await ground.refresh()
    known = ground.sync.origin(fraud, "3")
    assert (known.model, known.digest) == ("fraud", None)
    assert known.made_at is not None
    ground.spoil("down")
    await ground.refresh()
    assert ground.sync.origin(fraud, "3") == known


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("mood", MOODS)
async def test_what_was_fetched_stays_while_the_registry_is_of_no_use_and_since_when_is_told(
    ground: Ground, mood: str, caplog: pytest.LogCaptureFixture, *, restart: bool
) -> None:
    caplog.set_level("INFO", "sidecar.control.registry")
    fraud = deployment()
    await ground.refresh()
    ground.spoil(mood)
    if restart:
        ground.restart()
    ground.clock.now += 100.0
    began = ground.clock.now
    for _ in range(3):
        await ground.refresh()
        ground.clock.now += 3_600.0
    status = ground.sync.status("fraud")
    assert (status.reachable, status.since) == (False, began)
    assert status.age_s == 100.0 + 3 * 3_600.0
    assert status.says
    assert ground.sync.baseline_age_s(fraud, "3") == 100.0 + 3 * 3_600.0
    assert ground.sync.lineage_age_s("fraud", "4") == 100.0 + 3 * 3_600.0
    found = ground.sync.baseline(fraud, "3")
    assert found is not None
    assert found.digest == baseline().digest
    assert ground.sync.lineage("fraud", "4") == {"data": "2026-02"}
    ground.spoil("well")
    await ground.refresh()
    status = ground.sync.status("fraud")
    assert (status.reachable, status.since, status.age_s) == (True, ground.clock.now, 0.0)
    assert ground.sync.baseline_age_s(fraud, "3") == 0.0
    told = [record.message for record in caplog.records if record.name == "sidecar.control.registry"]
    assert told == ["the registry gives no usable answer", "the registry answers again"]


async def test_with_the_registry_away_and_nothing_kept_nothing_is_known_and_that_is_said(ground: Ground) -> None:
    ground.spoil("down")
    await ground.refresh()
    status = ground.sync.status("fraud")
    assert (status.reachable, status.age_s, status.says) == (False, None, "connection refused")
    assert ground.sync.baseline(deployment(), "3") is None
    assert ground.sync.baseline_age_s(deployment(), "3") is None
    assert not ground.sync.knows("fraud", "3")
    assert ground.sync.lineage_age_s("fraud", "3") is None


async def test_a_registry_that_is_too_slow_is_waited_for_once_for_all_deployments(ground: Ground) -> None:
    ground.spoil("slow")
    for name in ("fraud", "spam", "churn"):
        await ground.sync.refresh(deployment(name), VERSIONS)
    assert ground.registry.asked == ["aliases"]


async def test_a_baseline_is_as_old_as_the_registrys_last_word_that_it_is_still_the_one(ground: Ground) -> None:
    fraud = deployment()
    await ground.refresh()
    # From now on the registry answers and names another baseline, which cannot be read.
    document = json.loads((ground.version_3 / "version.json").read_text())
    document["baseline_digest"] = "sha256:" + "0" * 64
    (ground.version_3 / "version.json").write_text(json.dumps(document))
    ground.clock.now += 1_000.0
    await ground.refresh()
    assert ground.sync.baseline(fraud, "3") is not None
    assert (ground.sync.status("fraud").age_s, ground.sync.baseline_age_s(fraud, "3")) == (0.0, 1_000.0)
    assert "baseline" in str(ground.sync.status("fraud").says)
    # Restarted now, it is known that this is not the one, and not how long ago it was.
    ground.restart()
    await ground.refresh()
    assert ground.sync.baseline(fraud, "3") is not None
    assert ground.sync.baseline_age_s(fraud, "3") is None


async def test_with_a_clock_that_was_set_back_the_age_is_not_known(ground: Ground) -> None:
    await ground.refresh()
    ground.clock.now -= 3_600.0
    assert ground.sync.baseline_age_s(deployment(), "3") is None
    assert ground.sync.status("fraud").age_s is None
    await ground.refresh()
    assert ground.sync.baseline_age_s(deployment(), "3") == 0.0


async def test_one_version_that_is_not_registered_hides_nothing_of_the_others(ground: Ground) -> None:
    await ground.refresh("9", "3", "4")
    assert "9" in str(ground.sync.status("fraud").says)
    assert ground.sync.status("fraud").reachable
    assert ground.sync.lineage("fraud", "4")
    assert ground.sync.baseline(deployment(), "3") is not None


async def test_a_model_that_is_not_there_is_said(ground: Ground) -> None:
    await ground.sync.refresh(deployment("spam"), VERSIONS)
    status = ground.sync.status("spam")
    assert status.reachable
    assert "no model 'spam'" in str(status.says)


async def test_damaged_aliases_are_no_usable_answer_and_the_versions_come_all_the_same(ground: Ground) -> None:
    (ground.folder / "registry" / "fraud" / "aliases.json").write_text("{")
    await ground.refresh()
    status = ground.sync.status("fraud")
    assert not status.reachable
    assert "cannot be read" in str(status.says)
    assert ground.sync.lineage("fraud", "4")


async def test_a_damaged_baseline_is_said_and_lineage_comes_all_the_same(ground: Ground) -> None:
    (ground.version_3 / "baseline.json").write_text("{}")
    await ground.refresh()
    assert "baseline" in str(ground.sync.status("fraud").says)
    assert ground.sync.status("fraud").reachable
    assert ground.sync.lineage("fraud", "3")
    assert ground.sync.baseline(deployment(), "3") is None


async def test_a_damaged_copy_is_said(ground: Ground) -> None:
    await ground.refresh()
    for path in (ground.folder / "cache" / "answers").iterdir():
        path.write_bytes(b"damaged")
    ground.spoil("down")
    ground.restart()
    await ground.refresh()
    assert "is damaged" in str(ground.sync.status("fraud").says)
    assert ground.sync.baseline(deployment(), "3") is None


async def test_lineage_and_baselines_that_change_there_change_here(ground: Ground) -> None:
    await ground.refresh()
    await ground.registry.inner.put_baseline("fraud", "3", baseline(2))
    path = ground.folder / "registry" / "fraud" / "versions" / "4" / "version.json"
    document = json.loads(path.read_text())
    document["lineage"]["approved_by"] = "bob"
    path.write_text(json.dumps(document))
    await ground.refresh()
    found = ground.sync.baseline(deployment(), "3")
    assert found is not None
    assert found.digest == baseline(2).digest
    assert ground.sync.lineage("fraud", "4")["approved_by"] == "bob"


async def test_a_baseline_file_serves_every_version_and_is_read_again_when_it_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "baseline.json"
    fraud, sync = deployment(baseline=str(path)), RegistrySync(None)
    await sync.refresh(fraud, VERSIONS)
    await sync.refresh(fraud, VERSIONS)
    assert len([r for r in caplog.records if "baseline cannot be read" in r.message]) == 1, "said once"
    path.write_bytes(to_json(baseline()))
    await sync.refresh(fraud, VERSIONS)
    first = sync.baseline(fraud, "3")
    assert first is sync.baseline(fraud, "whatever")
    assert first is not None
    await sync.refresh(fraud, VERSIONS)
    assert sync.baseline(fraud, "3") is first, "an unchanged file is not read again"
    path.write_bytes(to_json(baseline(2)))
    os.utime(path, ns=(1, 1))
    await sync.refresh(fraud, VERSIONS)
    second = sync.baseline(fraud, "3")
    assert second is not None
    assert second.digest == baseline(2).digest
    path.write_bytes(b"\xff garbage")
    await sync.refresh(fraud, VERSIONS)
    assert sync.baseline(fraud, "3") is second, "the last good one stays"
    assert sync.status("fraud").reachable is None


async def test_a_reload_that_names_another_model_takes_over_nothing_of_the_one_before(ground: Ground) -> None:
    await ground.registry.inner.register("credit", "3")
    await ground.refresh(baseline="registry")
    fraud = deployment(baseline="registry")
    assert ground.sync.baseline(fraud, "3") is not None
    assert ground.sync.lineage("fraud", "3") == {"data": "2026-01"}

    source = FromRegistry(model="credit", url="http://credit-{version}:8080")
    credit = fraud.model_copy(update={"from_registry": source})
    await ground.sync.refresh(credit, ("3",))
    assert ground.sync.baseline(credit, "3") is None
    assert ground.sync.baseline_age_s(credit, "3") is None
    assert ground.sync.lineage("fraud", "3") == {}
