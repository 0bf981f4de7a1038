"""Puts events into the outbox, one row for each receiver that wants them, so that each is told at least once.

Keeps: a transition's events are written in its own transaction; all others before what they tell of counts as told; a
fact that is in the outbox already (it is kept there for days) is not told anew; what waits for a receiver is bounded,
the oldest is set aside. Order holds for each receiver and deployment.
Does not: send (`event_sender` does, through the outbox), or make events.
Called by: `announcer` and `controller` through control's composition root, `rounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from sidecar.config_events import EventReceiver
from sidecar.control import schema
from sidecar.control.database import Database
from sidecar.control.store import Delivery
from sidecar.decide.promotion import Plan
from sidecar.decide.told_event import cloud_event, event_of_plan
from sidecar.standing import Event

EVENT = "event"
# Of one receiver and deployment. Alarms and transitions are few: this is months of them, or something ran wild.
MOST_WAITING = 5_000
_MOST_KNOWN = 20_000
# These go out with the transaction of what they tell; whoever listens hears of them all the same.
_WRITTEN_ALREADY = frozenset(
    {
        "sidecar.promoted",
        "sidecar.rolledback",
        "sidecar.canary.moved",
        "sidecar.canary.stopped",
        "sidecar.retrain.recommended",
    }
)


class _Told(msgspec.Struct, frozen=True):
    id: str


class EventPost:
    """Takes events and writes them. `receivers` are the settings' as they are now; `wake` tells the outbox."""

    def __init__(
        self,
        database: Database,
        receivers: Callable[[], Sequence[EventReceiver]],
        clock: Callable[[], float],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._receivers = receivers
        self._clock = clock
        self._wake = wake
        self._taken: list[Event] = []
        # Ids, in the order in which they came: the oldest are forgotten.
        self._known: dict[str, None] = {}

    async def take_up(self) -> None:
        """Which facts earlier runs have told; once, before the first event. Raises Unavailable."""
        payload = schema.outbox.c.payload
        rows = await self._database.rows(select(payload).where(schema.outbox.c.kind == EVENT))
        ids = (_id_of(row.payload) for row in rows)
        self._known.update(dict.fromkeys(told for told in ids if told is not None))

    def of_plan(self, plan: Plan) -> tuple[Delivery, ...]:
        """What a transition has to tell; written in the transition's own transaction."""
        event = event_of_plan(plan)
        return () if event is None else self.deliveries(event)

    def deliveries(self, event: Event) -> tuple[Delivery, ...]:
        """One row for each receiver that wants this type."""
        wanting = [receiver for receiver in self._receivers() if not receiver.types or event.type in receiver.types]
        if not wanting:
            return ()
        text = cloud_event(event)
        return tuple(Delivery(EVENT, line_of(event.deployment, receiver.url), text) for receiver in wanting)

    def take(self, event: Event) -> None:
        """An event that is no transition's; it is written by the next `flush`."""
        if event.id and event.type not in _WRITTEN_ALREADY and event.id not in self._known:
            self._known[event.id] = None
            self._taken.append(event)
            while len(self._known) > _MOST_KNOWN:
                del self._known[next(iter(self._known))]

    async def flush(self) -> None:
        """Writes what was taken. Raises Unavailable, and then it is kept for the next one."""
        taken = list(self._taken)
        rows = [delivery for event in taken for delivery in self.deliveries(event)]
        if rows:
            await self._database.transact(partial(_post, rows=rows, now=self._clock()))
            self._wake()
        del self._taken[: len(taken)]


def _post(connection: Connection, *, rows: Sequence[Delivery], now: float) -> None:
    values: list[dict[str, Any]] = [msgspec.structs.asdict(row) | {"attempts": 0, "next_at": now} for row in rows]
    connection.execute(insert(schema.outbox), values)
    for subject in dict.fromkeys(row.subject for row in rows):
        _bound(connection, subject, now)


def _bound(connection: Connection, subject: str, now: float) -> None:
    table = schema.outbox
    waits = (table.c.kind == EVENT) & (table.c.subject == subject)
    waits &= table.c.done_at.is_(None) & table.c.aside_at.is_(None)
    waiting = connection.execute(select(func.count()).select_from(table).where(waits)).scalar_one()
    if waiting > MOST_WAITING:
        oldest = select(table.c.id).where(waits).order_by(table.c.id).limit(waiting - MOST_WAITING)
        says = f"more than {MOST_WAITING} events waited for this receiver"
        change = update(table).where(table.c.id.in_(oldest.scalar_subquery()))
        connection.execute(change.values(aside_at=now, fault=says))


def line_of(deployment: str, url: str) -> str:
    """The outbox's line: what goes to one receiver about one deployment stays in order."""
    return f"{deployment} {url}"


def place_of(subject: str) -> tuple[str, str]:
    """Deployment and URL of a line."""
    deployment, _, url = subject.partition(" ")
    return deployment, url


def _id_of(payload: str) -> str | None:
    try:
        return msgspec.json.decode(payload, type=_Told).id
    except (msgspec.MsgspecError, TypeError, UnicodeError):
        return None
