"""The questions and changes behind `decisions`, each on a transaction that the caller opened and will commit.

Keeps: plain SQL for SQLite and PostgreSQL alike; values are always parameters, so an id is data whatever it holds;
a request that was recorded before is left alone (its first prediction stays). Does not open, lock, buffer or commit.
Called by: `decisions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import orjson
from sqlalchemy import ColumnElement, Row, Select, Table, and_, bindparam, delete, insert, select, update

from sidecar.control.database import StoreError, Transaction
from sidecar.control.decision_row import DecisionRow, Joined
from sidecar.control.decision_tables import decision, outcome
from sidecar.observe.outcomes import Kept, settle
from sidecar.observe.quality import RowPrediction
from sidecar.records import Outcome

Key = tuple[str, int]  # request id, row

_MOST_PAIRS_PER_KEY = 8
_decoder = msgspec.msgpack.Decoder(dict[str, RowPrediction])
# An outcome belongs to one deployment's row: ids may repeat between deployments, labels must not cross over.
BELONGS: ColumnElement[bool] = and_(
    outcome.c.request_id == decision.c.request_id,
    outcome.c.row == decision.c.row,
    outcome.c.deployment == decision.c.deployment,
)


async def insert_decisions(connection: Transaction, rows: Sequence[DecisionRow]) -> int:
    """Inserts rows of requests that are new; answers how many rows repeated an earlier request's id.

    Rows of one request may come in several calls: they bear the same time.
    """
    ids = {row.request_id for row in rows}
    asked = select(decision.c.deployment, decision.c.request_id, decision.c.row, decision.c.at)
    known = list(await connection.execute(asked.where(decision.c.request_id.in_(ids))))
    stored = {(found.deployment, found.request_id, found.row) for found in known}
    first = {(found.deployment, found.request_id): found.at for found in known}
    fresh: dict[tuple[str, str, int], dict[str, object]] = {}
    for row in rows:
        key = (row.deployment, row.request_id, row.row)
        # Stored already: a write whose end was not heard of, because the task was cancelled in that moment.
        if first.setdefault(key[:2], row.at) == row.at and key not in stored:
            fresh.setdefault(key, _decision_values(row))
    if fresh:
        await connection.execute(insert(decision), list(fresh.values()))
    return len(rows) - len(fresh)


async def match_pending(connection: Transaction, rows: Sequence[DecisionRow]) -> list[Joined]:
    """Matches outcomes that came before these rows did."""
    waiting = select(outcome.c.request_id).where(outcome.c.state == "pending").limit(1)
    if (await connection.execute(waiting)).first() is None:
        return []
    keys = {(row.request_id, row.row) for row in rows}
    asked = select(outcome).where(outcome.c.state == "pending")
    found_pending = await _at_keys(connection, asked, outcome, keys)
    pending = {(row.request_id, row.row): orjson.loads(row.value) for row in found_pending}
    if not pending:
        return []
    found = await _decided(connection, pending)
    await connection.execute(
        update(outcome)
        .where(outcome.c.request_id == bindparam("key_id"), outcome.c.row == bindparam("key_row"))
        .values(state="matched", deployment=bindparam("joined_deployment")),
        [{"key_id": key[0], "key_row": key[1], "joined_deployment": row.deployment} for key, row in found.items()],
    )
    return [join_row(row, pending[key]) for key, row in found.items()]


async def orphan_the_old(connection: Transaction, now: float) -> int:
    """Pending outcomes whose request did not come in time become orphans; answers how many."""
    old = outcome.c.state == "pending", outcome.c.orphan_at < now
    return (await connection.execute(update(outcome).where(*old).values(state="orphan"))).rowcount


async def settle_all(
    connection: Transaction, posted: Sequence[Outcome], now: float, early_s: float, window_s: float
) -> tuple[Counter[str], list[Joined]]:
    """Settles posted outcomes in their order and stores what changed."""
    keys = {(item.request_id, item.row) for item in posted}
    decided = await _decided(connection, keys)
    stored = await _at_keys(connection, select(outcome), outcome, keys)
    kept = {(row.request_id, row.row): Kept(orjson.loads(row.value), row.state) for row in stored}
    stale = set(kept)
    counts: Counter[str] = Counter()
    changed: dict[Key, dict[str, object]] = {}
    matches: dict[Key, Joined] = {}
    for item in posted:
        key = (item.request_id, item.row)
        row = decided.get(key)
        settled = settle(item, kept.get(key), row.at if row is not None else None, now, window_s)
        counts[settled.counts_as] += 1
        if settled.stored_as is None:
            continue
        kept[key] = Kept(item.value, settled.stored_as)
        changed[key] = {
            "request_id": item.request_id,
            "row": item.row,
            "value": orjson.dumps(item.value).decode(),
            "at": item.at,
            "received": now,
            "state": settled.stored_as,
            "orphan_at": now + early_s,
            "deployment": row.deployment if row is not None else None,
        }
        if row is not None and settled.stored_as == "matched":
            # A correction within the same call takes the place of a join that nobody has seen yet.
            unseen = matches.get(key)
            matches[key] = join_row(row, item.value, unseen.replaces if unseen is not None else settled.replaces)
    replaced = [{"key_id": request_id, "key_row": row} for request_id, row in changed if (request_id, row) in stale]
    if replaced:
        where = outcome.c.request_id == bindparam("key_id"), outcome.c.row == bindparam("key_row")
        await connection.execute(delete(outcome).where(*where), replaced)
    if changed:
        # In the table's own order: neighbours fall onto the same pages.
        await connection.execute(insert(outcome), [changed[key] for key in sorted(changed)])
    return counts, list(matches.values())


def join_row(row: Row[Any], value: str | float, replaces: str | float | None = None) -> Joined:
    """A decision's row with its outcome."""
    return Joined(
        deployment=row.deployment,
        request_id=row.request_id,
        row=row.row,
        generation=row.generation,
        champion=row.champion,
        predictions=predictions_of(row),
        outcome=value,
        at=row.at,
        replaces=replaces,
    )


def predictions_of(row: Row[Any]) -> dict[str, RowPrediction]:
    """What each version said; StoreError where the file holds something else."""
    try:
        return _decoder.decode(row.predictions)
    except msgspec.DecodeError as error:
        raise StoreError(
            "decisions.db holds a prediction that cannot be read: restore it from a backup or move it away"
        ) from error


def _decision_values(row: DecisionRow) -> dict[str, object]:
    return {
        "request_id": row.request_id,
        "row": row.row,
        "deployment": row.deployment,
        "at": row.at,
        "generation": row.generation,
        "champion": row.champion,
        "predictions": msgspec.msgpack.encode(row.predictions),
    }


async def _decided(connection: Transaction, keys: Iterable[Key]) -> dict[Key, Row[Any]]:
    """The decision for each key; where several deployments used one id, the one that saw it first."""
    found: dict[Key, Row[Any]] = {}
    for row in await _at_keys(connection, select(decision), decision, keys):
        key = (row.request_id, row.row)
        if key not in found or (row.at, row.deployment) < (found[key].at, found[key].deployment):
            found[key] = row
    return found


async def _at_keys(connection: Transaction, asked: Select[Any], table: Table, keys: Iterable[Key]) -> list[Row[Any]]:
    """The rows of `table` with these keys, by its primary key (SQLite scans the table for pairs in a list)."""
    wanted = set(keys)
    found: list[Row[Any]] = []
    for portion in _portions(sorted(wanted)):
        ids, rows = {request_id for request_id, _ in portion}, {row for _, row in portion}
        those = asked.where(table.c.request_id.in_(ids), table.c.row.in_(rows))
        found.extend(row for row in await connection.execute(those) if (row.request_id, row.row) in wanted)
    return found


def _portions(keys: list[Key]) -> Iterator[list[Key]]:
    """Splits ascending keys until every id beside every row is not many more pairs than keys."""
    pairs = len({request_id for request_id, _ in keys}) * len({row for _, row in keys})
    if pairs <= _MOST_PAIRS_PER_KEY * len(keys):
        yield keys
        return
    yield from _portions(keys[: len(keys) // 2])
    yield from _portions(keys[len(keys) // 2 :])
