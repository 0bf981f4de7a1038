"""The durable sender: what a transition has to tell others is told at least once, also after a restart.

Keeps: rows of one kind and subject go out in their order, one waits for the one before, or where a kind is delivered
by whole lines, all that waits goes out at once; a failure waits 1 s, 2 s, 4 s, up to 5 minutes and ends no row, but
where its `Manner` gives up after so long; what nobody can read or take is set aside and holds up no other; rows that
are done or set aside stay for a while, then go.
Does not: add rows (they are part of a transition in `store`), know what a handler does, or send twice at a time.
Called by: control's composition root, which hands in a handler per kind; `controller` wakes it; `write_back` has what
it has learnt on the way noted.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, Row, Select, cast, delete, func, select, update

from sidecar.control import schema
from sidecar.control.database import Database
from sidecar.control.store import Delivery
from sidecar.errors import Unavailable

log = logging.getLogger("sidecar.control.outbox")

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


class Unreadable(Exception):
    """These of the deliveries will never be understood, whenever they are tried; nothing was done about the others."""

    def __init__(self, says: str, deliveries: Collection[Delivery]) -> None:
        super().__init__(says)
        self.deliveries = deliveries


@dataclass(frozen=True, slots=True)
class Manner:
    """Which rows an outbox sends, and how.

    Attributes:
        only, never: kinds; `only` None means all but `never`. Two outboxes on one store share no kind.
        give_up_s: a row that was tried for so long is set aside; None: never.
        lines_at_once: how many lines are sent beside each other, so that a slow receiver holds up no other.
        aside_kept_s: how long rows that were set aside stay.
    """

    only: frozenset[str] | None = None
    never: frozenset[str] = frozenset()
    give_up_s: float | None = None
    lines_at_once: int = 1
    aside_kept_s: float = DONE_KEPT_S


@dataclass(frozen=True, slots=True)
class Kept:
    """All of a kind, oldest first: what `waits`, of that what has `landed` in part, and what was set `aside`.

    `faults`: by subject, why the last try failed.
    """

    waits: tuple[Delivery, ...] = ()
    landed: tuple[Delivery, ...] = ()
    aside: tuple[Delivery, ...] = ()
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """Rows that are not delivered yet, and the newest fault among them."""

    pending: int
    fault: str | None


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as it can be read: one that was damaged is due, and its payload is what no handler understands."""

    id: int
    delivery: Delivery
    attempts: int
    next_at: float
    fault: str | None
    has_landed: bool
    is_aside: bool

    def is_due(self, now: float) -> bool:
        """Also where it seems to wait for longer than anything does: the clock was set back since."""
        return not now < self.next_at <= now + LONGEST_WAIT_S


class Outbox:
    """Sends what is due. `run` is one task for the life of the process; `wake` makes it look at once."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        clock: Callable[[], float],
        lines: Mapping[str, LineHandler] | None = None,
        manner: Manner | None = None,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._clock = clock
        self._lines = lines or {}
        self._manner = manner or Manner()
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
        old = (table.c.done_at < now - DONE_KEPT_S) | (table.c.aside_at < now - self._manner.aside_kept_s)

        def what_waits(connection: Connection) -> Sequence[Row[Any]]:
            connection.execute(delete(table).where(old & self._mine()))
            found: Sequence[Row[Any]] = connection.execute(_query().where(_waits() & self._mine())).all()
            return found

        rows = _rows(await self._database.transact(what_waits))
        lines: dict[tuple[str, str], list[_Row]] = {}
        for row in rows:
            lines.setdefault((row.delivery.kind, row.delivery.subject), []).append(row)
        sending = asyncio.Semaphore(self._manner.lines_at_once)

        async def send(kind: str, line: Sequence[_Row]) -> int:
            async with sending:
                return await self._send_line(kind, line, now)

        # All come to their end before one's fault is raised: no row is ever sent twice at a time.
        ends = await asyncio.gather(*(send(kind, line) for (kind, _), line in lines.items()), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return sum(end for end in ends if isinstance(end, int))

    def _mine(self) -> ColumnElement[bool]:
        kind, manner = schema.outbox.c.kind, self._manner
        return kind.not_in(manner.never) if manner.only is None else kind.in_(manner.only)

    async def _send_line(self, kind: str, line: Sequence[_Row], now: float) -> int:
        whole = self._lines.get(kind)
        if whole is not None:
            # What came last is due at once: what waits before it goes with it.
            if not any(row.is_due(now) for row in line):
                return 0
            try:
                return len(line) if await self._send(line, whole(_deliveries(line))) else 0
            except Unreadable as error:
                rest = await self._set_aside(line, error)
            # The handler says the same of none that is left, so this comes to an end.
            return await self._send_line(kind, rest, now) if 0 < len(rest) < len(line) else 0
        sent = 0
        for row in line:
            if not row.is_due(now):
                break
            try:
                if await self._send([row], self._handle(row)):
                    sent += 1
                elif not self._gives_up(row):
                    break
            except Unreadable as error:
                await self._set_aside([row], error)
        return sent

    def _gives_up(self, row: _Row) -> bool:
        """Whether this failure was a row's last one: it has waited as long as rows may."""
        give_up_s = self._manner.give_up_s
        return give_up_s is not None and sum(_wait_s(attempt) for attempt in range(row.attempts)) >= give_up_s

    async def _set_aside(self, rows: Sequence[_Row], fault: Unreadable) -> list[_Row]:
        """These wait no more; the rows that are left."""
        apart = [row for row in rows if row.delivery in fault.deliveries]
        says, table = _told(fault), schema.outbox
        change = update(table).where(table.c.id.in_([row.id for row in apart]))
        await self._database.change(change.values(aside_at=self._clock(), fault=says))
        for row in apart:
            fields = {"kind": row.delivery.kind, "subject": row.delivery.subject, "row": row.id, "says": says}
            log.error("what is to be told cannot be read, and is set aside", extra={"fields": fields})
        return [row for row in rows if row not in apart]

    async def _handle(self, row: _Row) -> None:
        handler = self._handlers.get(row.delivery.kind)
        if handler is None:
            raise Undelivered(f"nothing here delivers {row.delivery.kind}: the settings that made it are gone")
        await handler(row.delivery)

    async def hurry(self, kind: str, subject: str) -> None:
        """Whoever this line goes to answers again: what waits is due now. Raises Unavailable."""
        table = schema.outbox
        change = update(table).where((table.c.kind == kind) & (table.c.subject == subject) & _waits())
        await self._database.change(change.values(next_at=self._clock()))
        self.wake()

    async def landed(self, delivery: Delivery) -> None:
        """What matters of a delivery that is under way was told: known after a restart too. Raises Unavailable."""
        table = schema.outbox
        same = (table.c.kind == delivery.kind) & (table.c.subject == delivery.subject)
        change = update(table).where(same & (table.c.payload == delivery.payload) & _waits())
        await self._database.change(change.values(landed_at=self._clock()))

    async def kept(self, kind: str) -> Kept:
        """What an earlier run has left of a kind. Raises Unavailable."""
        table = schema.outbox
        of_kind = _query().where((table.c.kind == kind) & table.c.done_at.is_(None))
        rows = _rows(await self._database.rows(of_kind))
        waits = [row for row in rows if not row.is_aside]
        return Kept(
            waits=_deliveries(waits),
            landed=_deliveries([row for row in waits if row.has_landed]),
            aside=_deliveries([row for row in rows if row.is_aside]),
            faults={row.delivery.subject: row.fault for row in waits if row.fault is not None},
        )

    async def waiting(self, kind: str) -> tuple[Delivery, ...]:
        """All of a kind that is not delivered yet, oldest first."""
        return (await self.kept(kind)).waits

    async def status(self, kind: str, subject: str) -> OutboxStatus:
        """How one line of deliveries stands."""
        table = schema.outbox
        of_line = (table.c.kind == kind) & (table.c.subject == subject) & _waits()
        rows = _rows(await self._database.rows(_query().where(of_line)))
        return OutboxStatus(len(rows), next((row.fault for row in rows if row.fault is not None), None))

    async def _round(self) -> float:
        """Sends what is due; how long nothing will be."""
        try:
            await self.send_due()
            return await self._next_due_s()
        except Unavailable:
            # The store cannot take notes now, so what was sent will be sent again: wait rather than hammer.
            return _IDLE_S

    async def _next_due_s(self) -> float:
        query = select(func.min(schema.outbox.c.next_at).label("first")).where(_waits() & self._mine())
        next_at = _number((await self._database.rows(query))[0].first)
        # A row that waits for the one before it is due by its own clock: never spin on it.
        return _IDLE_S if next_at is None else min(_IDLE_S, max(FIRST_WAIT_S, next_at - self._clock()))

    async def _send(self, rows: Sequence[_Row], delivery: Awaitable[None]) -> bool:
        """Tries once, and notes of all these rows how it went."""
        fault: str | None = None
        try:
            await delivery
        except (Undelivered, OSError, TimeoutError) as error:
            fault = _told(error)
        now = self._clock()
        change = update(schema.outbox).where(schema.outbox.c.id.in_([row.id for row in rows]))
        if fault is None:
            change = change.values(done_at=now, fault=None)
        else:
            attempts = max(row.attempts for row in rows)
            change = change.values(attempts=attempts + 1, next_at=now + _wait_s(attempts), fault=fault)
            if len(rows) == 1 and self._gives_up(rows[0]):
                change = change.values(aside_at=now)
                fields = {"kind": rows[0].delivery.kind, "row": rows[0].id, "says": fault}
                log.error("given up, and set aside: it can be sent again", extra={"fields": fields})
        await self._database.change(change)
        return fault is None


def _wait_s(attempts: int) -> float:
    """How long a row waits that had failed so often before."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts, 16))


def _waits() -> ColumnElement[bool]:
    return schema.outbox.c.done_at.is_(None) & schema.outbox.c.aside_at.is_(None)


def _query() -> Select[Any]:
    """All rows, texts as they lie there: a damaged one must not hide the others."""
    table = schema.outbox
    texts = (cast(table.c[name], LargeBinary).label(name) for name in ("kind", "subject", "payload", "fault"))
    return select(table.c.id, *texts, table.c.attempts, table.c.next_at, table.c.landed_at, table.c.aside_at).order_by(
        table.c.id
    )


def _rows(found: Sequence[Row[Any]]) -> list[_Row]:
    return [
        _Row(
            id=row.id,
            delivery=Delivery(_text(row.kind), _text(row.subject), _text(row.payload)),
            attempts=int(_number(row.attempts) or 0),
            next_at=_number(row.next_at) or 0.0,
            fault=None if row.fault is None else _text(row.fault),
            has_landed=row.landed_at is not None,
            is_aside=row.aside_at is not None,
        )
        for row in found
    ]


def _text(stored: bytes) -> str:
    """What is no UTF-8 keeps its bytes, as halves of surrogate pairs, which are in no JSON."""
    return bytes(stored).decode("utf-8", "surrogateescape")


def _number(stored: object) -> float | None:
    return float(stored) if isinstance(stored, int | float) else None


def _told(fault: Exception) -> str:
    """One sentence that a database takes."""
    return (str(fault) or type(fault).__name__)[:_FAULT_LENGTH].encode("utf-8", "replace").decode()


def _deliveries(rows: Sequence[_Row]) -> tuple[Delivery, ...]:
    return tuple(row.delivery for row in rows)
