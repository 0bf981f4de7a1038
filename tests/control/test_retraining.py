from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from sidecar.config_events import EventReceiver
from sidecar.control import schema
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.event_post import EventPost
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.retraining import RETRAIN, Retraining
from sidecar.control.store import Store
from sidecar.control.watch import DeploymentWatch
from sidecar.reports import AlarmChange
from sidecar.standing import Alarm, Event
from tests.control.live_samples import NOW, baseline, deployment, state
from tests.control.store_samples import opened
from tests.control.test_alarm_book import change

HOUR, DAY = 3_600.0, 86_400.0
DEGRADED = change("outcome/3", kind="outcome.degraded", severity="critical")
BROKEN = change("feature/amount", kind="data.broken", severity="critical")


class World:
    def __init__(self, store: Store) -> None:
        self.store, self.now = store, NOW
        self.receivers = [EventReceiver(url="http://127.0.0.1:9")]
        self.book = AlarmBook(())
        self.events: list[Event] = []
        self.start()

    def start(self, **policy: Any) -> None:
        """As after a restart; the alarms are known again."""
        made = deployment(retrain=policy)
        self.watch = DeploymentWatch(made, state(), baseline(), NOW)
        announcer = Announcer()
        announcer.announce = self.events.append  # type: ignore[method-assign,assignment]
        post = EventPost(self.store.database, lambda: self.receivers, lambda: self.now)
        self.retraining = Retraining(
            self.store,
            watches={"fraud": self.watch},
            alarms=self.book,
            announcer=announcer,
            post=post,
            registry=RegistrySync(None),
            clock=lambda: self.now,
            wake=lambda: None,
        )

    async def hold(self, *alarms: AlarmChange) -> None:
        """These alarms hold now, and are written."""
        self.book.update("fraud", "risk", alarms, self.now)
        for alarm in self.book.unsaved():
            await self.store.carryover.save_alarm(alarm)
            self.book.saved(alarm)

    async def look(self, after: float) -> int:
        """Time goes on, and the round comes by; how many events that brought."""
        self.now += after
        before = len(self.events)
        await self.retraining.round()
        return len(self.events) - before

    async def rows(self) -> list[dict[str, Any]]:
        return [json.loads(row.payload) for row in await self.store.database.rows(select(schema.outbox.c.payload))]

    async def deliver(self, **values: Any) -> None:
        await self.store.database.change(update(schema.outbox).values(**values))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as store:
        yield World(store)


def seen(alarm: Alarm) -> Alarm:
    return msgspec.structs.replace(alarm, acknowledged=True)


async def test_an_alarm_that_lasts_is_told_with_its_window_posted_and_in_the_trail(world: World) -> None:
    await world.hold(BROKEN)
    world.now += 2 * HOUR
    await world.hold()
    world.now += DAY
    await world.hold(change("outcome/3", kind="outcome.degraded", severity="critical", since=world.now))
    assert await world.look(0.5 * HOUR) == 0
    assert await world.look(0.6 * HOUR) == 1
    (event,) = world.events
    assert event.type == RETRAIN
    (document,) = await world.rows()
    data = document["data"]
    assert document["id"] == event.id
    assert data["leave_out"] == [{"from": "2023-11-14T22:13:15Z", "until": "2023-11-15T00:13:20Z"}]
    assert data["window"]["until"] == "2023-11-16T01:19:20Z"
    assert (data["champion"], data["model"], data["kind"]) == ("3", "fraud", "outcome.degraded")
    assert data["baseline"] == world.watch.baseline.digest  # type: ignore[union-attr]
    (entry,) = await world.store.audit_entries(0, 10)
    assert (entry.actor, entry.action) == ("sidecar", "recommend_retraining")
    assert json.loads(entry.details)["event"] == event.id


async def test_the_cooldown_begins_when_a_receiver_has_taken_it_also_over_a_restart(world: World) -> None:
    await world.hold(DEGRADED)
    assert await world.look(2 * HOUR) == 1
    assert await world.look(8 * DAY) == 0, "under way still"
    await world.deliver(done_at=world.now)
    world.start()
    assert await world.look(6 * DAY) == 0
    assert await world.look(1.1 * DAY) == 1
    assert len({event.id for event in world.events}) == 2


async def test_one_that_no_receiver_will_ever_take_opens_no_cooldown(world: World) -> None:
    await world.hold(DEGRADED)
    assert await world.look(2 * HOUR) == 1
    await world.deliver(aside_at=world.now)
    assert await world.look(10.0) == 1


async def test_without_receivers_listeners_are_told_and_the_cooldown_counts_from_then(world: World) -> None:
    world.receivers.clear()
    await world.hold(DEGRADED)
    assert await world.look(2 * HOUR) == 1
    assert await world.look(6.9 * DAY) == 0
    assert await world.look(0.2 * DAY) == 1
    assert await world.look(8 * DAY) == 0, "two a month"


async def test_a_person_is_waited_for_where_the_policy_asks(world: World) -> None:
    world.start(acknowledged=True)
    await world.hold(DEGRADED)
    assert await world.look(2 * HOUR) == 0
    (alarm,) = world.book.open("fraud")
    world.book.acknowledged(seen(alarm))
    assert await world.look(10.0) == 1


async def test_never_beside_a_broken_feed_until_a_person_has_seen_it(world: World) -> None:
    await world.hold(BROKEN)
    world.now += DAY
    await world.hold(BROKEN, change("outcome/3", kind="outcome.degraded", severity="critical", since=world.now))
    assert await world.look(DAY) == 0


async def test_where_nothing_stands_nothing_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(**_: float) -> tuple[Alarm, ...]:
        raise AssertionError("the disk was asked")

    monkeypatch.setattr(world.store.carryover, "alarms", read)
    assert await world.look(10.0) == 0
