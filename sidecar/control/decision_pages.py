"""All joins of a decisions file, read page by page: what quality is counted from after a start.

Keeps: a page is a transaction of its own, so that nobody waits for all of them. Called by: `decisions`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import and_, bindparam, or_, select

from sidecar.control.database import Database
from sidecar.control.decision_queries import BELONGS, Key, join_row, joins_of
from sidecar.control.decision_row import Joined
from sidecar.control.decision_tables import decision, joined, outcome

PAGE_ROWS = 2_000  # read in one piece, on the event loop

_judged = (
    select(decision, outcome.c.value, outcome.c.received)
    .select_from(outcome.join(decision, BELONGS))
    .where(
        outcome.c.state == "matched",
        or_(
            outcome.c.request_id > bindparam("last_id"),
            and_(outcome.c.request_id == bindparam("last_id"), outcome.c.row > bindparam("last_row")),
        ),
    )
    .order_by(outcome.c.request_id, outcome.c.row)
)
_joins = select(joined.c.seq, joined.c.rows).where(joined.c.seq > bindparam("last")).order_by(joined.c.seq).limit(1)


async def judged(database: Database) -> AsyncIterator[Joined]:
    """Every judged outcome with its decision, by request id and row."""
    last: Key = ("", -1)
    while True:
        async with database.begin() as connection:
            given = {"last_id": last[0], "last_row": last[1]}
            page = list(await connection.execute(_judged.limit(PAGE_ROWS), given))
        for row in page:
            yield join_row(row)
        if len(page) < PAGE_ROWS:
            return
        last = (page[-1].request_id, page[-1].row)


async def joins_after(database: Database, seq: int) -> AsyncIterator[Joined]:
    """Every join with a later number whose decision is still there, in their order."""
    while True:
        async with database.begin() as connection:
            noted = (await connection.execute(_joins, {"last": seq})).one_or_none()
            joins = [] if noted is None else await joins_of(connection, noted.rows, seq)
        if noted is None:
            return
        for join in joins:
            yield join
        seq = noted.seq
