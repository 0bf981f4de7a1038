from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registry_client.baseline import Baseline
from registry_client.cache import CachedRegistry, CacheLimits, RegistryHealth
from registry_client.directory import DirectoryRegistry
from registry_client.errors import (
    AlreadyExists,
    DigestMismatch,
    InvalidDocument,
    InvalidName,
    NotFound,
    RegistryError,
    Unreachable,
)
from registry_client.from_columns import build_baseline
from tests.registry_client.hostile_registry import AWAY, MOODS, Clock, HostileRegistry

ONNX = b"not really ONNX " * 100
Read = Callable[[CachedRegistry, Path], Awaitable[Any]]


async def _bytes(cached: CachedRegistry, into: Path) -> bytes:
    return (await cached.artifact("fraud", "3", into)).read_bytes()


READS: dict[str, Read] = {
    "version": lambda cached, _: cached.version("fraud", "3"),
    "versions": lambda cached, _: cached.versions("fraud"),
    "by_alias": lambda cached, _: cached.by_alias("fraud", "champion"),
    "aliases": lambda cached, _: cached.aliases("fraud"),
    "baseline": lambda cached, _: cached.baseline("fraud", "3"),
    "artifact": _bytes,
}


def baseline(seed: int = 1) -> Baseline:
    return build_baseline({"amount": [float(seed + n) for n in range(50)]}, now=datetime(2026, 1, 1, tzinfo=UTC))


class Stage:
    """A registry that can be spoiled, with one model of two versions, and what caches it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = HostileRegistry(folder / "registry")
        self.clock = Clock()
        self.cached = self.restarted()

    async def fill(self) -> None:
        (self.folder / "model.onnx").write_bytes(ONNX)
        there = self.registry.inner
        await there.register("fraud", "3", artifact=self.folder / "model.onnx", baseline=baseline())
        await there.register("fraud", "4", lineage={"data": "2026-02"})
        await there.set_alias("fraud", "champion", "3")

    def restarted(self, **changes: Any) -> CachedRegistry:
        given: dict[str, Any] = {
            "clock": self.clock,
            "source": "file:./registry",
        }
        self.cached = CachedRegistry(self.registry, self.folder / "cache", **given | changes)
        self.spoil(self.registry.mood, *self.registry.spoiled)
        return self.cached

    def spoil(self, mood: str, *methods: str) -> None:
        self.registry.spoil(mood, self.cached, *methods)

    async def read(self, name: str) -> Any:
        return await READS[name](self.cached, self.folder / "into")

    async def read_all(self) -> dict[str, Any]:
        return {name: await self.read(name) for name in READS}

    def answers(self) -> list[Path]:
        return sorted((self.folder / "cache" / "answers").iterdir())

    def asked(self) -> list[str]:
        """Since it was looked at last."""
        found, self.registry.asked = self.registry.asked, []
        return found


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    found = Stage(tmp_path)
    await found.fill()
    return found


# --- the registry answers -------------------------------------------------------------------------------------------


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


# --- it does not ------------------------------------------------------------------------------------------------------


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
        async with asyncio.timeout(10):
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


# --- age --------------------------------------------------------------------------------------------------------------


async def test_after_a_restart_nothing_looks_younger_than_it_is_nor_much_older(stage: Stage) -> None:
    for _ in range(100):
        await stage.read("aliases")
        stage.clock.now += 10.0
    stage.clock.now += 3_590.0
    stage.spoil("down")
    stage.restarted()
    assert stage.cached.age_s("fraud") is None, "nobody has looked yet"
    await stage.read("aliases")
    age_s = stage.cached.age_s("fraud")
    assert age_s is not None
    assert 3_600.0 <= age_s <= 3_660.0


async def test_the_same_answer_is_not_written_down_each_time(stage: Stage) -> None:
    await stage.read("aliases")
    (path,) = stage.answers()
    written = path.stat().st_mtime_ns, path.stat().st_ino
    stage.clock.now += 30.0
    await stage.read("aliases")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == written
    stage.clock.now += 31.0
    await stage.read("aliases")
    assert path.stat().st_ino != written[1]


async def test_another_answer_is_written_down_at_once(stage: Stage) -> None:
    await stage.read("aliases")
    await stage.registry.inner.set_alias("fraud", "champion", "4")
    await stage.read("aliases")
    stage.spoil("down")
    stage.restarted()
    assert await stage.read("aliases") == {"champion": "4"}


async def test_with_a_clock_that_was_set_back_the_age_is_not_known_until_the_registry_answers(stage: Stage) -> None:
    await stage.read("aliases")
    stage.clock.now -= 3_600.0
    assert stage.cached.age_s("fraud") is None
    await stage.read("aliases")
    assert stage.cached.age_s("fraud") == 0.0


# --- baselines and artifacts ------------------------------------------------------------------------------------------


async def test_a_baseline_is_fetched_once_for_its_digest_also_after_a_restart(stage: Stage) -> None:
    for _ in range(3):
        await stage.read("baseline")
        stage.restarted()
    assert stage.asked().count("baseline") == 1
    await stage.registry.inner.put_baseline("fraud", "3", baseline(2))
    assert await stage.read("baseline") == baseline(2)
    assert stage.asked().count("baseline") == 1


@pytest.mark.parametrize("mood", MOODS)
async def test_a_baseline_that_does_not_come_is_the_last_good_one_told_and_not_fetched_all_the_time(
    stage: Stage, mood: str
) -> None:
    await stage.read("baseline")
    await stage.registry.inner.put_baseline("fraud", "3", baseline(2))
    stage.spoil(mood, "baseline")
    stage.asked()
    for _ in range(5):
        assert await stage.read("baseline") == baseline(1)
        assert stage.cached.fault("fraud", "3")
    assert stage.asked().count("baseline") == 1
    assert stage.cached.health.reachable, "a slow transfer is no outage"
    # Another digest is another document: it is fetched at once.
    await stage.registry.inner.put_baseline("fraud", "3", baseline(3))
    stage.spoil("well")
    assert await stage.read("baseline") == baseline(3)
    assert stage.cached.fault("fraud", "3") is None


async def test_a_baseline_that_was_repaired_is_taken_after_the_pause(stage: Stage) -> None:
    path = stage.folder / "registry" / "fraud" / "versions" / "3" / "baseline.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    for _ in range(2):
        with pytest.raises(InvalidDocument):
            await stage.read("baseline")
    path.write_bytes(whole)
    with pytest.raises(InvalidDocument):
        await stage.read("baseline")
    stage.clock.now += 5.0
    assert await stage.read("baseline") == baseline()


async def test_an_artifact_is_fetched_once_for_its_digest_also_after_a_restart(stage: Stage) -> None:
    for number in range(3):
        path = await stage.cached.artifact("fraud", "3", stage.folder / f"into-{number}")
        assert (path.name, path.read_bytes()) == ("model.onnx", ONNX)
        stage.restarted()
    assert stage.asked().count("artifact") == 1


async def test_a_damaged_copy_of_an_artifact_is_fetched_again_and_never_given(stage: Stage) -> None:
    await stage.read("artifact")
    (kept,) = (stage.folder / "cache" / "artifacts").iterdir()
    kept.write_bytes(b"evil")
    assert await stage.read("artifact") == ONNX
    kept.write_bytes(b"evil")
    stage.spoil("down")
    with pytest.raises(Unreachable):
        await stage.cached.artifact("fraud", "3", stage.folder / "elsewhere")
    assert not (stage.folder / "elsewhere" / "model.onnx").exists()
    assert "digest" in str(stage.cached.health.says)


async def test_an_artifact_of_the_wrong_digest_is_refused_and_not_fetched_all_the_time(stage: Stage) -> None:
    (stage.folder / "registry" / "fraud" / "versions" / "3" / "model.onnx").write_bytes(b"evil")
    for _ in range(3):
        with pytest.raises(DigestMismatch):
            await stage.read("artifact")
    assert stage.asked().count("artifact") == 1


async def test_an_artifact_without_a_registered_digest_is_asked_for_each_time_and_the_last_one_is_good(
    stage: Stage,
) -> None:
    path = stage.folder / "registry" / "fraud" / "versions" / "3" / "version.json"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if '"digest"' not in line))
    assert (await stage.cached.version("fraud", "3")).digest is None
    await stage.read("artifact")
    await stage.read("artifact")
    assert stage.asked().count("artifact") == 2
    stage.spoil("down")
    assert await stage.read("artifact") == ONNX


# --- the disk ---------------------------------------------------------------------------------------------------------


async def test_damaged_copies_are_told_never_served_and_replaced_by_the_next_good_answer(stage: Stage) -> None:
    good = await stage.read_all()
    for path in stage.answers():
        data = path.read_bytes()
        path.write_bytes(data[:100] + bytes([data[100] ^ 4]) + data[101:])
    stage.spoil("down")
    stage.restarted()
    for name in READS:
        with pytest.raises(Unreachable):
            await stage.read(name)
    assert "is damaged" in str(stage.cached.health.says)
    stage.spoil("well")
    stage.clock.now += 60.0
    assert await stage.read_all() == good
    assert stage.cached.health.says is None
    stage.spoil("down")
    stage.restarted()
    assert await stage.read_all() == good


async def test_a_damaged_copy_that_nobody_asks_for_again_is_told_for_an_hour(stage: Stage) -> None:
    await stage.read("version")
    (path,) = stage.answers()
    path.write_bytes(b"damaged")
    stage.spoil("down")
    stage.restarted()
    with pytest.raises(Unreachable):
        await stage.read("version")
    stage.spoil("well")
    stage.clock.now += 60.0
    await stage.read("aliases")
    assert "is damaged" in str(stage.cached.health.says)
    stage.clock.now += 3_600.0
    assert stage.cached.health.says is None


async def test_a_damaged_copy_is_replaced_though_the_answer_is_the_same_as_before(stage: Stage) -> None:
    await stage.read("baseline")
    (path,) = (path for path in stage.answers() if b'"kind":"baseline"' in path.read_bytes())
    path.write_bytes(b"damaged")
    assert await stage.read("baseline") == baseline()
    stage.spoil("down")
    stage.restarted()
    assert await stage.read("baseline") == baseline()


async def test_a_disk_that_refuses_costs_the_copies_and_no_answer(stage: Stage) -> None:
    (stage.folder / "cache").write_text("in the way")
    found = await stage.read_all()
    assert (found["aliases"], found["artifact"]) == ({"champion": "3"}, ONNX)
    assert "cannot be" in str(stage.cached.health.says)
    assert stage.cached.health.reachable
    stage.spoil("down")
    assert await stage.read("aliases") == {"champion": "3"}, "from memory"
    (stage.folder / "cache").unlink()
    stage.spoil("well")
    stage.clock.now += 60.0
    await stage.read_all()
    assert stage.cached.health.says is None


async def test_the_copies_stay_below_their_bounds(stage: Stage) -> None:
    stage.restarted(limits=CacheLimits(answer_bytes=6_000, artifact_bytes=2_000))
    for number in range(10, 30):
        (stage.folder / "model.onnx").write_bytes(bytes([number]) * 900)
        await stage.registry.inner.register("fraud", str(number), artifact=stage.folder / "model.onnx")
        await stage.cached.artifact("fraud", str(number), stage.folder / "into")
        for kind, limit in (("answers", 6_000), ("artifacts", 2_000)):
            assert sum(path.stat().st_size for path in (stage.folder / "cache" / kind).iterdir()) <= limit


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
