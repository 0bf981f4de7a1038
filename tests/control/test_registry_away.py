"""R-F17 with a whole control: whatever the registry does, rollback and what is known go on, and stale means no."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from registry_client import asking
from registry_client.client import open_registry
from tests.control.whole_control import ONE, Json, Stage, evidence, gates_pass, metrics, staged

MAX_AGE_S = 3.0


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(asking, "_FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(asking, "_LONGEST_PAUSE_S", 0.2)
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


class Folder:
    """The registry's folder, which comes and goes."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._here, self._there = stage.folder / "registry", stage.folder / "elsewhere"

    async def goes(self) -> None:
        self._here.rename(self._there)
        await self._stage.until(self._is(reachable=False))

    async def comes_back(self) -> None:
        self._there.rename(self._here)
        await self._stage.until(self._is(reachable=True))

    def _is(self, *, reachable: bool) -> Callable[[], Awaitable[bool]]:
        async def so() -> bool:
            return bool((await registry_of(self._stage))["reachable"] is reachable)

        return so


async def registry_of(stage: Stage) -> Json:
    told: Json = (await stage.get(ONE))["registry"]
    return told


async def rows(stage: Stage) -> dict[str, Json]:
    return {row["name"]: row for row in (await stage.get(f"{ONE}/gates"))["gates"]}


async def with_limit(stage: Stage, max_age_s: float) -> None:
    """Restarts control with another limit."""
    await stage.close()
    stage.document["registry"]["max_age_s"] = max_age_s
    stage.write()
    await stage.open()


async def test_promotion_of_what_is_known_and_rollback_go_on_without_the_registry(stage: Stage) -> None:
    await evidence(stage)
    await gates_pass(stage)
    folder = Folder(stage)
    await folder.goes()
    told = await registry_of(stage)
    assert told["since"].endswith("Z")
    assert "does not exist" in told["says"]
    assert told["age_s"] >= 0.0
    assert (await stage.get(f"{ONE}/gates"))["verdict"] == "pass"
    done = await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})
    assert (done["to"], stage.worker.tables[-1].routes[0].champion.version) == ("4", "4")
    back = await stage.post(f"{ONE}/rollback", {"reason": "answers hurt"})
    assert (back["to"], stage.worker.tables[-1].routes[0].champion.version) == ("3", "3")
    page = await metrics(stage)
    assert page["sidecar_registry_reachable", "deployment=fraud"] == 0
    assert page["sidecar_registry_age_seconds", "deployment=fraud"] > 0
    await folder.comes_back()
    assert (await registry_of(stage))["age_s"] < 5.0
    assert (await metrics(stage))["sidecar_registry_reachable", "deployment=fraud"] == 1


async def test_after_a_restart_without_the_registry_the_baseline_is_known_and_inputs_are_judged(stage: Stage) -> None:
    stage.worker.offer(range(50))
    await stage.paired(100)
    digest = (await stage.get(f"{ONE}/drift"))["baseline"]["digest"]
    assert digest
    folder = Folder(stage)
    await folder.goes()
    await stage.close()
    await stage.open()
    told = await registry_of(stage)
    assert (told["reachable"], told["age_s"] is not None) == (False, True)
    drift = await stage.get(f"{ONE}/drift")
    assert (drift["baseline"]["digest"], drift["rows_sampled"]) == (digest, 100), "evidence goes on, too"
    assert (await stage.get(ONE))["lineage"]["4"] == {"data": "2026-02"}
    stage.worker.offer(range(1000, 1200), euros=True)
    alarm = await stage.alarm("data.broken")
    assert "0.01 × trained" in alarm["says"]


async def test_nothing_is_promoted_on_a_baseline_beyond_its_limit_and_rollback_goes_on(stage: Stage) -> None:
    await evidence(stage)
    await gates_pass(stage)
    await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})
    await with_limit(stage, MAX_AGE_S)
    assert (await rows(stage))["inputs"]["verdict"] == "insufficient", "nothing was watched yet"

    async def too_few() -> bool:
        """Unless this machine is so slow that the registry's last word is too old for a moment."""
        return "were read and watched" in (await rows(stage))["inputs"]["detail"]

    await stage.until(too_few)
    await Folder(stage).goes()

    async def stale() -> bool:
        return "last confirmed the baseline" in (await rows(stage))["inputs"]["detail"]

    await stage.until(stale)
    row = (await rows(stage))["inputs"]
    assert (row["verdict"], f"registry.max_age_s is {MAX_AGE_S:g}" in row["detail"]) == ("insufficient", True)
    refused = await stage.post(f"{ONE}/promote", {"challenger": "3", "reason": "back by the front door"}, 409)
    assert "inputs" in [gate["name"] for gate in refused["gates"] if gate["verdict"] == "insufficient"]
    back = await stage.post(f"{ONE}/rollback", {"reason": "answers hurt"})
    assert (back["to"], stage.worker.tables[-1].routes[0].champion.version) == ("3", "3")


async def test_a_stale_baseline_alone_holds_a_promotion_up_until_the_registry_confirms_it(stage: Stage) -> None:
    await with_limit(stage, MAX_AGE_S)
    await evidence(stage)
    await gates_pass(stage)
    folder = Folder(stage)
    await folder.goes()

    async def held_up() -> bool:
        return bool((await stage.get(f"{ONE}/gates"))["verdict"] == "insufficient")

    await stage.until(held_up)
    blocking = [name for name, row in (await rows(stage)).items() if row["verdict"] not in ("pass", "off")]
    assert blocking == ["inputs"]
    wish = {"challenger": "4", "reason": "better by far"}
    refused = await stage.post(f"{ONE}/promote", wish, 409)
    assert "the registry last confirmed the baseline" in refused["detail"]
    await folder.comes_back()
    await gates_pass(stage)
    assert (await stage.post(f"{ONE}/promote", wish))["to"] == "4"


@pytest.mark.parametrize("spoil", ["garbage", "huge", "deep"])
async def test_a_registry_that_answers_with_nonsense_changes_nothing_of_what_is_known(stage: Stage, spoil: str) -> None:
    document = {"garbage": b"\xff\x00<html>", "huge": b" " * (65 << 20), "deep": b"[" * 100_000}[spoil]
    folder = stage.folder / "registry" / "fraud"
    for path in (folder / "aliases.json", folder / "versions" / "3" / "version.json"):
        path.write_bytes(document)

    async def told() -> bool:
        return bool((await registry_of(stage))["reachable"] is False)

    await stage.until(told)
    told_now = await registry_of(stage)
    assert "aliases.json" in told_now["says"]
    assert not told_now["diverged"]
    status = await stage.get(ONE)
    assert (status["champion"]["version"], status["lineage"]["3"]) == ("3", {"data": "2026-01"})
    assert (await stage.get(f"{ONE}/drift"))["baseline"]["digest"]
    stage.worker.offer(range(50))
    await stage.paired(100)


async def test_an_alias_that_flips_ten_times_moves_no_champion(stage: Stage) -> None:
    registry = open_registry(f"file:{stage.folder / 'registry'}")
    for number in range(10):
        await registry.set_alias("fraud", "champion", "34"[number % 2])

    async def diverged() -> bool:
        return bool((await registry_of(stage))["diverged"])

    await stage.until(diverged)
    status = await stage.get(ONE)
    assert (status["champion"]["version"], status["generation"]) == ("3", 1)
    assert {table.routes[0].champion.version for table in stage.worker.tables} == {"3"}
    await registry.set_alias("fraud", "champion", "3")

    async def agreed() -> bool:
        return not await diverged()

    await stage.until(agreed)


async def test_without_a_registry_nothing_has_an_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(tmp_path, monkeypatch, baseline=None) as stage:
        await stage.close()
        del stage.document["registry"]
        stage.write()
        await stage.open()
        told = await registry_of(stage)
        assert (told["reachable"], told["since"], told["age_s"]) == (None, None, None)
        page = await metrics(stage)
        assert math.isnan(page["sidecar_registry_reachable", "deployment=fraud"])
        assert math.isnan(page["sidecar_registry_age_seconds", "deployment=fraud"])
