"""The copies on disk: how old they are, damaged ones, a disk that refuses, and their bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_client.cache import CacheLimits
from registry_client.errors import (
    Unreachable,
)
from tests.registry_client.cache_ground import ONNX, READS, Stage, baseline


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    found = Stage(tmp_path)
    await found.fill()
    return found


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
