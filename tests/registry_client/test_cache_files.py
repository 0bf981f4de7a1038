"""Cached baselines and artifacts: fetched once for their digest, never given when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_client.errors import (
    DigestMismatch,
    InvalidDocument,
    Unreachable,
)
from tests.registry_client.cache_ground import ONNX, Stage, baseline
from tests.registry_client.hostile_registry import MOODS


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    found = Stage(tmp_path)
    await found.fill()
    return found


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
