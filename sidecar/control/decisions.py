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
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Self

import orjson
from sqlalchemy import Connection, delete, func, select

from sidecar.control.database import Database
from sidecar.control.decision_expiry import delete_beyond, delete_older
from sidecar.control.decision_pages import joins_after, judged
from sidecar.control.decision_queries import (
    BELONGS,
    first_kept,
    orphan_the_old,
    predictions_of,
    settle_all,
    write_decisions,
)
from sidecar.control.decision_row import ChampionCoverage, DecisionRow, Joined
from sidecar.control.decision_tables import FORM, decision, joined, outcome
from sidecar.control.migrating import bring_up
from sidecar.errors import Invalid, Unavailable, Unknown
from sidecar.observe.outcomes import as_number
from sidecar.observe.quality import RowPrediction
from sidecar.records import Outcome
from sidecar.reports import OutcomeCounts
from sidecar.standing import Decision

FILE_NAME = "decisions.db"
MOST_BUFFERED_ROWS = 50_000
KEEP_S = 97 * 86_400.0  # the outcomes' default window of 90 days, and a week in which late ones are told from orphans

# A larger file is not read as a whole when it is opened: a damaged page of it is met when it is needed.
_CHECKED_BYTES = 256 << 20
_CACHE_BYTES = 64 << 20  # ten thousand outcomes change as many pages
_FLUSH_ROWS = 500
_FLUSH_S = 0.5
_CHUNK = 10_000  # rows a transaction: each costs a sync of the disk, and holds up whoever else wants to write
_SLICE = 2_000  # rows that are written of the buffer at once, while the loop waits for its turn
LONGEST_ID = 256
_LONGEST_VALUE = 1_000


class Decisions:
    """The open file with its buffer and writing task. Made by `open`, given back by `close`."""

    def __init__(
        self, database: Database, keep_s: float, most_bytes: int = 0, held_back: Callable[[], bool] = lambda: False
    ) -> None:
        self._database = database
        self._keep_s = keep_s
        self._most_bytes = most_bytes
        self._held_back = held_back
        self._buffer: list[DecisionRow] = []
        self._joined: deque[Joined] = deque()
        # Set while there is one to be taken.
        self.joins = asyncio.Event()
        self._full = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.seq = 0  # the newest join's
        self.dropped = 0
        self.expired_beyond_bytes = 0
        self.repeats = 0
        self.fault: str | None = None
        self.set_aside: str | None = None  # what became of a file that could not be used, in a sentence

    @classmethod
    async def open(
        cls,
        state_dir: Path,
        *,
        keep_s: float = KEEP_S,
        most_bytes: int = 0,
        held_back: Callable[[], bool] = lambda: False,
    ) -> Self:
        """Opens or creates the file and starts the writing task; StoreError when the file is damaged.

        `keep_s`: seconds after which decisions and outcomes are deleted; should be longer than the outcomes' window.
        `most_bytes`: of the file's content; above it the oldest go first. 0: no bound.
        `held_back`: whether what is free on the disk is for others now.
        """
        database = await Database.open(state_dir / FILE_NAME, _CHECKED_BYTES, _CACHE_BYTES)
        try:
            newest = await database.transact(partial(_begin, path=database.path))
        except BaseException:
            await database.close()
            raise
        decisions = cls(database, keep_s, most_bytes, held_back)
        decisions.seq = newest
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
    def database(self) -> Database:
        """The open file, for who reads, and for what is kept beside."""
        return self._database

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

    def take_joined(self, most: int = 1 << 31) -> tuple[Joined, ...]:
        """Joins that nobody has taken yet, in the order in which they happened."""
        taken = tuple(self._joined.popleft() for _ in range(min(most, len(self._joined))))
        if not self._joined:
            self.joins.clear()
        return taken

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
        """Settles outcomes in their order; the joins are those of this call, to be taken with all others.

        An accepted correction counts as `matched` (or pending, late). Raises Invalid, with nothing stored, for an
        outcome that makes no sense; Unavailable if the file cannot take them: posting again is safe.
        """
        await asyncio.to_thread(_validate_all, outcomes)
        counts: Counter[str] = Counter()
        joins: list[Joined] = []
        for start in range(0, len(outcomes), _CHUNK):
            chunk = outcomes[start : start + _CHUNK]
            async with self._writing:
                await self._flush()
                settled = await self._database.transact(
                    partial(settle_all, posted=chunk, now=now, early_s=early_s, window_s=window_s, seq=self.seq)
                )
                # Here and nowhere else: what is written is handed out once, in the order of its numbers.
                self._hand_out(settled[1])
            counts.update(settled[0])
            joins.extend(settled[1])
        return OutcomeCounts(**counts), tuple(joins)

    async def expire(self, now: float) -> OutcomeCounts:
        """Turns old pending outcomes into orphans, which are counted, and deletes what is older than `keep_s`, or
        beyond `most_bytes`.
        """
        async with self._writing:
            orphans = await self._database.transact(partial(orphan_the_old, now=now))
        await delete_older(self._database, now - self._keep_s)
        if self._most_bytes:
            self.expired_beyond_bytes += await delete_beyond(self._database, self._most_bytes)
        return OutcomeCounts(orphan=orphans)

    async def decision(self, request_id: str) -> Decision:
        """What each version said for one request: scores where there are any, else labels. Raises Unknown.

        Where two deployments saw the same id, the one that saw it first is told.
        """
        if not storable(request_id):
            raise Unknown("no decision has that request id: ids have 1 to 256 characters")
        await self.flush()
        asked = select(decision).where(decision.c.request_id == request_id).order_by(decision.c.at, decision.c.row)
        posted = select(outcome.c.row, outcome.c.value).where(outcome.c.request_id == request_id)
        rows, outcomes = await self._database.transact(
            lambda connection: (connection.execute(asked).all(), connection.execute(posted).all())
        )
        truths = {row.row: orjson.loads(row.value) for row in outcomes}
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
        all_rows, matched_rows = await self._database.transact(
            lambda connection: (connection.execute(decided).all(), connection.execute(matched).all())
        )
        judged = {row.champion: row.rows for row in matched_rows}
        return tuple(ChampionCoverage(row.champion, row.rows, judged.get(row.champion, 0)) for row in all_rows)

    def matched(self) -> AsyncIterator[Joined]:
        """Every judged outcome with its decision, by request id: quality can be counted anew from it."""
        return judged(self._database)

    def joined_after(self, seq: int) -> AsyncIterator[Joined]:
        """Every join with a later number whose decision is still there, in their order."""
        return joins_after(self._database, seq)

    async def continues(self, seq: int) -> bool:
        """Whether every join after this number can still be read, so that only those have to be."""
        if seq >= self.seq:
            return True
        return await self._database.transact(first_kept) <= seq + 1

    async def forget_joined(self, seq: int) -> None:
        """Every snapshot knows of the joins up to this number. The newest stays, so that numbers only grow."""
        async with self._writing:
            await self._database.change(delete(joined).where(joined.c.seq <= seq, joined.c.seq < self.seq))

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
        if self._held_back():
            raise Unavailable(f"the disk that holds {self._database.path} is full: free some space and repeat")
        while self._buffer:
            rows = self._buffer[:_SLICE]
            repeats, matched = await self._database.transact(partial(write_decisions, rows=rows, seq=self.seq))
            # Nothing else takes rows away, so those written are still in front.
            del self._buffer[: len(rows)]
            self.repeats += repeats
            self._hand_out(matched)

    def _hand_out(self, matched: Sequence[Joined]) -> None:
        if matched:
            self.seq = matched[-1].seq
            self._joined.extend(matched)
            self.joins.set()


def _begin(connection: Connection, *, path: Path) -> int:
    """The file in this version's form; the newest join's number."""
    bring_up(connection, path, FORM)
    return connection.execute(select(func.max(joined.c.seq))).scalar() or 0


def _validate_all(outcomes: Sequence[Outcome]) -> None:
    for place, posted in enumerate(outcomes):
        _validate(place, posted)


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
    """True for an id that the database can hold: 1 to 256 characters that have a UTF-8 form, none of them NUL."""
    return 1 <= len(request_id) <= LONGEST_ID and "\0" not in request_id and _encodable(request_id)


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
