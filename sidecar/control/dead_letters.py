"""Events that were given up: which ones, why, and sending one again.

Keeps: nothing here is sent; a letter that is sent again goes back into its line in its old place and has all its tries
anew. Listed are at most the newest 500; they are kept for 30 days.
Called by: the service that the admin API sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import ColumnElement, Row, func, select, update

from sidecar.control import schema
from sidecar.control.database import Database
from sidecar.control.event_post import EVENT, place_of
from sidecar.errors import Unknown
from sidecar.recorded import DeadLetter, DeadLetters

KEPT_S = 30 * 86_400.0
_LISTED = 500


class _Posted(msgspec.Struct, frozen=True):
    id: str = ""
    type: str = ""
    time: str | None = None


class DeadLetterOffice:
    """Reads and sends again. `wake` tells the outbox."""

    def __init__(self, database: Database, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._wake = wake
        # As last counted: events that wait, and that were given up.
        self.waiting, self.dead = 0, 0

    async def count(self) -> None:
        """Counts anew. Raises Unavailable."""
        table = schema.outbox
        counted = [select(func.count()).select_from(table).where(which) for which in (_waits(), _dead())]
        self.waiting, self.dead = await self._database.transact(
            lambda connection: [connection.execute(count).scalar_one() for count in counted]
        )

    async def letters(self) -> DeadLetters:
        """The newest first, and how many events wait for their delivery."""
        asked = select(schema.outbox).where(_dead()).order_by(schema.outbox.c.id.desc()).limit(_LISTED)
        found = await self._database.rows(asked)
        await self.count()
        return DeadLetters(items=tuple(map(_letter, found)), dead=self.dead, waiting=self.waiting)

    async def letter(self, letter: int) -> DeadLetter:
        """One of them. Raises Unknown."""
        found = await self._database.rows(select(schema.outbox).where(_dead(letter)))
        if not found:
            raise Unknown(f"there is no dead letter {letter}; `sidecar events dead` lists them")
        return _letter(found[0])

    async def send_again(self, letter: int) -> None:
        """It waits again, due at once. Raises Unknown where another call was faster."""
        values = {"aside_at": None, "attempts": 0, "next_at": self._clock(), "fault": None}
        change = update(schema.outbox).where(_dead(letter)).values(values)
        if not await self._database.change(change):
            raise Unknown(f"there is no dead letter {letter}; `sidecar events dead` lists them")
        self._wake()


def _dead(letter: int | None = None) -> ColumnElement[bool]:
    table = schema.outbox
    dead = (table.c.kind == EVENT) & table.c.aside_at.is_not(None)
    return dead if letter is None else dead & (table.c.id == letter)


def _waits() -> ColumnElement[bool]:
    table = schema.outbox
    return (table.c.kind == EVENT) & table.c.aside_at.is_(None) & table.c.done_at.is_(None)


def _shown(url: str) -> str:
    """Scheme, host and port: some services have a secret in the path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + ("/…" if parts.path.strip("/") or parts.query else "")


def _letter(row: Row[Any]) -> DeadLetter:
    deployment, url = place_of(row.subject)
    try:
        posted = msgspec.json.decode(row.payload, type=_Posted)
    except (msgspec.MsgspecError, UnicodeError):
        posted = _Posted()
    return DeadLetter(
        letter=row.id,
        event=posted.id,
        type=posted.type,
        deployment=deployment,
        receiver=_shown(url),
        happened=posted.time,
        attempts=row.attempts,
        given_up=row.aside_at,
        fault=row.fault or "",
    )
