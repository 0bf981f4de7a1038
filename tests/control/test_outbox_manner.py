"""What an outbox's manner says: whose rows it sends, how many lines beside each other, and when it gives up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from sidecar.control.outbox import DONE_KEPT_S, Manner, Outbox, Undelivered
from sidecar.control.store import Delivery
from sidecar.errors import Unavailable
from tests.control.store_samples import opened, step
from tests.control.test_outbox import Clock, Registry, alias, clock

__all__ = ["clock"]


async def test_two_outboxes_on_one_store_touch_no_row_of_each_other(tmp_path: Path, clock: Clock) -> None:
    registry, others = Registry(), Registry()
    event = Delivery("event", "fraud http://127.0.0.1:9", "{}")
    async with opened(tmp_path) as store:
        await step(store, 1, "1", deliveries=[alias("1"), event])
        mine = Outbox(store.database, {"event": others.take}, clock, manner=Manner(only=frozenset({"event"})))
        rest = Outbox(
            store.database, {"registry.alias": registry.take}, clock, manner=Manner(never=frozenset({"event"}))
        )
        assert await mine.send_due() == 1
        assert others.taken == [event]
        assert await mine.send_due() == 0
        assert await rest.send_due() == 1
        assert registry.taken == [alias("1")]
        clock.now += DONE_KEPT_S + 1
        await mine.send_due()
        left = await store.database.rows(text("SELECT kind FROM outbox"))
        assert left == [("registry.alias",)], "each tidies up its own"


async def test_a_row_is_given_up_after_its_time_and_the_next_one_goes_out(tmp_path: Path, clock: Clock) -> None:
    registry = Registry()
    registry.fault = Undelivered("away")
    async with opened(tmp_path) as store:
        await step(store, 1, "1", deliveries=[alias("1"), alias("2")])
        outbox = Outbox(store.database, {"registry.alias": registry.take}, clock, manner=Manner(give_up_s=10.0))
        tries = 0
        while not (await outbox.kept("registry.alias")).aside:
            registry.came.clear()
            await outbox.send_due()
            tries += registry.came.is_set()
            clock.now += 1.0
        assert tries == 5, "after 0, 1, 3, 7 and 15 seconds"
        registry.fault = None
        assert await outbox.send_due() == 1
        assert registry.taken == [alias("2")]


async def test_a_store_that_takes_no_notes_ends_no_other_line_in_the_middle(tmp_path: Path, clock: Clock) -> None:
    """Else the next round would send what is being sent."""
    under_way: list[str] = []
    most = 0

    async def slow(delivery: Delivery) -> None:
        nonlocal most
        under_way.append(delivery.subject)
        most = max(most, under_way.count(delivery.subject))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        under_way.remove(delivery.subject)

    async with opened(tmp_path) as store:
        await step(store, 1, "1", deliveries=[alias("1", f"d{number}") for number in range(6)])
        outbox = Outbox(store.database, {"registry.alias": slow}, clock, manner=Manner(lines_at_once=3))
        real, calls = outbox._send, 0

        async def failing(*given: Any) -> bool:
            nonlocal calls
            calls += 1
            is_first = calls == 1
            sent = await real(*given)
            if is_first:
                raise Unavailable("the disk is full")
            return sent

        outbox._send = failing  # type: ignore[method-assign, assignment]
        with pytest.raises(Unavailable):
            await outbox.send_due()
        assert under_way == []
        await outbox.send_due()
        assert most == 1
