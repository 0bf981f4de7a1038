"""Aliases are taken once they stand still, told in the trail, and in force; a registry that is away changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from registry_client.errors import NotFound, RegistryError, Unreachable
from sidecar.config import Settings
from sidecar.control.store import Store
from sidecar.errors import Unavailable
from tests.control.following_ground import FROM_REGISTRY, World
from tests.control.store_samples import deed, opened


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as store:
        yield World(store)


async def test_the_first_start_takes_champion_and_challenger_and_the_trail_says_so(world: World) -> None:
    await world.start()

    assert world.stands() == ("3", ["4"])
    assert await world.trail() == [("the registry's alias challenger is at version 4", None, "4")]
    assert world.put == [], "whoever starts puts it in force"


async def test_an_alias_that_moved_is_followed_and_told_once(world: World) -> None:
    await world.start()
    world.serve("3")
    world.registry.now(champion="3", challenger="5")
    await world.follower.look()
    await world.follower.look()

    assert world.stands() == ("3", ["5"])
    assert world.put == [["fraud"]]
    assert (await world.trail())[1:] == [
        ("the registry's alias challenger moved from version 4 to version 5", "4", "5")
    ]


async def test_an_alias_that_vanishes_takes_its_challenger_along(world: World) -> None:
    await world.start()
    world.registry.now(champion="3")
    await world.follower.look()

    assert world.stands() == ("3", [])
    assert (await world.trail())[-1][1:] == ("4", None)


async def test_a_model_that_was_deleted_has_no_challengers_and_its_champion_serves_on(world: World) -> None:
    await world.start()
    world.serve("3")
    world.registry.says = [NotFound("the registry has no model 'fraud'")]
    await world.follower.look()

    assert world.stands() == ("3", [])
    status = world.follower.status("fraud")
    assert status is not None
    assert "the registry has no model 'fraud'" in status.waits


async def test_a_champion_alias_that_someone_moved_is_not_followed(world: World) -> None:
    await world.start()
    world.serve("3")
    world.registry.now(champion="9", challenger="4")
    await world.follower.look()

    assert world.stands() == ("3", ["4"])
    assert world.put == []
    assert len(await world.trail()) == 1
    status = world.follower.status("fraud")
    assert status is not None
    assert status.aliases == {"champion": "9", "challenger": "4"}


async def test_of_an_alias_that_flaps_only_what_stands_is_taken(world: World) -> None:
    await world.start()
    flaps: list[dict[str, str] | RegistryError] = [{"champion": "3", "challenger": str(n)} for n in (5, 4, 6, 5, 4, 7)]
    world.registry.says = [*flaps, {"champion": "3", "challenger": "8"}]
    for _ in flaps:
        await world.follower.look()

    assert world.stands() == ("3", ["8"])
    assert [entry[1:] for entry in await world.trail()] == [(None, "4"), ("4", "8")]


async def test_one_that_flaps_back_was_never_away(world: World) -> None:
    await world.start()
    world.registry.says = [{"champion": "3", "challenger": "5"}, {"champion": "3", "challenger": "4"}]
    await world.follower.look()

    assert world.stands() == ("3", ["4"])
    assert len(await world.trail()) == 1


async def test_one_that_never_stands_still_is_left_to_the_next_look(world: World) -> None:
    await world.start()
    world.registry.says = [{"champion": "3", "challenger": str(n)} for n in range(10, 40)]
    await world.follower.look()

    assert world.stands() == ("3", ["4"])
    assert len(world.registry.asked) < 15


@pytest.mark.parametrize("fault", [Unreachable("the registry is away"), RegistryError("garbage")])
async def test_a_registry_that_is_away_changes_nothing(world: World, fault: RegistryError) -> None:
    await world.start()
    world.serve("3")
    world.registry.says = [fault]
    await world.follower.look()

    assert world.stands() == ("3", ["4"])
    status = world.follower.status("fraud")
    assert status is not None
    assert status.waits == (str(fault),)


async def test_a_registry_that_never_answers_holds_up_nothing_for_long(world: World) -> None:
    await world.start()
    world.registry.held = asyncio.Event()
    async with asyncio.timeout(30):
        await world.follower.look()

    assert world.stands() == ("3", ["4"])
    status = world.follower.status("fraud")
    assert status is not None
    assert status.waits == ("the registry did not answer in time",)


async def test_a_restart_without_the_registry_goes_on_from_the_trail(world: World) -> None:
    await world.start()
    world.serve("3")
    world.registry.says = [Unreachable("away")]
    world.made()
    await world.start()

    assert world.stands() == ("3", ["4"])
    assert len(await world.trail()) == 1
    assert world.follower.unserved() == ()


async def test_a_restart_tells_nothing_twice_and_what_moved_meanwhile_once(world: World) -> None:
    await world.start()
    world.serve("3")
    world.made()
    await world.start()
    world.registry.now(champion="3", challenger="6")
    world.made()
    await world.start()

    assert [entry[1:] for entry in await world.trail()] == [(None, "4"), ("4", "6")]
    assert world.stands() == ("3", ["6"])


async def test_with_nothing_known_it_is_told_what_is_waited_for_and_taken_when_it_comes(world: World) -> None:
    world.registry.says = [Unreachable("cannot connect to mlflow")]
    await world.start()
    [says] = world.follower.unserved()
    before = world.stands()
    world.registry.now(champion="3")
    await world.follower.look()

    assert says.startswith("fraud: the registry's alias champion is not known")
    assert says.endswith("(cannot connect to mlflow)")
    assert before == (None, [])
    assert world.stands() == ("3", [])
    assert world.put == [["fraud"]]
    assert world.follower.unserved() == ()


async def test_one_that_a_reload_adds_does_not_take_the_traffic_of_the_others_away(world: World) -> None:
    await world.start()
    world.deploy(fraud=FROM_REGISTRY, other=FROM_REGISTRY | {"champion": "nowhere"})
    await world.follower.look()

    assert world.follower.deployments()["other"].champion is None
    assert world.follower.unserved() == ()
    status = world.follower.status("other")
    assert status is not None
    assert "alias nowhere" in status.waits[0]


@pytest.mark.parametrize("version", ["", "a/b", "../x", "x" * 129, "é", "3\n"])
async def test_a_hostile_version_is_none_and_is_told(world: World, version: str) -> None:
    world.registry.now(champion="3", challenger=version)
    await world.start()

    assert world.stands() == ("3", [])
    assert await world.trail() == []
    status = world.follower.status("fraud")
    assert status is not None
    assert "names no version that could be called" in status.waits[-1]


async def test_a_full_disk_takes_nothing_and_the_next_look_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    await world.start()
    world.registry.now(champion="3", challenger="5")
    with monkeypatch.context() as patched:
        patched.setattr(Store, "record", full)
        with pytest.raises(Unavailable):
            await world.follower.look()
        before = world.stands()
    await world.follower.look()

    assert before == ("3", ["4"])
    assert world.stands() == ("3", ["5"])


async def test_what_could_not_be_put_in_force_is_tried_again(world: World) -> None:
    await world.start()
    world.registry.now(champion="3", challenger="5")
    world.full = True
    with pytest.raises(Unavailable):
        await world.follower.look()
    world.full = False
    await world.follower.look()

    assert world.put == [["fraud"]]


async def test_it_waits_for_its_turn_with_other_verbs_of_the_deployment(world: World) -> None:
    await world.start()
    world.registry.now(champion="3", challenger="5")
    async with world.turns.of("fraud"):
        looking = asyncio.create_task(world.follower.look())
        done, _ = await asyncio.wait({looking}, timeout=0.05)
        assert done == set()
        assert world.stands() == ("3", ["4"])
    await looking

    assert world.stands() == ("3", ["5"])


async def test_it_looks_when_it_is_woken(world: World) -> None:
    await world.start()
    running = asyncio.create_task(world.follower.run())
    try:
        world.registry.now(champion="3", challenger="5")
        world.follower.wake()
        async with asyncio.timeout(30):
            while world.stands() != ("3", ["5"]):
                await asyncio.sleep(0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_look_that_fails_does_not_end_the_following(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.start()
    world.full = True
    world.registry.now(champion="3", challenger="5")
    running = asyncio.create_task(world.follower.run())
    try:
        async with asyncio.timeout(30):
            while "not in force yet" not in caplog.text:
                world.follower.wake()
                await asyncio.sleep(0)
            world.full = False
            while not world.put:
                world.follower.wake()
                await asyncio.sleep(0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_after_a_promotion_the_alias_of_the_new_champion_means_none(world: World) -> None:
    await world.start()
    world.serve("4", previous="3")
    await world.follower.look()

    assert world.stands() == ("4", [])
    assert world.put == [["fraud"]]
    assert len(await world.trail()) == 1


async def test_what_was_taken_stands_in_the_trails_details(world: World) -> None:
    await world.start()
    [entry] = await world.store.audit_entries(0, 10)

    details = msgspec.json.decode(entry.details)
    assert details["aliases"] == {"challenger": "4"}
    assert details["alias"] == "challenger"


async def test_a_deployment_of_the_file_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        world = World(store)
        plain = {"name": "plain", "champion": {"version": "1", "url": "http://127.0.0.1:1"}}
        world.settings = Settings.model_validate({"deployments": [plain]})
        await world.follower.start(1.0)
        await world.follower.look()

        assert world.follower.deployments()["plain"] is world.settings.deployments[0]
        assert (world.follower.status("plain"), world.follower.named("plain")) == (None, ())
        assert (world.registry.asked, world.put, world.models.wanted) == ([], [], {})


async def test_an_entry_that_nobody_can_read_is_no_last_known_good(world: World) -> None:
    for details in ("{}", '{"aliases": {"challenger": "../x"}}', '{"aliases": 7}'):
        await world.store.record(deed("4", actor="registry", action="follow_registry", details=details))
        world.registry.says = [Unreachable("away")]
        world.made()
        await world.start()

        assert world.stands() == (None, [])
