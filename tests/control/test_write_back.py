from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from registry_client.errors import InvalidDocument, Refused, RegistryError, Unreachable
from sidecar.config import Deployment
from sidecar.control.store import Delivery
from sidecar.control.write_back import WRITE_BACK, WriteBack
from sidecar.decide.promotion import decide_start
from sidecar.errors import Unavailable
from sidecar.standing import Divergence, RegistryStatus, Target
from tests.control.live_samples import NOW
from tests.control.write_back_ground import FolderGround, ground


def in_order(status: RegistryStatus) -> bool:
    """The registry answers, and there is nothing to say."""
    quiet = (status.says, status.divergence, status.unwritten) == (None, None, None)
    return bool(status.reachable) and not status.diverged and quiet


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[FolderGround]:
    async with ground(tmp_path) as found:
        yield found


async def test_a_promotion_moves_the_alias_and_tells_both_versions(around: FolderGround) -> None:
    await around.promote("4")
    assert around.status().unwritten == "alias champion is to be moved to version 4"
    assert await around.send() == 1
    assert await around.alias() == "4"
    tags = await around.tags("4")
    assert tags["sidecar.promoted_by"] == "alice"
    assert tags["sidecar.evidence"] == "sha256:e"
    assert tags["sidecar.reason"] == "better by far"
    assert tags["sidecar.from_version"] == "3"
    assert tags["sidecar.generation"] == "2"
    assert tags["sidecar.champion_since"] == "2023-11-14T22:14:20.000Z"
    assert (await around.tags("3"))["sidecar.retired_at"] == "2023-11-14T22:14:20.000Z"
    assert in_order(around.status())
    assert in_order(await around.look())


async def test_a_start_tells_nobody_and_neither_does_a_sidecar_without_a_registry(around: FolderGround) -> None:
    begun = decide_start(None, "fraud", "3", Target("http://h:1"), 1.0)
    assert begun is not None
    assert around.write_back.deliveries(begun) == ()
    assert await around.outbox.waiting(WRITE_BACK) == ()
    alone = WriteBack(None, deployments=around.deployments)
    unknown = RegistryStatus(reachable=None, diverged=False)
    assert alone.told(unknown, around.deployment, around.controller.states["fraud"]) == unknown


async def test_a_promotion_stands_with_the_registry_away_and_is_told_when_it_is_back(around: FolderGround) -> None:
    around.take_away()
    await around.promote("4")
    assert await around.send() == 0
    status = await around.look()
    assert (status.reachable, status.diverged) == (False, False)
    assert str(status.unwritten).startswith("alias champion is to be moved to version 4: ")
    assert "does not exist" in str(status.unwritten)
    around.bring_back()
    assert await around.send() == 1
    assert await around.alias() == "4"
    assert in_order(await around.look())


async def test_promoted_and_rolled_back_with_the_registry_away_the_end_stands_and_nothing_else_ever_showed(
    around: FolderGround,
) -> None:
    around.take_away()
    await around.promote("4")
    await around.send()
    await around.rollback()
    around.bring_back()
    assert await around.send() == 2
    assert (await around.alias(), around.watched.moves) == ("3", [])
    assert (await around.tags("3"))["sidecar.action"] == "rollback"
    assert (await around.tags("3"))["sidecar.retired_at"] == "none"
    assert (await around.tags("4"))["sidecar.retired_for"] == "3"
    assert in_order(await around.look())


async def test_of_two_transitions_that_wait_only_the_newer_one_shows(around: FolderGround) -> None:
    around.take_away()
    await around.promote("4")
    await around.promote("5")
    around.bring_back()
    assert await around.send() == 2
    assert (await around.alias(), around.watched.moves) == ("5", ["5"])
    assert (await around.tags("4"))["sidecar.retired_for"] == "5"
    assert (await around.tags("4"))["sidecar.promoted_by"] == "alice"


async def test_a_newer_transition_does_not_wait_for_the_pause_of_an_older_one(around: FolderGround) -> None:
    around.take_away()
    await around.promote("4")
    for _ in range(8):
        await around.send()
    around.bring_back()
    assert await around.outbox.send_due() == 0, "it waits for minutes by now"
    await around.promote("5")
    assert await around.outbox.send_due() == 2
    assert await around.alias() == "5"


async def test_told_twice_is_as_told_once(around: FolderGround) -> None:
    await around.promote("4")
    waiting = await around.outbox.waiting(WRITE_BACK)
    await around.send()
    tags = await around.tags("4"), await around.tags("3")
    # As after a crash between the registry's answer and the note that it was told.
    await around.write_back.deliver(waiting)
    assert (await around.tags("4"), await around.tags("3")) == tags
    assert (await around.alias(), around.watched.moves) == ("4", ["4"])


async def test_an_alias_that_someone_else_moved_is_said_with_both_sides_and_not_touched(around: FolderGround) -> None:
    around.now += 5
    await around.watched.theirs("9")
    status = await around.look()
    assert status.diverged
    assert status.divergence == Divergence(alias="champion", registry="9", sidecar="3", since=NOW + 5)
    assert status.says == "the registry's alias champion is at version 9, version 3 serves"
    around.now += 100
    assert (await around.look()).divergence == status.divergence, "since when it is seen there"

    await around.promote("4")
    assert await around.send() == 1, "told: there is nothing to be tried again"
    assert (await around.alias(), around.watched.moves) == ("9", [])
    found = around.status().divergence
    assert found is not None
    assert (found.registry, found.sidecar) == ("9", "4")
    assert (await around.tags("4"))["sidecar.promoted_by"] == "alice", "what serves is a fact all the same"


async def test_a_former_champion_that_someone_else_chose_again_is_not_taken_for_ours(around: FolderGround) -> None:
    await around.promote("4")
    await around.send()
    await around.watched.theirs("3")
    await around.promote("5")
    await around.send()
    assert await around.alias() == "3"
    assert around.status().diverged


async def test_someone_who_moves_the_alias_right_after_us_is_seen(
    around: FolderGround, caplog: pytest.LogCaptureFixture
) -> None:
    around.watched.meanwhile = lambda: around.watched.theirs("9")
    await around.promote("4")
    await around.send()
    assert (await around.alias(), around.watched.moves) == ("9", ["4"])
    assert around.status().diverged
    assert "someone else moved the alias" in caplog.text


async def test_an_alias_that_ours_is_again_ends_the_divergence(around: FolderGround) -> None:
    await around.watched.theirs("9")
    assert (await around.look()).diverged
    await around.watched.theirs("3")
    assert in_order(await around.look())


async def test_a_model_that_was_deleted_ends_the_divergence(around: FolderGround) -> None:
    await around.watched.theirs("9")
    assert (await around.look()).diverged
    shutil.rmtree(around.folder / "fraud")
    (around.folder / "other").mkdir()
    found = await around.look()
    assert (found.diverged, found.says) == (False, "the registry has no model 'fraud'")


async def test_where_there_is_no_alias_yet_it_is_made(around: FolderGround) -> None:
    (around.folder / "fraud" / "aliases.json").unlink()
    assert in_order(await around.look())
    await around.promote("4")
    await around.send()
    assert await around.alias() == "4"


async def test_a_transition_that_could_not_be_stored_leaves_nothing_to_tell(around: FolderGround) -> None:
    await around.store.database.change(text("PRAGMA query_only = 1"))
    with pytest.raises(Unavailable):
        await around.promote("4")
    assert in_order(around.status())
    await around.watched.theirs("9")
    assert (await around.look()).diverged


async def test_a_version_that_the_registry_does_not_know_waits_and_holds_up_no_newer_one(around: FolderGround) -> None:
    shutil.rmtree(around.folder / "fraud" / "versions" / "4")
    await around.promote("4")
    await around.send()
    assert "no version '4'" in str(around.status().unwritten)
    assert (await around.tags("3"))["sidecar.retired_for"] == "4"
    await around.promote("5")
    assert await around.send() == 2
    assert await around.alias() == "5"


@pytest.mark.parametrize("kind", [InvalidDocument, Refused])
async def test_tags_that_are_refused_hold_up_no_alias_and_are_tried_again(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch, kind: type[RegistryError]
) -> None:
    async def refuse(*_: object) -> None:
        raise kind("this user may not set tags")

    with monkeypatch.context() as patched:
        patched.setattr(around.watched, "set_tags", refuse)
        await around.promote("4")
        assert await around.send() == 0
        assert await around.alias() == "4"
        assert "may not set tags" in str(around.status().unwritten)
    assert await around.send() == 1
    assert (await around.tags("4"))["sidecar.promoted_by"] == "alice"


async def test_who_moves_the_alias_back_while_tags_are_still_refused_is_not_overwritten(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise InvalidDocument("version.json is damaged")

    with monkeypatch.context() as patched:
        patched.setattr(around.watched, "set_tags", refuse)
        await around.promote("4")
        await around.send()
        assert await around.alias() == "4"
        await around.watched.theirs("3")
        await around.send()
        assert await around.alias() == "3"
    await around.send()
    assert await around.alias() == "3"
    found = around.status().divergence
    assert found is not None
    assert (found.registry, found.sidecar) == ("3", "4")
    await around.reconcile()
    assert await around.alias() == "4", "a person may"


async def test_an_alias_that_landed_unheard_and_was_moved_back_is_not_overwritten(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = around.watched.aliases
    answers = [True, False]

    async def aliases(model: str) -> object:
        if not answers.pop(0):
            raise Unreachable("it broke off")
        return await reading(model)

    with monkeypatch.context() as patched:
        patched.setattr(around.watched, "aliases", aliases)
        await around.promote("4")
        assert await around.send() == 0
    assert await around.alias() == "4"
    await around.watched.theirs("3")
    assert await around.send() == 1
    assert await around.alias() == "3"


async def test_a_start_of_the_number_that_a_transition_did_not_get_leaves_nothing_to_tell(
    around: FolderGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(around.store, "transition", full)
        with pytest.raises(Unavailable):
            await around.promote("4")
    champion = around.deployment.champion
    assert champion is not None
    moved = champion.model_copy(update={"url": "http://127.0.0.1:9"})
    around.deployment = around.deployment.model_copy(update={"champion": moved})
    await around.controller.start()
    assert around.controller.states["fraud"].generation == 2
    await around.watched.theirs("9")
    assert (await around.look()).diverged


async def test_an_answer_that_our_own_write_overtook_is_not_believed(around: FolderGround) -> None:
    asked = around.write_back.asked("fraud")
    old = dict(await around.registry.aliases("fraud"))
    await around.promote("4")
    await around.send()
    around.write_back.saw(around.deployment, old, asked)
    assert in_order(around.status())


async def test_what_an_earlier_sidecar_wrote_can_be_read_and_takes_nothing_by_force(around: FolderGround) -> None:
    await around.write_back.deliver([Delivery(WRITE_BACK, "fraud", '{"model": "fraud", "version": "4"}')])
    assert await around.alias() == "3"
    await around.write_back.deliver([Delivery(WRITE_BACK, "fraud", '{"model": "fraud", "version": "3"}')])
    assert around.watched.moves == []


async def test_a_model_and_an_alias_of_other_names_are_the_ones_that_are_written(around: FolderGround) -> None:
    await around.registry.register("bc", "3")
    await around.registry.register("bc", "4")
    source = {"model": "bc", "champion": "live", "url": "http://fraud-{version}:8080"}
    named = Deployment.model_validate({"name": "fraud", "from_registry": source})
    versions = {"champion": around.deployment.champion, "challengers": around.deployment.challengers}
    around.deployment = named.model_copy(update=versions)
    await around.promote("4")
    await around.send()
    assert await around.registry.aliases("bc") == {"live": "4"}
    assert await around.registry.aliases("fraud") == {"champion": "3"}
    assert (await around.registry.version("bc", "4")).tags["sidecar.deployment"] == "fraud"


async def test_the_trail_says_what_made_the_new_champion(around: FolderGround) -> None:
    await around.promote("4")
    await around.rollback()
    promoted, back = await around.store.audit_entries(1, 10)
    for entry, data in ((promoted, "2026-04"), (back, "2026-03")):
        told = json.loads(entry.details)["lineage"]
        assert (told["data"], told["code"]) == (data, "9f3c21d")
        assert told["digest"].startswith("sha256:")
    assert (await around.store.verify()).ok
