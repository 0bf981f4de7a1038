"""What was counted of outcomes goes over a restart without reading them all again, and exactly."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sidecar.control.decisions import Decisions
from tests.control.whole_control import ONE, Stage, staged


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


def outcomes(numbers: range, outcome: int = 1, **more: Any) -> dict[str, Any]:
    return {"outcomes": [{"request_id": f"id-{number}", "outcome": outcome} | more for number in numbers]}


async def counted(stage: Stage) -> list[Any]:
    """What is known of outcomes, for every version and for the pair."""
    performance = (await stage.get(f"{ONE}/performance"))["items"]
    paired = (await stage.get(f"{ONE}/comparison"))["outcomes"]
    return [[(item["version"], item["matched"], item["metrics"]) for item in performance], paired["matched"]]


async def before_a_kill(stage: Stage) -> list[Any]:
    """Some outcomes before the last snapshot; after it others, one of them early, and a correction of the first."""
    stage.worker.offer(range(100))
    await stage.paired(200)
    assert (await stage.post("/v1/outcomes", outcomes(range(50))))["matched"] == 50
    await stage.control._rounds.save()
    assert (await stage.post("/v1/outcomes", outcomes(range(50, 90))))["matched"] == 40
    assert (await stage.post("/v1/outcomes", outcomes(range(1), 0, corrects=True)))["matched"] == 1
    assert (await stage.post("/v1/outcomes", outcomes(range(100, 101))))["pending"] == 1
    stage.worker.offer(range(100, 101))
    await stage.paired(202)

    async def all_of_them() -> bool:
        return {matched for _, matched, _ in (await counted(stage))[0]} == {91}

    await stage.until(all_of_them)
    return await counted(stage)


async def test_only_what_came_after_the_snapshot_is_counted_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await before_a_kill(stage)
    await stage.kill()

    def never(_: Decisions) -> AsyncIterator[Any]:
        raise AssertionError("every outcome on disk is read again")

    monkeypatch.setattr(Decisions, "matched", never)
    await stage.open()
    assert await counted(stage) == before
    await stage.control._rounds.save()
    await stage.close()
    with closing(sqlite3.connect(stage.folder / "state" / "decisions.db")) as connection:
        assert connection.execute("SELECT count(*) FROM joined").fetchone() == (1,)
    await stage.open()
    assert await counted(stage) == before


@pytest.mark.parametrize(
    "statement", ["DELETE FROM snapshot", "UPDATE snapshot SET blob = x'93ff' WHERE observer = 'quality'"]
)
async def test_without_a_snapshot_that_can_be_read_all_outcomes_are_counted_from_disk(
    stage: Stage, statement: str
) -> None:
    before = await before_a_kill(stage)
    await stage.kill()
    with closing(sqlite3.connect(stage.folder / "state" / "sidecar.db")) as connection:
        connection.execute(statement)
        connection.commit()
    await stage.open()
    assert (await counted(stage))[0] == before[0]
