"""All joins of a decisions file, read page by page: what quality is counted from after a start.

Keeps: a page is a transaction of its own, so that nobody waits for all of them. Called by: `decisions`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial

from sqlalchemy import Connection, and_, bindparam, or_, select

from sidecar.control.database import Database
from sidecar.control.decision_queries import BELONGS, Key, join_row, joins_of
from sidecar.control.decision_row import Joined
from sidecar.control.decision_tables import decision, joined, outcome

PAGE_ROWS = 2_000  # read in one piece

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
        given = {"last_id": last[0], "last_row": last[1]}
        page = await database.transact(partial(_judged_page, given=given))
        for join in page:
            yield join
        if len(page) < PAGE_ROWS:
            return
        last = (page[-1].request_id, page[-1].row)


async def joins_after(database: Database, seq: int) -> AsyncIterator[Joined]:
    """Every join with a later number whose decision is still there, in their order."""
    while True:
        noted = await database.transact(partial(_next_joins, after=seq))
        if noted is None:
            return
        seq, joins = noted
        for join in joins:
            yield join


def _judged_page(connection: Connection, *, given: Mapping[str, object]) -> list[Joined]:
    return [join_row(row) for row in connection.execute(_judged.limit(PAGE_ROWS), given)]


def _next_joins(connection: Connection, *, after: int) -> tuple[int, list[Joined]] | None:
    """The number of the next stored piece, and its joins; None after the last one."""
    noted = connection.execute(_joins, {"last": after}).one_or_none()
    return None if noted is None else (noted.seq, joins_of(connection, noted.rows, after))
