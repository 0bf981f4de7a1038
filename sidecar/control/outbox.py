"""The durable sender: what a transition has to tell others is told at least once, also after a restart.

Keeps: rows of one kind and subject go out in their order, one waits for the one before, or where a kind is delivered
by whole lines, all that waits goes out at once; a failure waits 1 s, 2 s, 4 s, up to 5 minutes and never ends a row;
done rows stay for 7 days, then go.
Does not: add rows (they are part of a transition in `store`), know what a handler does, or send twice at a time.
Called by: control's composition root, which hands in a handler per kind; `controller` wakes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, delete, func, select, update

from sidecar.control import schema
from sidecar.control.database import Database
from sidecar.control.store import Delivery
from sidecar.errors import Unavailable

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
DONE_KEPT_S = 7 * 86_400.0
# With nothing due the sender still looks this often: the clock may have been set.
_IDLE_S = 60.0
_FAULT_LENGTH = 500

Handler = Callable[[Delivery], Awaitable[None]]
# Takes everything that waits for one subject, oldest first; it is delivered as a whole or not at all.
LineHandler = Callable[[Sequence[Delivery]], Awaitable[None]]


class Undelivered(Exception):
    """A handler could not deliver now. The message is one sentence, shown in the deployment's status."""


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """Rows that are not delivered yet, and the newest fault among them."""

    pending: int
    fault: str | None


class Outbox:
    """Sends what is due. `run` is one task for the life of the process; `wake` makes it look at once."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        clock: Callable[[], float],
        lines: Mapping[str, LineHandler] | None = None,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._clock = clock
        self._lines = lines or {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something new to send."""
        self._woken.set()

    async def run(self) -> None:
        """Sends until cancelled. A row that was being sent then is sent again after the next start."""
        while True:
            self._woken.clear()
            wait_s = await self._round()
            try:
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def send_due(self) -> int:
        """Tries each row that is due once; how many were delivered. Raises Unavailable when the store is."""
        table = schema.outbox
        now = self._clock()
        async with self._database.begin() as connection:
            await connection.execute(delete(table).where(table.c.done_at < now - DONE_KEPT_S))
            rows = (await connection.execute(select(table).where(table.c.done_at.is_(None)).order_by(table.c.id))).all()
        lines: dict[tuple[str, str], list[Row[tuple[object, ...]]]] = {}
        for row in rows:
            lines.setdefault((row.kind, row.subject), []).append(row)
        return sum([await self._send_line(kind, line, now) for (kind, _), line in lines.items()])

    async def _send_line(self, kind: str, line: Sequence[Row[tuple[object, ...]]], now: float) -> int:
        whole = self._lines.get(kind)
        if whole is not None:
            # What came last is due at once: what waits before it goes with it.
            due = any(row.next_at <= now for row in line)
            return len(line) if due and await self._send(line, whole(_deliveries(line))) else 0
        for sent, row in enumerate(line):
            if row.next_at > now or not await self._send([row], self._handle(row)):
                return sent
        return len(line)

    async def _handle(self, row: Row[tuple[object, ...]]) -> None:
        handler = self._handlers.get(row.kind)
        if handler is None:
            raise Undelivered(f"nothing here delivers {row.kind}: the settings that made it are gone")
        await handler(*_deliveries([row]))

    async def waiting(self, kind: str) -> tuple[Delivery, ...]:
        """All of a kind that is not delivered yet, oldest first."""
        table = schema.outbox
        query = select(table).where((table.c.kind == kind) & table.c.done_at.is_(None)).order_by(table.c.id)
        async with self._database.begin() as connection:
            return _deliveries((await connection.execute(query)).all())

    async def status(self, kind: str, subject: str) -> OutboxStatus:
        """How one line of deliveries stands."""
        table = schema.outbox
        of_line = (table.c.kind == kind) & (table.c.subject == subject) & table.c.done_at.is_(None)
        query = select(table.c.fault).where(of_line).order_by(table.c.id)
        async with self._database.begin() as connection:
            faults = (await connection.execute(query)).scalars().all()
        return OutboxStatus(len(faults), next((fault for fault in faults if fault is not None), None))

    async def _round(self) -> float:
        """Sends what is due; how long nothing will be."""
        try:
            await self.send_due()
            return await self._next_due_s()
        except Unavailable:
            # The store cannot take notes now, so what was sent will be sent again: wait rather than hammer.
            return _IDLE_S

    async def _next_due_s(self) -> float:
        query = select(func.min(schema.outbox.c.next_at)).where(schema.outbox.c.done_at.is_(None))
        async with self._database.begin() as connection:
            next_at = (await connection.execute(query)).scalar()
        # A row that waits for the one before it is due by its own clock: never spin on it.
        return _IDLE_S if next_at is None else min(_IDLE_S, max(FIRST_WAIT_S, next_at - self._clock()))

    async def _send(self, rows: Sequence[Row[tuple[object, ...]]], delivery: Awaitable[None]) -> bool:
        """Tries once, and notes of all these rows how it went."""
        fault: str | None = None
        try:
            await delivery
        except (Undelivered, OSError, TimeoutError) as error:
            fault = (str(error) or type(error).__name__)[:_FAULT_LENGTH]
        now = self._clock()
        change = update(schema.outbox).where(schema.outbox.c.id.in_([row.id for row in rows]))
        if fault is None:
            change = change.values(done_at=now, fault=None)
        else:
            attempts = max(row.attempts for row in rows)
            wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts, 16))
            change = change.values(attempts=attempts + 1, next_at=now + wait_s, fault=fault)
        async with self._database.begin() as connection:
            await connection.execute(change)
        return fault is None


def _deliveries(rows: Sequence[Row[tuple[object, ...]]]) -> tuple[Delivery, ...]:
    return tuple(Delivery(row.kind, row.subject, row.payload) for row in rows)
