"""Bytes that a disk changed: the store is sound or refused, decisions are set aside, a wrong champion never serves.

R-C06. Also a backup of one file beside the newer other one.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sidecar.control.decisions import FILE_NAME
from sidecar.control.store import StoreError
from tests.control.store_samples import deed, folder_with, opened, state
from tests.control.whole_control import ONE, Stage, evidence, gates_pass, staged

PAGE = 4096


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


@pytest.mark.parametrize("slice_number", range(4))
async def test_no_flipped_byte_of_any_page_makes_another_champion(tmp_path: Path, slice_number: int) -> None:
    """Places in every page: its head, the cells' pointers, and what it holds from the end on."""
    folder = await folder_with(tmp_path, 5)
    whole = (folder / "sidecar.db").read_bytes()
    places = [
        page + at for page in range(0, len(whole), PAGE) for at in (0, 1, 3, 5, 7, 8, 12, 40, 2000, 3500, 4000, 4090)
    ]
    refused = sound = 0
    for place in places[slice_number::4]:
        spoiled = bytearray(whole)
        spoiled[place] ^= 0x55
        (folder / "sidecar.db").write_bytes(spoiled)
        for beside in ("sidecar.db-wal", "sidecar.db-shm"):
            (folder / beside).unlink(missing_ok=True)
        try:
            async with opened(folder) as store:
                states = await store.states()
                trail = await store.verify()
                assert states.get("fraud", state(5, "5")) == state(5, "5")
                # What is not as it was written is told, unless nothing of it is in the trail.
                assert trail.ok is False or (trail.entries, states) == (5, {"fraud": state(5, "5")})
                sound += 1
        except StoreError as error:
            refused += "sidecar.db" in str(error)
    assert min(refused, sound) > 0
    assert refused + sound == len(places[slice_number::4])


@pytest.mark.parametrize("size", [0, 17, 4096, -100])
async def test_a_log_ahead_that_was_cut_leaves_the_last_whole_transition(tmp_path: Path, size: int) -> None:
    folder = tmp_path / "state"
    async with opened(folder) as store:
        for generation in range(1, 6):
            await store.transition(
                state(generation, str(generation)),
                expected_generation=generation - 1,
                deed=deed(str(generation)),
            )
        copied = tmp_path / "copied"
        copied.mkdir()
        for name in ("sidecar.db", "sidecar.db-wal", "audit-head.json"):
            shutil.copy(folder / name, copied)
    log = copied / "sidecar.db-wal"
    content = log.read_bytes()
    log.write_bytes(content[:size])
    try:
        async with opened(copied) as store:
            found = (await store.states()).get("fraud")
            assert found is None or found == state(found.generation, str(found.generation))
            # The head beside it knows of entries that are gone: power that fails does not do that, so it is told.
            assert not (await store.verify()).ok
    except StoreError as error:
        assert "restore" in str(error)  # noqa: PT017


async def test_damaged_decisions_are_set_aside_and_promotion_goes_on(stage: Stage) -> None:
    await evidence(stage)
    await gates_pass(stage)
    before = await stage.get(f"{ONE}/performance")
    await stage.close()
    path = stage.folder / "state" / FILE_NAME
    content = path.read_bytes()
    path.write_bytes(b"\xff" * PAGE + content[PAGE:])
    await stage.open()
    ready = await stage.get("/readyz")
    assert "is set aside as decisions.db.damaged-" in ready["says"]
    (aside,) = path.parent.glob("decisions.db.damaged-*")
    assert aside.read_bytes()[PAGE:] == content[PAGE:]
    # What was counted of outcomes is in the store: the gates stand, and later outcomes go on counting.
    assert [item["matched"] for item in (await stage.get(f"{ONE}/performance"))["items"]] == [
        item["matched"] for item in before["items"]
    ]
    await gates_pass(stage)
    stage.worker.offer(range(1000, 1010))
    await stage.paired(420)
    posted = {"outcomes": [{"request_id": f"id-{number}", "outcome": 1} for number in range(1000, 1010)]}
    assert (await stage.post("/v1/outcomes", posted))["matched"] == 10
    counted = await matched(stage)
    await stage.close()
    await stage.open()
    assert await matched(stage) == counted
    assert "says" not in await stage.get("/readyz")
    await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})
    assert (await stage.get(ONE))["champion"]["version"] == "4"


async def matched(stage: Stage) -> list[Any]:
    return [item["matched"] for item in (await stage.get(f"{ONE}/performance"))["items"]]


async def test_a_store_from_a_backup_beside_newer_decisions_counts_every_outcome_once(stage: Stage) -> None:
    await evidence(stage)
    await stage.control._rounds.save()
    backup = stage.folder / "backup.db"
    with (
        closing(sqlite3.connect(stage.folder / "state" / "sidecar.db")) as connection,
        closing(sqlite3.connect(backup)) as copy,
    ):
        connection.backup(copy)
    stage.worker.offer(range(1000, 1020))
    await stage.paired(440)
    for begin in (1000, 1010):
        posted = {"outcomes": [{"request_id": f"id-{number}", "outcome": 1} for number in range(begin, begin + 10)]}
        assert (await stage.post("/v1/outcomes", posted))["matched"] == 10
        await stage.control._rounds.save()
    counted = await matched(stage)
    await stage.close()
    shutil.copy(backup, stage.folder / "state" / "sidecar.db")
    for beside in ("sidecar.db-wal", "sidecar.db-shm"):
        (stage.folder / "state" / beside).unlink(missing_ok=True)
    await stage.open()
    assert await matched(stage) == counted
