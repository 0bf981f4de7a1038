"""What `decisions` deletes: what is too old, and the oldest rows of a file that is too large.

Keeps: small transactions, so that nobody waits long for one; an outcome goes with its decision. What is deleted makes
room in the file, which itself does not shrink. Called by: `decisions`, on the rounds' timer.
"""

from __future__ import annotations

from functools import partial

from sqlalchemy import ColumnElement, Connection, delete, func, select, tuple_

from sidecar.control.database import Database
from sidecar.control.decision_tables import decision, gate_hour, outcome

_SLICE_ROWS = 5_000
# Where it is over its bound it is brought below it by so much, so that the next flush does not cross it again.
_BELOW = 0.98


async def delete_older(database: Database, before: float) -> int:
    """Deletes decisions that were made before that time, with their outcomes, and outcomes that came before it and
    never found one; how many decisions.
    """
    deleted = 0
    while True:
        rows = await database.transact(partial(_delete_oldest, which=decision.c.at < before))
        deleted += rows
        if rows < _SLICE_ROWS:
            break
    while await database.transact(partial(_delete_unmatched, before=before)):
        pass
    return deleted


async def delete_beyond(database: Database, most_bytes: int) -> int:
    """Deletes the oldest decisions, with their outcomes, until the file's content is within the bound; how many."""
    deleted, bound = 0, most_bytes
    while True:
        rows = await database.transact(partial(_delete_above, bound=bound))
        if not rows:
            return deleted
        deleted += rows
        bound = int(most_bytes * _BELOW)


def used_bytes(connection: Connection) -> int:
    """What the file's content takes, without the room that deleted rows left, and without the gates' hours.

    These have a bound of their own, and no decision that is deleted makes them smaller.
    """
    pages, free, size = [
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_count", "freelist_count", "page_size")
    ]
    hours = connection.execute(select(func.coalesce(func.sum(func.length(gate_hour.c.record)), 0))).scalar_one()
    return max(0, (pages - free) * size - int(hours))


def _delete_unmatched(connection: Connection, *, before: float) -> bool:
    """At most a slice of outcomes that came before that time and never found a decision; whether there are more."""
    unmatched = outcome.c.deployment.is_(None)
    old = select(outcome.c.received).where(unmatched, outcome.c.received < before).order_by(outcome.c.received)
    last = connection.execute(old.limit(1).offset(_SLICE_ROWS - 1)).scalar()
    until = outcome.c.received < before if last is None else outcome.c.received <= last
    connection.execute(delete(outcome).where(unmatched, until))
    return last is not None


def _delete_above(connection: Connection, *, bound: int) -> int:
    """The oldest slice of a file that is larger; how many."""
    return 0 if used_bytes(connection) <= bound else _delete_oldest(connection, decision.c.at.is_not(None))


def _delete_oldest(connection: Connection, which: ColumnElement[bool]) -> int:
    """At most a slice of decisions, oldest first, and a few more that are as old as the last of them."""
    oldest = select(decision.c.at).where(which).order_by(decision.c.at)
    last = connection.execute(oldest.limit(1).offset(_SLICE_ROWS - 1)).scalar()
    if last is None:
        last = connection.execute(select(func.max(decision.c.at)).where(which)).scalar()
    if last is None:
        return 0
    gone = select(decision.c.request_id, decision.c.row, decision.c.deployment).where(decision.c.at <= last).subquery()
    mine = (
        (outcome.c.request_id == gone.c.request_id)
        & (outcome.c.row == gone.c.row)
        & (outcome.c.deployment == gone.c.deployment)
    )
    keys = select(outcome.c.request_id, outcome.c.row).select_from(gone.join(outcome, mine))
    connection.execute(delete(outcome).where(tuple_(outcome.c.request_id, outcome.c.row).in_(keys)))
    return connection.execute(delete(decision).where(decision.c.at <= last)).rowcount
