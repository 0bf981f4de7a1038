"""Calls that come twice, at once or without anybody who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sidecar.control.controller import Controller
from sidecar.control.store import Store
from sidecar.errors import Refused
from sidecar.standing import Alarm, Transition
from tests.control.controller_ground import Set, World, promote, rollback
from tests.control.store_samples import NOW, opened


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[World, Store, Controller]]:
    async with opened(tmp_path) as store:
        around = World(tmp_path)
        controller = around.controller(store)
        await controller.start()
        yield around, store, controller


Verb = Callable[..., Awaitable[Transition]]


async def test_of_two_promotions_at_once_exactly_one_wins(world: Set) -> None:
    around, store, controller = world
    calls = [promote(controller, version, expected_champion="3") for version in ("4", "5", "4", "5")]
    results = await asyncio.gather(*calls, return_exceptions=True)
    won = [result for result in results if isinstance(result, Transition)]
    assert len(won) == 1
    assert sum(isinstance(result, Refused) for result in results) == 3
    assert (await store.states())["fraud"].champion == won[0].to_version == around.published[-1]["fraud"]


async def test_two_controllers_cannot_both_win_either(world: Set) -> None:
    around, store, controller = world
    second = around.controller(store)
    await second.start()
    results = await asyncio.gather(promote(controller), promote(second, "5"), return_exceptions=True)
    assert sum(isinstance(result, Transition) for result in results) == 1
    assert sum(isinstance(result, Refused) for result in results) == 1


@pytest.mark.parametrize("verb", [promote, rollback])
async def test_a_repeated_key_gets_the_first_answer_and_moves_nothing_again(world: Set, verb: Verb) -> None:
    around, store, controller = world
    if verb is rollback:
        await promote(controller)
    first = await verb(controller, idempotency_key="key")
    published = len(around.published)
    around.verdict = "fail"
    assert await verb(controller, idempotency_key="key") == first
    assert first.audit_seq is not None
    assert len(around.published) == published
    with pytest.raises(Refused, match="used for another call"):
        await verb(controller, idempotency_key="key", reason="another reason")
    with pytest.raises(Refused, match="used for another call"):
        await controller.rollback(
            "other", actor="bob", reason="worse by far", to=None, force=False, idempotency_key="key"
        )
    assert len(await store.audit_entries(0, 10)) == first.audit_seq


async def test_the_same_key_at_once_moves_once(world: Set) -> None:
    _, store, controller = world
    results = await asyncio.gather(*(promote(controller, idempotency_key="key") for _ in range(5)))
    assert len({result.audit_seq for result in results}) == 1
    assert (await store.states())["fraud"].generation == 2


async def test_a_refusal_is_not_remembered_under_its_key(world: Set) -> None:
    around, _, controller = world
    around.verdict = "fail"
    with pytest.raises(Refused):
        await promote(controller, idempotency_key="key")
    around.verdict = "pass"
    assert (await promote(controller, idempotency_key="key")).to_version == "4"


async def test_a_caller_that_goes_away_does_not_stop_the_publication(world: Set) -> None:
    around, store, controller = world
    around.slow.clear()

    async def call() -> Transition:
        return await promote(controller)

    calling = asyncio.create_task(call())
    async with asyncio.timeout(30):
        while (await store.states())["fraud"].champion != "4":
            await asyncio.sleep(0)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert around.published[-1]["fraud"] == "3"
    around.slow.set()
    await controller.finish()
    assert around.published[-1]["fraud"] == "4"
    assert around.woken == 1


async def test_a_caller_that_goes_away_during_an_acknowledgement_leaves_a_sound_trail(world: Set) -> None:
    _, store, controller = world
    alarm = Alarm(
        id="a1",
        deployment="fraud",
        kind="data.broken",
        severity="critical",
        says="amount: live = 0.01 × trained",
        action="fix the feed",
        since=NOW,
        owner="risk",
        acknowledged=False,
    )
    await store.carryover.save_alarm(alarm)
    for turns in range(60):
        await store.carryover.save_alarm(alarm)
        calling = asyncio.create_task(controller.acknowledge("a1", actor="bob", reason="feed team told"))
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    await controller.finish()
    assert (await promote(controller)).to_version == "4"
    found = await store.verify()
    assert found.ok, found.fault
