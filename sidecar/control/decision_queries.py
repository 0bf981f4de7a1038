"""The questions and changes behind `decisions`, each on a transaction that the caller opened and will commit.

Keeps: values are always parameters, so an id is data whatever it holds; a request that was recorded before is left
alone (its first prediction stays). Thousands of keys go in, and rows come out, as one JSON text in one step: SQLite
works it off without this process' lock, which it would otherwise give up and take again for every row, behind a busy
loop each time. Does not open, lock, buffer or commit. Called by: `decisions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    func,
    insert,
    select,
    update,
)

from sidecar.control.database import StoreError
from sidecar.control.decision_row import DecisionRow, Joined
from sidecar.control.decision_tables import decision, joined, outcome
from sidecar.observe.outcomes import Kept, settle
from sidecar.observe.quality import RowPrediction
from sidecar.records import Outcome

Key = tuple[str, int]  # request id, row
_Group = tuple[str, str | None]  # state, deployment

# Rows of one request bear the same time; in JSON it may have lost its last bit.
_SAME_TIME_S = 1e-5
_decoder = msgspec.msgpack.Decoder(dict[str, RowPrediction])
# An outcome belongs to one deployment's row: ids may repeat between deployments, labels must not cross over.
BELONGS: ColumnElement[bool] = and_(
    outcome.c.request_id == decision.c.request_id,
    outcome.c.row == decision.c.row,
    outcome.c.deployment == decision.c.deployment,
)
_given: Any = func.json_each(bindparam("given")).table_valued("value", name="given")


class _Decided(msgspec.Struct, frozen=True, array_like=True, gc=False):
    request_id: str
    row: int
    deployment: str
    at: float
    generation: int
    champion: str
    predictions: str  # hexadecimal
    segments: str | None


class _Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    request_id: str
    row: int
    value: str
    state: Any
    received: float


class _Note(msgspec.Struct, frozen=True, array_like=True, gc=False):
    seq: int
    request_id: str
    row: int
    deployment: str
    value: str | float
    replaces: str | float | None
    received: float


def _member(place: int) -> Any:
    return func.json_extract(_given.c.value, f"$[{place}]")


def _exact(column: Any) -> Any:
    """A number with all its digits: SQLite writes fifteen of them into JSON."""
    return func.json(func.printf("%!.17g", column))


def _of_keys(table: Table, *columns: Any) -> Any:
    """One JSON list of rows at the given keys. A key is looked up by the primary key."""
    same = and_(table.c.request_id == _member(0), table.c.row == _member(1))
    found: FromClause = _given.join(table, same)
    return select(func.json_group_array(func.json_array(*columns))).select_from(found)


_DECIDED = _of_keys(
    decision,
    decision.c.request_id, decision.c.row, decision.c.deployment, _exact(decision.c.at), decision.c.generation,
    decision.c.champion, func.hex(decision.c.predictions), decision.c.segments,
)  # fmt: skip
_STORED = _of_keys(
    outcome, outcome.c.request_id, outcome.c.row, outcome.c.value, outcome.c.state, _exact(outcome.c.received)
)
_WAITING = _STORED.where(outcome.c.state == "pending")
# In the table's own order: neighbours fall onto the same pages. Given are request id, row, value and time.
_SAME = ("received", "state", "orphan_at", "deployment")
_PUT = (
    insert(outcome)
    .prefix_with("OR REPLACE")
    .from_select(
        ["request_id", "row", "value", "at", *_SAME],
        select(*(_member(place) for place in range(4)), *(bindparam(name) for name in _SAME)).select_from(_given),
    )
)
_read_notes = msgspec.json.Decoder(list[_Note]).decode
_read_decided = msgspec.json.Decoder(list[_Decided]).decode
_read_stored = msgspec.json.Decoder(list[_Stored]).decode


def write_decisions(connection: Connection, *, rows: Sequence[DecisionRow], seq: int) -> tuple[int, list[Joined]]:
    """Rows of requests that are new: how many repeat an earlier one, and the joins with outcomes that came before."""
    return _insert_decisions(connection, rows), _match_pending(connection, rows, seq)


def _insert_decisions(connection: Connection, rows: Sequence[DecisionRow]) -> int:
    """Inserts rows of requests that are new; answers how many rows repeated an earlier request's id.

    Rows of one request may come in several calls: they bear the same time.
    """
    ids = orjson.dumps(sorted({row.request_id for row in rows})).decode()
    same = decision.c.request_id == cast(_given.c.value, Text)
    asked = select(decision.c.deployment, decision.c.request_id, decision.c.row, decision.c.at)
    known = list(connection.execute(asked.select_from(_given.join(decision, same)), {"given": ids}))
    stored = {(found.deployment, found.request_id, found.row) for found in known}
    first = {(found.deployment, found.request_id): found.at for found in known}
    fresh: dict[tuple[str, str, int], dict[str, object]] = {}
    for row in rows:
        key = (row.deployment, row.request_id, row.row)
        # Stored already: a write whose end was not heard of, because the task was cancelled in that moment.
        if abs(first.setdefault(key[:2], row.at) - row.at) < _SAME_TIME_S and key not in stored:
            fresh.setdefault(key, _decision_values(row))
    if fresh:
        connection.execute(insert(decision), [fresh[key] for key in sorted(fresh, key=lambda key: key[1:])])
    return len(rows) - len(fresh)


def _match_pending(connection: Connection, rows: Sequence[DecisionRow], seq: int) -> list[Joined]:
    """Matches outcomes that came before these rows did. `seq` is the number of the newest join."""
    waiting = select(outcome.c.request_id).where(outcome.c.state == "pending").limit(1)
    if connection.execute(waiting).first() is None:
        return []
    keys = _keys((row.request_id, row.row) for row in rows)
    pending = {(row.request_id, row.row): row for row in _read_stored(_answer(connection, _WAITING, keys))}
    if not pending:
        return []
    found = _first(_read_decided(_answer(connection, _DECIDED, _keys(pending))))
    connection.execute(
        update(outcome)
        .where(outcome.c.request_id == bindparam("key_id"), outcome.c.row == bindparam("key_row"))
        .values(state="matched", deployment=bindparam("joined_deployment")),
        [{"key_id": key[0], "key_row": key[1], "joined_deployment": row.deployment} for key, row in found.items()],
    )
    matched = [
        _joined(row, orjson.loads(pending[key].value), None, pending[key].received, seq + number)
        for number, (key, row) in enumerate(found.items(), 1)
    ]
    connection.execute(insert(joined).values(seq=matched[-1].seq, rows=_notes(matched)))
    return matched


def orphan_the_old(connection: Connection, now: float) -> int:
    """Pending outcomes whose request did not come in time become orphans; answers how many."""
    old = outcome.c.state == "pending", outcome.c.orphan_at < now
    return connection.execute(update(outcome).where(*old).values(state="orphan")).rowcount


def settle_all(
    connection: Connection, posted: Sequence[Outcome], now: float, early_s: float, window_s: float, seq: int
) -> tuple[Counter[str], list[Joined]]:
    """Settles posted outcomes in their order and stores what changed, after those that waited too long became orphans.

    `seq` is the number of the newest join.
    """
    orphan_the_old(connection, now)
    keys = _keys((item.request_id, item.row) for item in posted)
    decided = _answer(connection, _DECIDED, keys)
    stored = _answer(connection, _STORED, keys)
    counts, groups, matched, notes = _settled(posted, decided, stored, now, window_s, seq)
    for (state, deployment), rows in groups.items():
        same = {"received": now, "state": state, "orphan_at": now + early_s, "deployment": deployment}
        connection.execute(_PUT, {"given": rows} | same)
    if matched:
        connection.execute(insert(joined).values(seq=matched[-1].seq, rows=notes))
    return counts, matched


def _settled(
    posted: Sequence[Outcome], decided: str, stored: str, now: float, window_s: float, seq: int
) -> tuple[Counter[str], dict[_Group, str], list[Joined], str]:
    """What each counts as, the outcomes' rows to put by state and deployment, the joins, and those as text."""
    found = _first(_read_decided(decided))
    kept = {(row.request_id, row.row): Kept(orjson.loads(row.value), row.state) for row in _read_stored(stored)}
    counts: Counter[str] = Counter()
    changed: dict[Key, tuple[_Group, tuple[object, ...]]] = {}
    matches: dict[Key, Joined] = {}
    for item in posted:
        key = (item.request_id, item.row)
        row = found.get(key)
        settled = settle(item, kept.get(key), row.at if row is not None else None, now, window_s)
        counts[settled.counts_as] += 1
        if settled.stored_as is None:
            continue
        kept[key] = Kept(item.value, settled.stored_as)
        value, deployment = orjson.dumps(item.value).decode(), row.deployment if row is not None else None
        changed[key] = (settled.stored_as, deployment), (*key, value, item.at)
        if row is not None and settled.stored_as == "matched":
            # A correction within the same call takes the place of a join that nobody has seen yet.
            unseen = matches.get(key)
            replaces = unseen.replaces if unseen is not None else settled.replaces
            number = unseen.seq if unseen is not None else seq + len(matches) + 1
            matches[key] = _joined(row, item.value, replaces, now, number)
    groups: dict[_Group, list[tuple[object, ...]]] = {}
    for key in sorted(changed):
        group, row_of_it = changed[key]
        groups.setdefault(group, []).append(row_of_it)
    matched = list(matches.values())
    return counts, {group: orjson.dumps(rows).decode() for group, rows in groups.items()}, matched, _notes(matched)


def _notes(matched: Sequence[Joined]) -> str:
    rows = [
        (one.seq, one.request_id, one.row, one.deployment, one.outcome, one.replaces, one.received) for one in matched
    ]
    return orjson.dumps(rows).decode()


def first_kept(connection: Connection) -> int:
    """The number of the oldest join that is kept; there is one."""
    rows = connection.execute(select(joined.c.rows).order_by(joined.c.seq).limit(1)).scalar_one()
    return _noted(rows)[0].seq


def _noted(rows: str) -> list[_Note]:
    try:
        return _read_notes(rows)
    except msgspec.DecodeError as error:
        raise StoreError("decisions.db holds joins that cannot be read: restore it from a backup") from error


def joins_of(connection: Connection, notes: str, after: int) -> list[Joined]:
    """The joins of one transaction with later numbers than that, in their order; without those whose decision is gone.

    Raises StoreError where the text cannot be read.
    """
    noted = [note for note in _noted(notes) if note.seq > after]
    keys = _keys((note.request_id, note.row) for note in noted)
    rows = _read_decided(_answer(connection, _DECIDED, keys))
    found = {(row.request_id, row.row, row.deployment): row for row in rows}
    places = ((note, found.get((note.request_id, note.row, note.deployment))) for note in noted)
    return [_joined(row, note.value, note.replaces, note.received, note.seq) for note, row in places if row is not None]


def join_row(row: Row[Any]) -> Joined:
    """A decision's row with `value` and `received` of its outcome."""
    return Joined(
        deployment=row.deployment,
        request_id=row.request_id,
        row=row.row,
        generation=row.generation,
        champion=row.champion,
        predictions=predictions_of(row),
        outcome=orjson.loads(row.value),
        at=row.at,
        received=row.received,
        segments=_segments(row.segments),
    )


def predictions_of(row: Row[Any]) -> dict[str, RowPrediction]:
    """What each version said; StoreError where the file holds something else."""
    return _predictions(row.predictions)


def _predictions(stored: bytes) -> dict[str, RowPrediction]:
    try:
        return _decoder.decode(stored)
    except msgspec.DecodeError as error:
        raise StoreError(
            "decisions.db holds a prediction that cannot be read: restore it from a backup or move it away"
        ) from error


def _segments(stored: str | None) -> tuple[str, ...]:
    return () if stored is None else tuple(orjson.loads(stored))


def _joined(row: _Decided, value: str | float, replaces: str | float | None, received: float, seq: int) -> Joined:
    return Joined(
        row.deployment,
        row.request_id,
        row.row,
        row.generation,
        row.champion,
        _predictions(bytes.fromhex(row.predictions)),
        value,
        row.at,
        replaces,
        received,
        _segments(row.segments),
        seq,
    )


def _decision_values(row: DecisionRow) -> dict[str, object]:
    return {
        "request_id": row.request_id,
        "row": row.row,
        "deployment": row.deployment,
        "at": row.at,
        "generation": row.generation,
        "champion": row.champion,
        "predictions": msgspec.msgpack.encode(row.predictions),
        "segments": orjson.dumps(row.segments).decode() if row.segments else None,
    }


def _keys(keys: Iterable[Key]) -> str:
    return orjson.dumps(sorted(set(keys))).decode()


def _answer(connection: Connection, question: Any, keys: str) -> str:
    return str(connection.execute(question, {"given": keys}).scalar_one())


def _first(rows: Iterable[_Decided]) -> dict[Key, _Decided]:
    """The decision for each key; where several deployments used one id, the one that saw it first."""
    found: dict[Key, _Decided] = {}
    for row in rows:
        key = (row.request_id, row.row)
        if key not in found or (row.at, row.deployment) < (found[key].at, found[key].deployment):
            found[key] = row
    return found
