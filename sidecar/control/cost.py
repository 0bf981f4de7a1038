"""What a stretch of time cost, read from the stored decisions and their outcomes.

Keeps: a long stretch is read in slices spread evenly over its time, so that an answer takes seconds however many rows
there are, and says how many it has read; nothing is held up: pages are short transactions, folded off the event loop.
Does not: judge (`observe/cost` does), or change anything. Called by: the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Row, Select, and_, func, select, tuple_

from sidecar.control.decision_queries import BELONGS, predictions_of
from sidecar.control.decision_tables import decision, outcome
from sidecar.control.decisions import Decisions
from sidecar.observe.agreement import Tolerance
from sidecar.observe.cost import CostCounts
from sidecar.recorded import PairCost, VersionCost

MOST_ROWS = 50_000
_SLICES = 200
_PAGE = 2_000


class StoredCost:
    """Counts, and how many rows they are from."""

    __slots__ = ("kept_since", "pairs", "read", "requests", "rows", "versions")

    def __init__(self, requests: int, rows: int, kept_since: float | None, counts: CostCounts) -> None:
        self.requests = requests
        self.rows = rows
        self.kept_since = kept_since
        self.read: int = counts.rows
        self.versions: tuple[VersionCost, ...] = counts.versions()
        self.pairs: tuple[PairCost, ...] = counts.pairs()


async def stored_cost(
    decisions: Decisions,
    deployment: str,
    since: float,
    until: float,
    tolerance: Tolerance,
    most_rows: int = MOST_ROWS,
) -> StoredCost:
    """Rows of requests that came from `since` on and before `until`, in seconds since the epoch. Raises Unavailable."""
    await decisions.flush()
    within = and_(decision.c.at >= since, decision.c.at < until, decision.c.deployment == deployment)
    requests = func.count().filter(decision.c.row == 0)
    sizes = select(func.count().label("rows"), requests.label("requests")).where(within)
    counted, kept_since = await decisions.database.transact(
        lambda connection: (
            connection.execute(sizes).one(),
            connection.execute(select(func.min(decision.c.at))).scalar(),
        )
    )
    counts = CostCounts(tolerance)
    slices = 1 if counted.rows <= most_rows else _SLICES
    for number in range(slices):
        begin = since + (until - since) * number / slices
        end = since + (until - since) * (number + 1) / slices
        async for page in _pages(decisions, deployment, begin, end, most_rows if slices == 1 else most_rows // slices):
            await asyncio.to_thread(_fold, counts, page)
    return StoredCost(counted.requests, counted.rows, kept_since, counts)


async def _pages(
    decisions: Decisions, deployment: str, since: float, until: float, most: int
) -> AsyncIterator[Sequence[Row[Any]]]:
    """The first `most` rows of a slice, by time, in pages."""
    place = tuple_(decision.c.at, decision.c.request_id, decision.c.row)
    asked: Select[Any] = (
        select(
            decision.c.at,
            decision.c.request_id,
            decision.c.row,
            decision.c.champion,
            decision.c.predictions,
            outcome.c.value,
        )
        .select_from(decision.outerjoin(outcome, and_(BELONGS, outcome.c.state == "matched")))
        .where(decision.c.deployment == deployment, decision.c.at < until)
        .order_by(decision.c.at, decision.c.request_id, decision.c.row)
    )
    left, last = most, None
    while left > 0:
        onward = decision.c.at >= since if last is None else and_(decision.c.at >= last[0], place > last)
        part = asked.where(onward).limit(min(_PAGE, left))
        page = await decisions.database.rows(part)
        if page:
            yield page
        if len(page) < min(_PAGE, left):
            return
        left -= len(page)
        last = (page[-1].at, page[-1].request_id, page[-1].row)


def _fold(counts: CostCounts, page: Sequence[Row[Any]]) -> None:
    for row in page:
        truth = None if row.value is None else orjson.loads(row.value)
        counts.fold(row.champion, predictions_of(row), truth)
