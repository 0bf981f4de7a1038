from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.control import reconcile, write_back
from sidecar.errors import Invalid, Refused, Unavailable, Unknown
from tests.control.write_back_ground import FolderGround, ground


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[FolderGround]:
    async with ground(tmp_path) as found:
        yield found


async def entries(around: FolderGround) -> list[str]:
    return [entry.action for entry in await around.store.audit_entries(0, 100)]


async def test_our_side_is_written_and_the_trail_says_who_and_why(around: FolderGround) -> None:
    await around.watched.theirs("9")
    assert (await around.look()).diverged
    done = await around.reconcile(expected="9")
    assert (done.from_version, done.to_version, done.written, done.alias) == ("9", "3", True, "champion")
    assert await around.alias() == "3"
    assert not around.status().diverged
    entry = (await around.store.audit_entries((done.audit_seq or 0) - 1, 1))[0]
    assert (entry.actor, entry.action, entry.reason) == ("carol", "reconcile", "moved by hand")
    assert (entry.from_version, entry.to_version) == ("9", "3")
    assert json.loads(entry.details)["alias"] == "champion"
    assert (await around.store.verify()).ok
    assert around.controller.states["fraud"].generation == 1, "nothing changed here"


async def test_where_both_agree_nothing_is_done(around: FolderGround) -> None:
    done = await around.reconcile()
    assert (done.written, done.audit_seq) == (True, None)
    assert (await around.reconcile("registry")).audit_seq is None
    assert await entries(around) == ["start"]


async def test_an_alias_that_moved_once_more_is_not_what_the_person_has_seen(around: FolderGround) -> None:
    await around.watched.theirs("9")
    with pytest.raises(Refused, match="at version 9, not 8: look again"):
        await around.reconcile(expected="8")
    # And between the verb and the write.
    around.wake = lambda: around.sending.append(asyncio.create_task(moved_first()))  # type: ignore[method-assign]

    async def moved_first() -> int:
        await around.watched.theirs("5")
        return await around.outbox.send_due()

    around.begin()
    await around.controller.start()
    done = await around.reconcile(expected="9")
    assert (done.written, await around.alias()) == (False, "5")
    found = around.status().divergence
    assert found is not None
    assert (found.registry, found.sidecar) == ("5", "3")


async def test_a_registry_that_does_not_answer_is_said_and_nothing_is_recorded(around: FolderGround) -> None:
    await around.watched.theirs("9")
    around.take_away()
    with pytest.raises(Unavailable, match="nothing was changed"):
        await around.reconcile()
    assert await entries(around) == ["start"]


async def test_a_registry_that_goes_away_in_between_takes_it_later(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "WRITTEN_WITHIN_S", 0.0)
    await around.watched.theirs("9")

    def away() -> None:
        around.take_away()

    around.wake = away  # type: ignore[method-assign]
    around.begin()
    await around.controller.start()
    done = await around.reconcile()
    assert (done.written, done.audit_seq is not None) == (False, True)
    assert around.status().unwritten is not None
    around.bring_back()
    await around.send()
    assert await around.alias() == "3"


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ("3", "sidecar rollback fraud --to 3"),
        ("5", "sidecar promote fraud 5"),
        ("9", "make it a challenger first"),
    ],
)
async def test_the_registrys_side_is_told_its_verb_and_changes_nothing(
    around: FolderGround, there: str, says: str
) -> None:
    await around.promote("4")
    await around.send()
    await around.watched.theirs(there)
    with pytest.raises(Refused, match=says):
        await around.reconcile("registry")
    assert await entries(around) == ["start", "promote"]
    assert (await around.alias(), around.controller.states["fraud"].champion) == (there, "4")


async def test_an_alias_that_is_gone_is_put_back_and_cannot_be_taken(around: FolderGround) -> None:
    (around.folder / "fraud" / "aliases.json").unlink()
    with pytest.raises(Refused, match="no alias champion"):
        await around.reconcile("registry")
    done = await around.reconcile()
    assert (done.from_version, done.written, await around.alias()) == (None, True, "3")


async def test_a_call_that_makes_no_sense_changes_nothing(around: FolderGround) -> None:
    with pytest.raises(Invalid, match="3 to 500"):
        await around.reconciler.reconcile("fraud", take="sidecar", expected=None, actor="carol", reason=" ")
    with pytest.raises(Unknown, match="no deployment 'other'"):
        await around.reconciler.reconcile("other", take="sidecar", expected=None, actor="carol", reason="because")


async def test_a_rollback_does_not_wait_for_a_registry_that_is_slow_to_take_it(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "WRITTEN_WITHIN_S", 60.0)
    await around.promote("4")
    await around.send()
    await around.watched.theirs("9")
    around.wake = lambda: None  # type: ignore[method-assign]
    around.begin()
    await around.controller.start()
    asking = asyncio.create_task(around.reconcile())
    async with asyncio.timeout(30):
        while "reconcile" not in await entries(around):
            await asyncio.sleep(0)
        await around.rollback()
    assert not asking.done()
    await around.send()
    assert (await asking).audit_seq is not None
    assert await around.alias() == "3", "the newest decides: 3 serves again"


async def test_one_that_could_not_be_stored_leaves_the_divergence_to_be_seen(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    await around.watched.theirs("9")
    with monkeypatch.context() as patched:
        patched.setattr(around.store, "record", full)
        with pytest.raises(Unavailable):
            await around.reconcile()
    assert (around.status().unwritten, around.status().diverged) == (None, True)


async def test_a_registry_that_never_answers_holds_up_the_caller_for_so_long_only(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(write_back, "_LONGEST_S", 0.01)
    monkeypatch.setattr(around.watched, "aliases", never)
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable, match="in time"):
            await around.reconcile()
