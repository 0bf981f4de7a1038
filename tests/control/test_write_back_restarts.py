"""What the write-back knows over a restart, and what it does about a row of the outbox that was damaged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from registry_client.errors import InvalidDocument, Refused
from sidecar.control.carryover import Snapshot
from sidecar.control.outbox import DONE_KEPT_S
from sidecar.control.write_back import SNAPSHOT, WRITE_BACK
from sidecar.errors import Unavailable
from tests.control.live_samples import NOW
from tests.control.write_back_ground import FolderGround, ground


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[FolderGround]:
    async with ground(tmp_path) as found:
        yield found


async def sql(around: FolderGround, *statements: str) -> None:
    for statement in statements:
        await around.store.database.change(text(statement))


async def test_after_a_restart_what_was_not_told_is_no_divergence_and_is_told(around: FolderGround) -> None:
    around.take_away()
    await around.promote("4")
    await around.send()
    await around.restart()
    waits = around.status()
    assert str(waits.unwritten).startswith("alias champion is to be moved to version 4: "), "and why, at once"
    around.bring_back()
    assert not (await around.look()).diverged
    await around.send()
    found = await around.look()
    assert (found.diverged, found.unwritten, found.says) == (False, None, None)
    assert await around.alias() == "4"


async def test_that_the_alias_had_landed_is_known_over_a_restart_so_that_who_moves_it_back_is_not_overwritten(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise InvalidDocument("version.json is damaged")

    with monkeypatch.context() as patched:
        patched.setattr(around.watched, "set_tags", refuse)
        await around.promote("4")
        assert await around.send() == 0
        assert await around.alias() == "4"
    await around.watched.theirs("3")
    await around.restart()
    assert await around.send() == 1
    assert await around.alias() == "3"
    found = around.status().divergence
    assert found is not None
    assert (found.registry, found.sidecar) == ("3", "4")


async def test_a_store_that_takes_no_note_of_a_landing_holds_nothing_up(around: FolderGround) -> None:
    async def full(_: object) -> None:
        raise Unavailable("the disk is full")

    around.write_back.note_landed = full
    await around.promote("4")
    assert await around.send() == 1
    assert await around.alias() == "4"


async def test_since_when_it_diverges_is_known_over_a_restart(around: FolderGround) -> None:
    around.now += 5
    await around.watched.theirs("9")
    first = await around.look()
    await around.remember()
    around.now += 3_600
    around.take_away()
    await around.restart()
    assert around.status().divergence == first.divergence, "also while nobody answers"
    around.bring_back()
    later = await around.look()
    assert later.divergence == first.divergence
    assert first.divergence is not None
    assert first.divergence.since == NOW + 5
    assert around.write_back.unsaved(around.now) == [], "nothing new to remember"


async def test_what_was_remembered_and_nobody_can_read_is_forgotten(around: FolderGround) -> None:
    await around.watched.theirs("9")
    await around.store.carryover.save_snapshots([Snapshot("fraud", SNAPSHOT, b"\xc1", NOW)])
    await around.restart()
    assert not around.status().diverged
    assert (await around.look()).diverged


async def test_another_model_of_a_reload_did_not_move_its_alias(around: FolderGround) -> None:
    await around.watched.theirs("9")
    assert (await around.look()).diverged
    source = {"model": "bc", "url": "http://fraud-{version}:8080"}
    around.deployment = around.deployment.model_validate({"name": "fraud", "from_registry": source})
    assert not around.status().diverged, "nobody has asked where it is yet"


@pytest.mark.parametrize(
    "damage",
    ["payload = '['", "payload = '{\"model\": 5}'", "payload = x'ff00'", "payload = CAST(x'7bff7d' AS TEXT)"],
)
async def test_a_row_that_nobody_can_read_is_set_aside_and_holds_up_no_other(
    around: FolderGround, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    around.take_away()
    await around.promote("4")
    await around.promote("5")
    around.bring_back()
    await sql(around, f"UPDATE outbox SET {damage} WHERE id = (SELECT min(id) FROM outbox)")
    # What the damaged one would have told of where the alias was left is lost with it.
    await around.watched.theirs("4")
    assert await around.send() == 1
    assert await around.alias() == "5"
    assert "is set aside" in caplog.text
    told = around.status()
    assert told.set_aside == 1
    assert "cannot be read and was set aside" in str(told.says)
    assert await around.send() == 0

    await around.restart()
    again = around.status()
    assert (again.set_aside, again.unwritten) == (1, None)
    around.now += DONE_KEPT_S + 1
    await around.send()
    await around.restart()
    assert around.status().set_aside == 0


@pytest.mark.parametrize("damage", ["next_at = 'soon'", "attempts = 'often'", "fault = CAST(x'ff' AS TEXT)"])
async def test_other_damage_to_a_row_keeps_nothing_from_being_told(around: FolderGround, damage: str) -> None:
    await around.promote("4")
    await sql(around, f"UPDATE outbox SET {damage}")
    await around.restart()
    assert await around.send() == 1
    assert await around.alias() == "4"


async def test_a_damaged_subject_is_nobodys_and_holds_up_nobody(around: FolderGround) -> None:
    around.take_away()
    await around.promote("4")
    await around.promote("5")
    around.bring_back()
    await sql(around, "UPDATE outbox SET subject = CAST(x'ff' AS TEXT), payload = '[' WHERE id = 1")
    await around.watched.theirs("4")
    assert await around.send() == 1
    assert await around.alias() == "5"
    assert await around.outbox.waiting(WRITE_BACK) == ()


async def test_a_model_that_the_registry_does_not_know_is_said_in_status_and_log(
    around: FolderGround, caplog: pytest.LogCaptureFixture
) -> None:
    around.deployment = around.deployment.model_copy(update={"name": "fraud"})
    (around.folder / "fraud").rename(around.folder / "another")
    await around.promote("4")
    await around.send()
    says = "alias champion is to be moved to version 4: the registry has no model 'fraud'"
    assert around.status().unwritten == says
    assert caplog.text.count("was not told of a transition yet") == 1
    await around.send()
    assert caplog.text.count("was not told of a transition yet") == 1, "each reason once"
    await around.restart()
    assert around.status().unwritten == says, "also right after a restart"


@pytest.mark.parametrize("restart", [False, True])
async def test_what_nobody_heard_is_told_as_soon_as_the_registry_answers(
    around: FolderGround, *, restart: bool
) -> None:
    around.take_away()
    await around.promote("4")
    for _ in range(8):
        await around.send()
    if restart:
        await around.restart()
    around.bring_back()
    assert await around.outbox.send_due() == 0, "it waits for minutes by now"
    assert str((await around.look()).unwritten).startswith("alias champion is to be moved")
    assert await around.outbox.send_due() == 1
    assert await around.alias() == "4"


async def test_what_the_registry_refuses_is_not_tried_at_each_look(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    async def refuse(*_: object) -> None:
        tries.append(1)
        raise Refused("this user may not move aliases")

    monkeypatch.setattr(around.watched, "set_alias", refuse)
    await around.promote("4")
    for _ in range(8):
        await around.send()
    tries.clear()
    for _ in range(5):
        await around.look()
        await around.outbox.send_due()
    assert tries == []
