"""The cached registry while the registry answers: its word counts, and copies follow it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from registry_client.errors import (
    AlreadyExists,
    InvalidName,
    NotFound,
    RegistryError,
    Unreachable,
)
from tests.registry_client.cache_ground import ONNX, Stage, baseline


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    found = Stage(tmp_path)
    await found.fill()
    return found


async def test_what_is_read_is_what_the_registry_says(stage: Stage) -> None:
    there = stage.registry.inner
    found = await stage.read_all()
    assert found == {
        "version": await there.version("fraud", "3"),
        "versions": await there.versions("fraud"),
        "by_alias": await there.version("fraud", "3"),
        "aliases": {"champion": "3"},
        "baseline": baseline(),
        "artifact": ONNX,
    }
    assert (stage.cached.health.reachable, stage.cached.health.since) == (True, stage.clock.now)
    assert stage.cached.health.says is None


async def test_an_alias_that_flips_ten_times_is_followed_each_time_and_the_last_one_stays(stage: Stage) -> None:
    for number in range(10):
        version = str(3 + number % 2)
        await stage.registry.inner.set_alias("fraud", "champion", version)
        assert (await stage.cached.by_alias("fraud", "champion")).version == version
    stage.spoil("down")
    assert (await stage.cached.by_alias("fraud", "champion")).version == "4"


async def test_not_found_is_an_answer_and_what_was_known_is_forgotten(stage: Stage) -> None:
    await stage.read_all()
    shutil.rmtree(stage.folder / "registry" / "fraud" / "versions" / "3")
    for name in ("version", "by_alias", "baseline", "artifact"):
        with pytest.raises(NotFound, match="no version '3'"):
            await stage.read(name)
    with pytest.raises(NotFound, match="no alias 'challenger'"):
        await stage.cached.by_alias("fraud", "challenger")
    assert stage.cached.health.reachable
    stage.spoil("down")
    with pytest.raises(Unreachable):
        await stage.cached.version("fraud", "3")


async def test_a_version_without_a_baseline_has_none_also_while_another_has(stage: Stage) -> None:
    await stage.cached.baseline("fraud", "3")
    with pytest.raises(NotFound):
        await stage.cached.baseline("fraud", "4")
    stage.spoil("down")
    assert await stage.cached.baseline("fraud", "3") == baseline()
    with pytest.raises(RegistryError):
        await stage.cached.baseline("fraud", "4")


@pytest.mark.parametrize("name", ["", "..", "../../x", "/etc", "a\0b", "\ud800", "x" * 5_000])
async def test_hostile_names_are_the_registrys_to_refuse_and_reach_no_path(stage: Stage, name: str) -> None:
    for mood in ("well", "down"):
        stage.spoil(mood)
        for read in (stage.cached.version("fraud", name), stage.cached.version(name, "3"), stage.cached.aliases(name)):
            with pytest.raises((InvalidName, Unreachable)):
                await read
    assert {path.name for path in stage.folder.iterdir()} <= {"registry", "cache", "model.onnx"}


async def test_writes_go_straight_through_and_the_copies_know_of_them(stage: Stage) -> None:
    await stage.read_all()
    await stage.cached.set_alias("fraud", "champion", "4")
    await stage.cached.set_tags("fraud", "4", {"note": "good"})
    await stage.cached.put_baseline("fraud", "4", baseline(2))
    await stage.cached.register("fraud", "5", tags={"new": "yes"})
    with pytest.raises(AlreadyExists):
        await stage.cached.register("fraud", "5")
    stage.spoil("down")
    found = await stage.cached.by_alias("fraud", "champion")
    assert (found.version, found.tags) == ("4", {"note": "good"})
    assert found.baseline_digest == baseline(2).digest
    assert (await stage.cached.version("fraud", "5")).tags == {"new": "yes"}
    for write in (
        stage.cached.set_alias("fraud", "champion", "3"),
        stage.cached.set_tags("fraud", "3", {}),
        stage.cached.put_baseline("fraud", "3", baseline()),
        stage.cached.register("fraud", "6"),
    ):
        with pytest.raises(Unreachable):
            await write
    assert (await stage.cached.by_alias("fraud", "champion")).version == "4"


async def test_a_first_alias_is_written_though_nothing_was_read(stage: Stage) -> None:
    await stage.cached.set_alias("fraud", "champion", "4")
    assert await stage.cached.aliases("fraud") == {"champion": "4"}


async def test_what_a_caller_does_to_an_answer_changes_no_copy(stage: Stage) -> None:
    for mood in ("well", "down", "down"):
        stage.spoil(mood)
        found = await stage.cached.aliases("fraud")
        assert found == {"champion": "3"}
        assert isinstance(found, dict)
        found["champion"] = "4"


async def test_closing_closes_the_registry_inside(stage: Stage) -> None:
    await stage.cached.close()
    assert stage.registry.closed
