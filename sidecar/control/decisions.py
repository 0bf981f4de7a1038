"""What was predicted and what turned out to be true, joined by request id and row, in `<state_dir>/decisions.db`.

Keeps: an outcome that was answered for is on disk; an outcome posted right after the answer finds its decision
(buffered rows are written first); the first prediction of a repeated request id stays. Recording never waits: rows
are buffered, above 50,000 they are dropped and counted, and one task writes them. Does not judge quality, read a
clock or delete what may still be judged. Called by: the control's intake (`record`, `take_joined`) and service.
Later joins (an outcome that came before its request) are queued; whoever ticks takes them with `take_joined`.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Self

import msgspec
import orjson
from sqlalchemy import and_, bindparam, delete, func, or_, select

from sidecar.control.database import Database
from sidecar.control.decision_queries import (
    BELONGS,
    Key,
    insert_decisions,
    join_row,
    match_pending,
    orphan_the_old,
    predictions_of,
    settle_all,
)
from sidecar.control.decision_row import DecisionRow, Joined
from sidecar.control.decision_tables import decision, metadata, outcome
from sidecar.errors import Invalid, Unavailable, Unknown
from sidecar.observe.outcomes import as_number
from sidecar.observe.quality import RowPrediction
from sidecar.records import Outcome
from sidecar.reports import OutcomeCounts
from sidecar.standing import Decision

FILE_NAME = "decisions.db"
MOST_BUFFERED_ROWS = 50_000
# The outcomes' default window of 90 days and a week, in which what comes too late is still told from an orphan.
KEEP_S = 97 * 86_400.0

_FLUSH_ROWS = 500
_FLUSH_S = 0.5
_CHUNK = 2_000  # rows a transaction: the event loop is never held for long, and SQLite takes that many parameters
LONGEST_ID = 256
_LONGEST_VALUE = 1_000


class ChampionCoverage(msgspec.Struct, frozen=True):
    """Rows that a version decided as champion, and how many of them have a judged outcome."""

    champion: str
    decided: int
    matched: int


class Decisions:
    """The open file with its buffer and writing task. Made by `open`, given back by `close`."""

    def __init__(self, database: Database, keep_s: float) -> None:
        self._database = database
        self._keep_s = keep_s
        self._buffer: list[DecisionRow] = []
        self._joined: list[Joined] = []
        self._full = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        self.repeats = 0
        self.fault: str | None = None

    @classmethod
    async def open(cls, state_dir: Path, *, keep_s: float = KEEP_S) -> Self:
        """Opens or creates the file and starts the writing task; StoreError when the file is damaged.

        `keep_s`: seconds after which decisions and outcomes are deleted; should be longer than the outcomes' window.
        """
        database = await Database.open(state_dir / FILE_NAME)
        try:
            async with database.begin() as connection:
                await connection.run_sync(metadata.create_all)
        except BaseException:
            await database.close()
            raise
        decisions = cls(database, keep_s)
        decisions._task = asyncio.create_task(decisions._write_on(), name="decisions")
        return decisions

    async def close(self) -> None:
        """Writes what is buffered and closes the file; Unavailable, with the file closed, if it cannot be written."""
        ended: BaseException | None = None
        if self._task is not None:
            async with self._database.idle():
                self._task.cancel()
            (ended,) = await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        try:
            await self.flush()
        finally:
            await self._database.close()
        if isinstance(ended, Exception):
            raise ended

    @property
    def buffered(self) -> int:
        """Rows that wait to be written."""
        return len(self._buffer)

    def record(self, rows: Sequence[DecisionRow]) -> None:
        """Takes all rows of an exchange, or counts them as dropped; never waits and never fails."""
        if len(self._buffer) + len(rows) > MOST_BUFFERED_ROWS or not all(storable(row.request_id) for row in rows):
            self.dropped += len(rows)
            return
        self._buffer.extend(rows)
        if len(self._buffer) >= _FLUSH_ROWS:
            self._full.set()

    def take_joined(self) -> tuple[Joined, ...]:
        """Outcomes that came first and whose decision has been recorded since the last call."""
        joined, self._joined = tuple(self._joined), []
        return joined

    def idle(self) -> AbstractAsyncContextManager[None]:
        """While nothing is being written: the time to cancel tasks that write."""
        return self._database.idle()

    async def flush(self) -> None:
        """Writes what is buffered; Unavailable, and the rows stay buffered, if the file cannot take them."""
        async with self._writing:
            await self._flush()

    async def post(
        self, outcomes: Sequence[Outcome], now: float, early_s: float, window_s: float
    ) -> tuple[OutcomeCounts, tuple[Joined, ...]]:
        """Settles outcomes in their order; the joins are those matched or corrected by this call.

        An accepted correction counts as `matched` (or pending, late). Raises Invalid, with nothing stored, for an
        outcome that makes no sense; Unavailable if the file cannot take them: posting again is safe.
        """
        for place, posted in enumerate(outcomes):
            _validate(place, posted)
        counts: Counter[str] = Counter()
        joined: list[Joined] = []
        try:
            for start in range(0, len(outcomes), _CHUNK):
                chunk = outcomes[start : start + _CHUNK]
                async with self._writing:
                    await self._flush()
                    async with self._database.begin() as connection:
                        await orphan_the_old(connection, now)
                        chunk_counts, chunk_joined = await settle_all(connection, chunk, now, early_s, window_s)
                counts.update(chunk_counts)
                joined.extend(chunk_joined)
        except BaseException:
            # What was committed before is not joined again by the next post: it goes the way of early ones.
            self._joined.extend(joined)
            raise
        return OutcomeCounts(**counts), tuple(joined)

    async def expire(self, now: float) -> OutcomeCounts:
        """Turns old pending outcomes into orphans, which are counted, and deletes what is older than `keep_s`."""
        async with self._writing, self._database.begin() as connection:
            orphans = await orphan_the_old(connection, now)
            await connection.execute(delete(decision).where(decision.c.at < now - self._keep_s))
            await connection.execute(delete(outcome).where(outcome.c.received < now - self._keep_s))
        return OutcomeCounts(orphan=orphans)

    async def decision(self, request_id: str) -> Decision:
        """What each version said for one request: scores where there are any, else labels. Raises Unknown.

        Where two deployments saw the same id, the one that saw it first is told.
        """
        if not storable(request_id):
            raise Unknown("no decision has that request id: ids have 1 to 256 characters")
        await self.flush()
        async with self._database.begin() as connection:
            asked = select(decision).where(decision.c.request_id == request_id).order_by(decision.c.at, decision.c.row)
            rows = list(await connection.execute(asked))
            posted = select(outcome.c.row, outcome.c.value).where(outcome.c.request_id == request_id)
            truths = {row.row: orjson.loads(row.value) for row in await connection.execute(posted)}
        if not rows:
            raise Unknown("no decision has that request id: it was not scored here, or too long ago")
        mine = [row for row in rows if row.deployment == rows[0].deployment]
        said = [predictions_of(row) for row in mine]
        champion = mine[0].champion
        versions = dict.fromkeys(version for row in said for version in row if version != champion)
        return Decision(
            deployment=mine[0].deployment,
            version=champion,
            at=mine[0].at,
            prediction=tuple(_shown(row.get(champion)) for row in said),
            challengers=tuple((version, tuple(_shown(row.get(version)) for row in said)) for version in versions),
            outcome=tuple(truths.get(row.row) for row in mine),
        )

    async def coverage(self, deployment: str) -> tuple[ChampionCoverage, ...]:
        """Per champion the rows that are still kept, and those of them with a judged outcome."""
        mine = decision.c.deployment == deployment
        decided = select(decision.c.champion, func.count().label("rows")).where(mine).group_by(decision.c.champion)
        matched = (
            select(decision.c.champion, func.count().label("rows"))
            .select_from(outcome.join(decision, BELONGS))
            .where(mine, outcome.c.state == "matched")
            .group_by(decision.c.champion)
        )
        await self.flush()
        async with self._database.begin() as connection:
            all_rows = [(row.champion, row.rows) for row in await connection.execute(decided)]
            judged = {row.champion: row.rows for row in await connection.execute(matched)}
        return tuple(ChampionCoverage(champion, rows, judged.get(champion, 0)) for champion, rows in all_rows)

    async def matched(self) -> AsyncIterator[Joined]:
        """Every judged outcome with its decision, by request id: quality can be counted anew from it after a crash."""
        last: Key = ("", -1)
        pages = (
            select(decision, outcome.c.value)
            .select_from(outcome.join(decision, BELONGS))
            .where(
                outcome.c.state == "matched",
                or_(
                    outcome.c.request_id > bindparam("last_id"),
                    and_(outcome.c.request_id == bindparam("last_id"), outcome.c.row > bindparam("last_row")),
                ),
            )
            .order_by(outcome.c.request_id, outcome.c.row)
            .limit(_CHUNK)
        )
        while True:
            async with self._database.begin() as connection:
                page = list(await connection.execute(pages, {"last_id": last[0], "last_row": last[1]}))
            for row in page:
                yield join_row(row, orjson.loads(row.value))
            if len(page) < _CHUNK:
                return
            last = (page[-1].request_id, page[-1].row)

    async def _write_on(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_FLUSH_S):
                    await self._full.wait()
            except TimeoutError:
                pass
            self._full.clear()
            try:
                await self.flush()
            except Unavailable as error:
                self.fault = str(error)
                await asyncio.sleep(_FLUSH_S)
            else:
                self.fault = None

    async def _flush(self) -> None:
        while self._buffer:
            rows = self._buffer[:_CHUNK]
            async with self._database.begin() as connection:
                repeats = await insert_decisions(connection, rows)
                joined = await match_pending(connection, rows)
            # Nothing else takes rows away, so those written are still in front.
            del self._buffer[: len(rows)]
            self.repeats += repeats
            self._joined.extend(joined)


def _validate(place: int, posted: Outcome) -> None:
    """Refuses what could never be joined or stored. Raises Invalid with the place in the list and the reason."""
    fault = None
    if not storable(posted.request_id):
        fault = f"request_id must have 1 to {LONGEST_ID} characters"
    elif not 0 <= posted.row < 1 << 31:
        fault = "row must be a number from 0"
    elif isinstance(posted.value, str):
        if len(posted.value) > _LONGEST_VALUE or not _encodable(posted.value):
            fault = f"outcome must be a number or a text of at most {_LONGEST_VALUE} characters"
    elif as_number(posted.value) is None:
        fault = "outcome must be a finite number"
    elif isinstance(posted.value, int) and abs(posted.value) >= 1 << 63:
        fault = "outcome must fit into 64 bits"
    if fault is None and not math.isfinite(posted.at):
        fault = "at must be a time"
    if fault is not None:
        raise Invalid(f"outcomes[{place}]: {fault}")


def storable(request_id: str) -> bool:
    """True for an id that the database can hold: 1 to 256 characters that have a UTF-8 form."""
    return 1 <= len(request_id) <= LONGEST_ID and _encodable(request_id)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _shown(prediction: RowPrediction | None) -> str | float | None:
    """The score, else the label; a missing score (NaN) is null."""
    if prediction is None:
        return None
    if prediction.score is not None:
        return prediction.score if math.isfinite(prediction.score) else None
    return prediction.label
