"""What a restart carries over beside the deployments' states: alarms, observers' snapshots, the table's serial.

Keeps: each write is one transaction; a later one replaces an earlier one under the same name.
Does not: understand a snapshot (its observer does), open or end alarms, or write audit entries.
Called by: control's composition root, on a timer and at changes; `store.Store.acknowledge`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from sidecar.control import schema
from sidecar.control.database import Database, StoreError
from sidecar.standing import Alarm


class Snapshot(msgspec.Struct, frozen=True):
    """One observer's memory. `observer` is a name such as "drift" or "comparison/4"; `at` seconds since the epoch."""

    deployment: str
    observer: str
    blob: bytes
    at: float


class Carryover:
    """Reads and writes of these three, on the store's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve_serials(self, count: int) -> int:
        """The last of so many numbers for routing tables, all larger than every earlier one, over restarts too."""
        serial = schema.meta.c.key == "serial"
        change = update(schema.meta).where(serial).values(value=schema.meta.c.value + count)

        def raised(connection: Connection) -> int:
            connection.execute(change)
            return int(connection.execute(select(schema.meta.c.value).where(serial)).scalar_one())

        return await self._database.transact(raised)

    async def save_alarm(self, alarm: Alarm) -> None:
        """Writes an alarm that began, changed or ended."""
        await self._database.transact(lambda connection: put_alarm(connection, alarm))

    async def alarms(self, ended_after: float) -> tuple[Alarm, ...]:
        """Open alarms, and those that ended after that time. StoreError where one cannot be read."""
        table = schema.alarm
        query = select(table.c.document).where(table.c.ended.is_(None) | (table.c.ended > ended_after))
        return tuple(self._alarm(row.document) for row in await self._database.rows(query.order_by(table.c.id)))

    async def alarm(self, alarm_id: str) -> Alarm | None:
        """One alarm, open or not."""
        query = select(schema.alarm.c.document).where(schema.alarm.c.id == alarm_id)
        found = await self._database.rows(query)
        return self._alarm(found[0].document) if found else None

    async def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Writes several at once: all or none."""
        if not snapshots:
            return
        table, latest = schema.snapshot, {(snapshot.deployment, snapshot.observer): snapshot for snapshot in snapshots}
        same = (table.c.deployment == bindparam("of")) & (table.c.observer == bindparam("by"))
        names = [{"of": deployment, "by": observer} for deployment, observer in latest]
        rows = [msgspec.structs.asdict(snapshot) for snapshot in latest.values()]

        def put(connection: Connection) -> None:
            connection.execute(delete(table).where(same), names)
            connection.execute(insert(table), rows)

        await self._database.transact(put)

    async def snapshots(self, deployment: str) -> dict[str, Snapshot]:
        """All of a deployment's, by observer."""
        query = select(schema.snapshot).where(schema.snapshot.c.deployment == deployment)
        return {row["observer"]: Snapshot(**row) for row in await self._database.mappings(query)}

    def _alarm(self, document: str) -> Alarm:
        try:
            return msgspec.json.decode(document, type=Alarm)
        except (msgspec.MsgspecError, TypeError) as error:
            raise StoreError(
                f"an alarm in {self._database.path} cannot be read ({error}): restore the file from a backup"
            ) from error


def put_alarm(connection: Connection, alarm: Alarm) -> None:
    """Replaces the alarm of this id inside a transaction of the caller's."""
    document = msgspec.json.encode(alarm).decode()
    connection.execute(delete(schema.alarm).where(schema.alarm.c.id == alarm.id))
    row = {"id": alarm.id, "deployment": alarm.deployment, "document": document, "ended": alarm.ended}
    connection.execute(insert(schema.alarm).values(row))
