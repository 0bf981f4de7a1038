"""The cached registry while the registry does not answer: the last known good, and few questions."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from registry_client.cache import CachedRegistry, RegistryHealth
from registry_client.directory import DirectoryRegistry
from registry_client.errors import (
    InvalidDocument,
    InvalidName,
    Unreachable,
)
from tests.registry_client.cache_ground import READS, Stage, baseline
from tests.registry_client.hostile_registry import AWAY, MOODS


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    found = Stage(tmp_path)
    await found.fill()
    return found


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("mood", MOODS)
async def test_the_last_known_good_is_read_while_the_registry_is_of_no_use(
    stage: Stage, mood: str, *, restart: bool
) -> None:
    good = await stage.read_all()
    stage.spoil(mood)
    if restart:
        stage.restarted()
    for _ in range(3):
        assert await stage.read_all() == good
        stage.clock.now += 3_600.0
    assert stage.cached.health.reachable is (mood not in AWAY)
    assert stage.cached.age_s("fraud") == pytest.approx(3 * 3_600.0, abs=60)


@pytest.mark.parametrize("mood", MOODS)
async def test_where_nothing_is_known_the_fault_is_told(stage: Stage, mood: str) -> None:
    stage.spoil(mood)
    for name in READS:
        with pytest.raises(Unreachable if mood in AWAY else InvalidDocument):
            await stage.read(name)
    assert not (stage.folder / "into").exists() or not list((stage.folder / "into").iterdir())
    assert stage.cached.age_s("fraud") is None


async def test_copies_of_another_registry_are_no_answers(stage: Stage) -> None:
    await stage.read_all()
    stage.spoil("down")
    other = CachedRegistry(stage.registry, stage.folder / "cache", clock=stage.clock, source="file:./elsewhere")
    with pytest.raises(Unreachable):
        await other.aliases("fraud")


async def test_a_registry_that_is_away_is_asked_once_and_all_others_read_at_once(stage: Stage) -> None:
    await stage.read_all()
    stage.asked()
    stage.spoil("slow")
    assert (await stage.cached.by_alias("fraud", "champion")).version == "3"
    assert stage.asked() == ["aliases"], "one that was too slow is not asked a second question"
    for _ in range(100):
        await stage.read("version")
    assert stage.asked() == []
    health = stage.cached.health
    assert (health.reachable, health.since) == (False, stage.clock.now)
    assert "did not answer within 0.1 s" in str(health.says)


async def test_while_one_finds_out_whether_it_is_back_nobody_else_waits(stage: Stage) -> None:
    await stage.read_all()
    stage.spoil("down")
    await stage.read("version")
    stage.registry.mood = "slow"
    stage.clock.now += 60.0
    stage.asked()
    probe = asyncio.create_task(stage.cached.version("fraud", "3"))
    while not stage.registry.asked:
        await asyncio.sleep(0)
    found = await asyncio.gather(*(stage.cached.version("fraud", "3") for _ in range(50)))
    assert not probe.done()
    assert {version.version for version in found} == {"3"}
    assert stage.asked() == ["version"]
    stage.registry.held.set()
    assert (await probe).version == "3"
    assert stage.cached.health.reachable


async def test_a_probe_whose_caller_went_away_leaves_the_next_one_free_to_ask(stage: Stage) -> None:
    await stage.read_all()
    stage.spoil("down")
    await stage.read("version")
    stage.registry.mood = "slow"
    stage.clock.now += 60.0
    stage.asked()
    probe = asyncio.create_task(stage.cached.version("fraud", "3"))
    while not stage.registry.asked:
        await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    stage.spoil("well")
    await stage.read("version")
    assert stage.cached.health.reachable


async def test_many_that_wait_in_vain_at_once_are_one_outage(stage: Stage) -> None:
    await stage.read_all()
    stage.spoil("slow")
    await asyncio.gather(*(stage.cached.version("fraud", "3") for _ in range(20)))
    stage.spoil("well")
    stage.clock.now += 5.0
    await stage.read("version")
    assert stage.cached.health.reachable


async def test_a_registry_that_flaps_is_asked_seldom(stage: Stage) -> None:
    await stage.read_all()
    stage.asked()
    failures = 0
    for _ in range(600):
        asked_before = len(stage.registry.asked)
        stage.spoil("well" if stage.cached.health.reachable is False else "down")
        assert (await stage.read("version")).version == "3"
        failures += stage.registry.mood == "down" and len(stage.registry.asked) > asked_before
        stage.clock.now += 1.0
    assert failures <= 600 / 20, "each of them may have cost somebody the whole timeout"


async def test_a_folder_that_hangs_uses_up_no_threads_but_its_own(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.read_all()
    back = threading.Event()

    def hangs(*_: object) -> None:
        back.wait(60)

    monkeypatch.setattr(DirectoryRegistry, "_version", hangs)
    stage.cached._asking._timeout_s = 0.05
    try:
        for _ in range(50):
            assert (await stage.cached.version("fraud", "3")).version == "3"
            stage.clock.now += 60.0
        async with asyncio.timeout(60):
            await asyncio.gather(*(asyncio.to_thread(int) for _ in range(50)))
            assert await stage.cached.baseline("fraud", "3") == baseline(), "from disk"
        assert stage.cached.health.reachable is False
    finally:
        back.set()


async def test_an_outage_has_a_beginning_and_an_end(stage: Stage) -> None:
    await stage.read("aliases")
    began = stage.clock.now
    stage.clock.now += 100.0
    stage.spoil("down")
    await stage.read("aliases")
    assert stage.cached.health.since == began + 100.0
    stage.clock.now += 1_000.0
    await stage.read("aliases")
    assert stage.cached.health.since == began + 100.0
    assert stage.cached.health.says == "connection refused"
    stage.clock.now += 1_000.0
    stage.spoil("well")
    await stage.read("aliases")
    assert stage.cached.health == RegistryHealth(True, began + 2_100.0)
    assert stage.cached.age_s("fraud") == 0.0


async def test_garbage_about_one_version_says_nothing_of_the_registry_or_of_others(stage: Stage) -> None:
    await stage.read_all()
    document = stage.folder / "registry" / "fraud" / "versions" / "3" / "version.json"
    document.write_text("{")
    assert (await stage.cached.version("fraud", "3")).digest is not None, "the last good one"
    assert await stage.cached.aliases("fraud") == {"champion": "3"}
    assert "cannot be read" in str(stage.cached.fault("fraud", "3"))
    assert (stage.cached.fault("fraud"), stage.cached.fault("fraud", "4")) == (None, None)
    assert stage.cached.health.reachable
    stage.clock.now += 100.0
    await stage.cached.version("fraud", "3")
    await stage.cached.aliases("fraud")
    assert (stage.cached.age_s("fraud", "3"), stage.cached.age_s("fraud")) == (100.0, 0.0)


async def test_a_name_that_was_refused_before_anything_was_asked_says_nothing_of_the_registry(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.fill()
    stage.spoil("down")
    with pytest.raises(Unreachable):
        await stage.cached.aliases("fraud")
    since = stage.cached.health
    stage.clock.now += 60

    async def refused(*_: str) -> None:
        raise InvalidName("'v4' cannot be a version")

    stage.registry.version = refused  # type: ignore[assignment, method-assign]
    with pytest.raises(InvalidName):
        await stage.cached.version("fraud", "v4")
    assert stage.cached.health == since


async def test_a_folder_that_was_unmounted_is_away_and_has_not_deleted_its_models(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.fill()
    assert await stage.cached.aliases("fraud") == {"champion": "3"}
    shutil.rmtree(tmp_path / "registry")
    (tmp_path / "registry").mkdir()
    assert await stage.cached.aliases("fraud") == {"champion": "3"}
    assert stage.cached.health.reachable is False
