"""What the gates could read of each challenger, kept once an hour, so that other gates can be rehearsed on it.

Keeps: the first look of an hour stays, over restarts too; bounded in days and bytes, the oldest go first. Reading
judges nothing. Does not: judge (`decide/rehearsal` does) or gather evidence (the desk does).
Called by: the rounds, and the record for a rehearsal. The table lies in `decisions.db`.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from sidecar.control.database import Database
from sidecar.control.decision_tables import gate_hour
from sidecar.decide.evidence_record import NotRecomputable
from sidecar.decide.rehearsal import KeptHour, kept_hour

HOUR_S = 3_600
KEPT_DAYS = 92
MOST_BYTES = 64 << 20
# One record out of the file is never larger, whatever stands there.
_MOST_RECORD_BYTES = 4 << 20


class GateHours:
    """The hours of all deployments.

    Args:
        database: of the decisions, open.
        challengers: the deployments with their challengers, as they are now.
        record: (deployment, challenger, now) -> the evidence record as plain JSON members.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        *,
        challengers: Callable[[], Iterable[tuple[str, str]]],
        record: Callable[[str, str, float], Mapping[str, Any]],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._challengers = challengers
        self._record = record
        self._clock = clock
        self._kept: dict[tuple[str, str], int] = {}

    async def round(self) -> None:
        """Keeps what this hour lacks. Raises Unavailable, and the next round tries again."""
        now = self._clock()
        hour = int(now // HOUR_S)
        due = [key for key in self._challengers() if self._kept.get(key) != hour]
        for key in due:
            deployment, challenger = key
            text = json.dumps(self._record(deployment, challenger, now), separators=(",", ":"), allow_nan=False)
            row = {
                "deployment": deployment,
                "challenger": challenger,
                "hour": hour,
                "at": now,
                "record": zlib.compress(text.encode()),
            }
            put = insert(gate_hour).values(row).on_conflict_do_nothing()
            await self._database.change(put)
            self._kept[key] = hour
        if due:
            self._kept = {key: kept for key, kept in self._kept.items() if kept == hour}
            await self._database.transact(partial(_expire, hour=hour))

    async def hours(self, deployment: str, challenger: str | None, since: float) -> tuple[tuple[KeptHour, ...], int]:
        """What is kept from `since` on, oldest first, and how many hours this version cannot read."""
        wanted = select(gate_hour.c.challenger, gate_hour.c.at, gate_hour.c.record).where(
            gate_hour.c.deployment == deployment, gate_hour.c.at >= since
        )
        if challenger is not None:
            wanted = wanted.where(gate_hour.c.challenger == challenger)
        rows = await self._database.rows(wanted.order_by(gate_hour.c.at, gate_hour.c.challenger))
        return await asyncio.to_thread(_read, [(row.challenger, row.at, row.record) for row in rows])

    async def kept_since(self, deployment: str) -> float | None:
        """The oldest hour that is kept."""
        oldest = select(func.min(gate_hour.c.at)).where(gate_hour.c.deployment == deployment)
        return await self._database.transact(lambda connection: connection.execute(oldest).scalar())


def _expire(connection: Connection, *, hour: int) -> None:
    """Deletes what is older than the days, and the oldest hours beyond the bytes."""
    first, held = hour - KEPT_DAYS * 24, 0
    sizes = select(gate_hour.c.hour, func.sum(func.length(gate_hour.c.record)).label("bytes"))
    for row in connection.execute(sizes.group_by(gate_hour.c.hour).order_by(gate_hour.c.hour.desc())).all():
        held += row.bytes
        if held > MOST_BYTES:
            first = max(first, row.hour + 1)
            break
    connection.execute(delete(gate_hour).where(gate_hour.c.hour < first))


def _read(rows: list[tuple[str, float, bytes]]) -> tuple[tuple[KeptHour, ...], int]:
    found: list[KeptHour] = []
    for challenger, at, packed in rows:
        try:
            text = zlib.decompressobj().decompress(packed, _MOST_RECORD_BYTES)
            found.append(kept_hour(challenger, at, json.loads(text)))
        except (zlib.error, ValueError, NotRecomputable):
            continue
    return tuple(found), len(rows) - len(found)
