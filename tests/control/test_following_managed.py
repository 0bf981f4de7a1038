"""Models that run here: asked for, waited for, and kept until no alias names them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.control.following import AliasFollower
from sidecar.decide.roster import Roster
from tests.control.following_ground import Models, World
from tests.control.store_samples import NOW, opened


@pytest.fixture
async def managed(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as store:
        yield World(store, managed=True, model="Fraud Scoring")


async def test_models_are_asked_for_by_the_registrys_name_and_get_nothing_before_they_answer(managed: World) -> None:
    managed.models.answering = {"3"}
    await managed.start(7.0)
    first = managed.stands()
    managed.models.answering = {"3", "4"}
    await managed.follower.look()

    assert managed.registry.asked[0] == "Fraud Scoring"
    assert managed.models.wanted == {("fraud", "3"): "Fraud Scoring", ("fraud", "4"): "Fraud Scoring"}
    assert managed.models.settled_within == [7.0]
    assert first == ("3", [])
    assert managed.stands() == ("3", ["4"])
    assert managed.put == [["fraud"]]


async def test_one_that_becomes_ready_wakes_the_following(managed: World) -> None:
    await managed.start()
    running = asyncio.create_task(managed.follower.run())
    try:
        managed.models.answering = {"3", "4"}
        managed.models.changed()
        async with asyncio.timeout(30):
            while not managed.put:
                await asyncio.sleep(0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert managed.stands() == ("3", ["4"])


async def test_champion_former_and_what_aliases_name_run_and_others_do_not(managed: World) -> None:
    await managed.start()
    managed.serve("5", previous="3")
    managed.follower.ask_for()
    with_former, held = set(managed.models.wanted), managed.models.held
    managed.roster = Roster(deployment="fraud", removed=("4",))
    managed.follower.ask_for()

    assert with_former == {("fraud", "5"), ("fraud", "3"), ("fraud", "4")}
    assert held == ["3", "5"], "whoever serves, or did, does not become another under the same number"
    assert set(managed.models.wanted) == {("fraud", "5"), ("fraud", "3")}


async def test_why_a_model_gets_nothing_is_told(managed: World) -> None:
    managed.models.answering = {"3"}
    await managed.start()
    status = managed.follower.status("fraud")

    assert status is not None
    assert status.model == "Fraud Scoring"
    assert status.waits == ("version 4 gets nothing yet: fraud 4 is being fetched",)
    assert managed.follower.named("fraud") == ("4",)


async def test_a_champion_that_ails_later_does_not_take_the_traffic_of_the_others_away(managed: World) -> None:
    await managed.start()
    waiting = managed.follower.unserved()
    managed.models.answering = {"3"}
    await managed.follower.look()
    managed.serve("3")
    managed.models.answering = set()

    assert waiting == ("fraud: version 3 gets nothing yet: fraud 3 is being fetched",)
    assert managed.follower.unserved() == ()
    assert managed.stands() == ("3", [])


async def test_a_challenger_that_ails_keeps_its_copies_or_its_evidence_would_begin_anew_without_its_faults(
    managed: World,
) -> None:
    managed.models.answering = {"3", "4"}
    await managed.start()
    managed.models.answering = {"3"}
    await managed.follower.look()
    status = managed.follower.status("fraud")

    assert managed.stands() == ("3", ["4"])
    assert managed.put == []
    assert status is not None
    assert status.waits == ("version 4: fraud 4 is being fetched",)

    managed.registry.says = [{"champion": "3"}]
    await managed.follower.look()
    managed.registry.says = [{"champion": "3", "challenger": "4"}]
    await managed.follower.look()
    assert managed.stands() == ("3", []), "wanted anew, it has to answer first"


async def test_a_registry_that_was_configured_after_the_start_runs_no_models_and_says_so(managed: World) -> None:
    registry: Any = managed.registry
    managed.models, without = Models(), managed.models
    managed.follower = AliasFollower(
        registry,
        None,
        store=managed.store,
        turns=managed.turns,
        settings=lambda: managed.settings,
        states=lambda: managed.states,
        roster=lambda _: managed.roster,
        take_up=managed._take_up,
        clock=lambda: NOW,
        settle_s=0.0,
    )
    await managed.start()

    assert "configured after the start" in managed.follower.unserved()[0]
    assert without.wanted == {}
