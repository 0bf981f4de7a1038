from __future__ import annotations

import asyncio

import pytest

from sidecar.control.turns import Turns


class Told:
    """What was published: the newest number at that moment."""

    def __init__(self) -> None:
        self.newest = 0
        self.published: list[int] = []
        self.open = asyncio.Event()
        self.open.set()
        self.settling = asyncio.Event()
        self.settling.set()

    async def publish(self) -> None:
        number = self.newest
        await self.open.wait()
        self.published.append(number)

    async def settle(self) -> None:
        await self.settling.wait()


async def test_tables_go_out_in_order_each_with_the_newest() -> None:
    told = Told()
    turns = Turns(told.publish, told.settle)
    told.open.clear()
    first = asyncio.create_task(turns.publish())
    await asyncio.sleep(0)
    told.newest = 7
    second = asyncio.create_task(turns.publish())
    await asyncio.sleep(0)
    told.open.set()
    await asyncio.gather(first, second)
    assert told.published == [0, 7]


async def test_a_worker_that_is_late_holds_up_no_other_table() -> None:
    told = Told()
    turns = Turns(told.publish, told.settle)
    told.settling.clear()
    late = [asyncio.create_task(turns.publish()) for _ in range(2)]
    while len(told.published) < 2:
        await asyncio.sleep(0)
    assert not any(task.done() for task in late)
    told.settling.set()
    await asyncio.gather(*late)


async def test_each_deployment_has_its_own_turn() -> None:
    told = Told()
    turns = Turns(told.publish, told.settle)
    assert turns.of("fraud") is turns.of("fraud")
    async with turns.of("fraud"), asyncio.timeout(30), turns.of("other"):
        assert turns.of("fraud").locked()


async def test_work_is_done_to_its_end_though_its_caller_goes_away_and_its_fault_reaches_the_one_who_waits() -> None:
    told = Told()
    turns = Turns(told.publish, told.settle)
    go, done = asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append(True)

    caller = asyncio.create_task(turns.to_its_end(work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go.set()
    await turns.finish()
    assert done == [True]

    async def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await turns.to_its_end(fail())
