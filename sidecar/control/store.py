"""The control side's memory: states, audit trail, outbox and answers to repeated calls, in `<state_dir>/sidecar.db`.

Keeps: a transition's state, audit entry, deliveries and answer are one transaction, compared and set on the
generation, and so are a changed roster and its entry; the chain is sealed inside it and its head written right after;
one sidecar per folder.
Does not: decide, send, or repair a damaged file: it refuses, says what to do, and deletes nothing. A trail that was
tampered with does not stop a start; `verify` tells, and the head on disk stays as evidence.
Called by: `controller`, `challengers`, `outbox`, and control's composition root.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from sqlalchemy import Connection, Select, delete, func, insert, select, update

from sidecar.control import schema, stored_roster, stored_state
from sidecar.control.carryover import Carryover, put_alarm
from sidecar.control.database import Database, StoreError
from sidecar.control.folder_lock import FolderLock
from sidecar.control.migrating import bring_up
from sidecar.control.trail import (
    DATABASE_FILE,
    HEAD_FILE,
    TRANSITIONS,
    check_trail,
    read_head,
    verify_state_dir,
    write_head,
)
from sidecar.decide.audit_chain import EMPTY, Deed, Head, seal
from sidecar.decide.roster import Roster
from sidecar.decide.signed_head import Keyring
from sidecar.errors import Refused, Unavailable
from sidecar.recorded import SignedHead
from sidecar.standing import Alarm, AuditCheck, AuditEntry, DeploymentState, Transition

__all__ = ["Delivery", "Receipt", "Store", "StoreError", "verify_state_dir"]

# How long a repeated call gets the first answer again.
_RECEIPTS_KEPT_S = 7 * 86_400.0


class Delivery(msgspec.Struct, frozen=True):
    """Something to tell others after a transition, in order for each `kind` and `subject`. `payload` is JSON text."""

    kind: str
    subject: str
    payload: str


class Receipt(msgspec.Struct, frozen=True):
    """A call's Idempotency-Key, a digest of the whole call, and its answer (`audit_seq` is filled in on writing)."""

    key: str
    request: str
    transition: Transition


class Store:
    """The open store. Made by `open`, given back by `close`."""

    def __init__(self, state_dir: Path, lock: FolderLock, database: Database, keys: Keyring | None = None) -> None:
        self.database = database
        self.carryover = Carryover(database)
        self._state_dir = state_dir
        self._lock = lock
        self._keys = keys or Keyring()
        # Entry and head are two writes: nobody may read one between them.
        self._trail = asyncio.Lock()
        self._head = EMPTY
        self._headed_at = 0.0
        self._head_written = True
        self._sound = True

    @classmethod
    async def open(cls, state_dir: Path, holder_pid: int | None = None, keys: Keyring | None = None) -> Self:
        """Locks the folder (for `holder_pid`, see FolderLock), opens the database and checks everything in it.

        `keys`: those of the trail's head.

        Raises StoreError for a folder in use, a damaged database, a row that cannot be read, a newer schema.
        """
        lock = FolderLock.take(state_dir, holder_pid)
        try:
            database = await Database.open(state_dir / DATABASE_FILE)
        except BaseException:
            lock.release()
            raise
        store = cls(state_dir, lock, database, keys)
        try:
            await store._take_up()
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Closes the database and gives the folder back."""
        await self.database.close()
        self._lock.release()

    # --- opening ------------------------------------------------------------------------------------------------

    async def _take_up(self) -> None:
        signed = read_head(self._state_dir)
        kept = None if signed is None else Head(signed.seq, signed.hash)
        await self.database.transact(lambda connection: self._check_form(connection, kept))
        entries, (states, rosters) = await self._entries(), await self._stored()
        found = check_trail(entries, states, rosters, signed, 1, self._keys)
        self._sound = found.ok
        last = Head(entries[-1].seq, entries[-1].hash) if entries else EMPTY
        self._headed_at = entries[-1].at if entries else 0.0
        self._head = last if kept is None or last.seq >= kept.seq else kept
        # Sound and one entry ahead of the kept head: a crash came between the commit and the head's writing.
        # Or signed with a key that is not the first one any more.
        as_written = kept == last and signed is not None and (last.seq == 0 or signed.key == self._keys.signs)
        self._head_written = not found.ok or as_written or (kept is None and not entries)
        await self._write_head()

    def _check_form(self, connection: Connection, kept: Head | None) -> None:
        path = self.database.path
        if bring_up(connection, path, schema.FORM):
            if kept is not None and kept.seq > 0:
                raise StoreError(
                    f"{path} is empty, but {HEAD_FILE} beside it names audit entry {kept.seq}: restore {path.name} from"
                    f" a backup, or move the folder {path.parent} away to begin anew"
                )
            schema.begin(connection)

    # --- state and transitions ----------------------------------------------------------------------------------

    async def states(self) -> dict[str, DeploymentState]:
        """Every stored deployment; StoreError where a row cannot be trusted."""
        rows = await self.database.mappings(select(schema.state))
        return {row["deployment"]: stored_state.from_row(self.database.path, **row) for row in rows}

    async def rosters(self) -> dict[str, Roster]:
        """What calls have changed, by deployment; StoreError where a row cannot be trusted."""
        rows = await self.database.mappings(select(schema.roster))
        return {row["deployment"]: stored_roster.from_row(self.database.path, **row) for row in rows}

    async def _stored(self) -> tuple[list[DeploymentState], dict[str, str]]:
        """What the trail must agree with: states, and the rosters' digests. Raises StoreError."""
        rows = await self.database.mappings(select(schema.roster))
        return list((await self.states()).values()), stored_roster.digests(self.database.path, rows)

    async def change_roster(self, roster: Roster, *, expected_revision: int, deed: Deed) -> AuditEntry:
        """Writes a roster and its audit entry at once, or nothing.

        `expected_revision` 0 stands for one that is not stored yet. Raises Refused when another was faster,
        Unavailable when the disk cannot take it.
        """

        def change(connection: Connection) -> None:
            same = schema.roster.c.deployment == roster.deployment
            stored = connection.execute(select(schema.roster.c.revision).where(same)).scalar() or 0
            if stored != expected_revision:
                raise Refused(f"another call has changed {roster.deployment} meanwhile: look again and repeat")
            connection.execute(delete(schema.roster).where(same))
            connection.execute(insert(schema.roster).values(stored_roster.to_row(roster)))

        return await self._enter(deed, change)

    async def transition(
        self,
        state: DeploymentState,
        *,
        expected_generation: int,
        deed: Deed,
        deliveries: Sequence[Delivery] = (),
        receipt: Receipt | None = None,
    ) -> AuditEntry:
        """Writes the new state, its audit entry, deliveries and receipt at once, or nothing.

        `expected_generation` 0 stands for a deployment that is not stored yet. Raises Refused when another was
        faster or the key is taken, Unavailable when the disk cannot take it.
        """
        return await self._enter(
            deed, lambda connection: self._move(connection, state, expected_generation), deliveries, receipt
        )

    def _move(self, connection: Connection, state: DeploymentState, expected: int) -> None:
        row, mine = stored_state.to_row(state), schema.state.c.deployment == state.deployment
        query = select(schema.state.c.generation, schema.state.c.digest).where(mine)
        found = connection.execute(query).one_or_none()
        stored, digest = (0, "") if found is None else (found.generation, found.digest)
        # A step of a canary counts no generation: one that is there already is not written twice.
        if stored != expected or digest == row["digest"]:
            raise Refused(
                f"{state.deployment} is in generation {stored}, not {expected} as expected, or was so before: another"
                " call was faster, look again and repeat"
            )
        if expected == 0:
            connection.execute(insert(schema.state).values(row))
        else:
            connection.execute(update(schema.state).where(mine).values(row))

    async def _enter(
        self,
        deed: Deed,
        change: Callable[[Connection], None] = lambda _: None,
        deliveries: Sequence[Delivery] = (),
        receipt: Receipt | None = None,
    ) -> AuditEntry:
        """What the deed changes, its entry of the trail, and what goes with it, at once; then the trail's head."""

        def transaction(connection: Connection) -> AuditEntry:
            change(connection)
            entry = self._append(connection, deed)
            self._post(connection, deliveries, deed.at)
            if receipt is not None:
                self._keep(connection, receipt, entry)
            return entry

        async with self._trail:
            await self._write_head()
            entry = await self.database.transact(transaction)
            await self._committed(entry)
        return entry

    def _append(self, connection: Connection, deed: Deed) -> AuditEntry:
        newest = select(schema.audit.c.seq, schema.audit.c.hash).order_by(schema.audit.c.seq.desc()).limit(1)
        row = connection.execute(newest).one_or_none()
        last = Head(row.seq, row.hash) if row is not None else EMPTY
        if last != self._head:
            # Someone else wrote to the trail. Go on after the newest of both, and leave the kept head as evidence.
            self._sound = False
        entry = seal(last if last.seq > self._head.seq else self._head, deed)
        connection.execute(insert(schema.audit).values(msgspec.structs.asdict(entry)))
        return entry

    def _keep(self, connection: Connection, receipt: Receipt, entry: AuditEntry) -> None:
        connection.execute(delete(schema.idempotency).where(schema.idempotency.c.at < entry.at - _RECEIPTS_KEPT_S))
        query = select(func.count()).where(schema.idempotency.c.key == receipt.key)
        if connection.execute(query).scalar():
            raise Refused("this Idempotency-Key was used for another call: send a new key with a new call")
        answer = msgspec.structs.replace(receipt.transition, audit_seq=entry.seq)
        document = msgspec.json.encode(answer).decode()
        row = {"key": receipt.key, "request": receipt.request, "document": document, "at": entry.at}
        connection.execute(insert(schema.idempotency).values(row))

    async def receipt(self, key: str) -> Receipt | None:
        """The answer to an earlier call with this key."""
        rows = await self.database.rows(select(schema.idempotency).where(schema.idempotency.c.key == key))
        if not rows:
            return None
        return Receipt(rows[0].key, rows[0].request, msgspec.json.decode(rows[0].document, type=Transition))

    @property
    def newest_seq(self) -> int:
        """The number of the newest entry of the trail."""
        return self._head.seq

    # --- the audit trail ----------------------------------------------------------------------------------------

    async def _committed(self, entry: AuditEntry) -> None:
        self._head, self._head_written = Head(entry.seq, entry.hash), not self._sound
        self._headed_at = entry.at
        try:
            await self._write_head()
        except Unavailable:
            # The entry stands. The head is written before the next one, or at the next start.
            return

    async def _write_head(self) -> None:
        if self._head_written:
            return
        try:
            await asyncio.to_thread(write_head, self._state_dir, self._keys.sign(self._head, self._headed_at))
        except OSError as error:
            raise Unavailable(
                f"{self._state_dir / HEAD_FILE} cannot be written ({error.strerror}): free some space, or make the"
                " folder writable, and repeat"
            ) from error
        self._head_written = True

    async def _entries(self) -> list[AuditEntry]:
        rows = await self.database.mappings(select(schema.audit).order_by(schema.audit.c.seq))
        return [AuditEntry(**row) for row in rows]

    async def audit_entries(self, after: int, limit: int) -> tuple[AuditEntry, ...]:
        """Entries with seq > after, oldest first, at most `limit`; StoreError for one that was made unreadable."""
        query = select(schema.audit).where(schema.audit.c.seq > after).order_by(schema.audit.c.seq).limit(limit)
        return await self._told(query)

    async def transitions_of(self, deployment: str, others: Sequence[str] = ()) -> tuple[AuditEntry, ...]:
        """Every entry that set a deployment's champion, and those of `others`, which are actions; oldest first."""
        moved = (schema.audit.c.deployment == deployment) & schema.audit.c.action.in_((*TRANSITIONS, *others))
        return await self._told(select(schema.audit).where(moved).order_by(schema.audit.c.seq))

    async def entries_of(self, actions: Collection[str]) -> tuple[AuditEntry, ...]:
        """Every entry of these actions, of all deployments, oldest first."""
        done = schema.audit.c.action.in_(list(actions))
        return await self._told(select(schema.audit).where(done).order_by(schema.audit.c.seq))

    async def newest(self, deployment: str, action: str) -> AuditEntry | None:
        """The newest entry of an action on a deployment; StoreError for one that was made unreadable."""
        same = (schema.audit.c.deployment == deployment) & (schema.audit.c.action == action)
        found = await self._told(select(schema.audit).where(same).order_by(schema.audit.c.seq.desc()).limit(1))
        return found[0] if found else None

    async def acknowledge(self, alarm: Alarm, deed: Deed) -> AuditEntry:
        """Writes the acknowledged alarm and its audit entry at once."""
        return await self._enter(deed, lambda connection: put_alarm(connection, alarm))

    async def record(self, deed: Deed, deliveries: Sequence[Delivery] = ()) -> AuditEntry:
        """Writes an audit entry that changes no state, and what is to be told of it, at once."""
        return await self._enter(deed, deliveries=deliveries)

    def _post(self, connection: Connection, deliveries: Sequence[Delivery], at: float) -> None:
        if deliveries:
            rows = [msgspec.structs.asdict(d) | {"attempts": 0, "next_at": at} for d in deliveries]
            connection.execute(insert(schema.outbox), rows)

    def signed_head(self, at: float) -> SignedHead:
        """The newest entry's, signed at this moment where there is a key: to be kept elsewhere."""
        return self._keys.sign(self._head, at)

    async def verify(self, exported: SignedHead | None = None) -> AuditCheck:
        """Reads the whole trail and its kept head again from disk and checks both, and a head that was exported."""
        async with self._trail:
            entries, (states, rosters) = await self._entries(), await self._stored()
            kept = await asyncio.to_thread(read_head, self._state_dir)
            unheaded = 0 if self._head_written else 1
        # Not on the event loop: a long trail takes seconds.
        return await asyncio.to_thread(check_trail, entries, states, rosters, kept, unheaded, self._keys, exported)

    async def _told(self, query: Select[Any]) -> tuple[AuditEntry, ...]:
        rows = await self.database.mappings(query)
        try:
            return tuple(msgspec.convert(msgspec.to_builtins(AuditEntry(**row)), AuditEntry) for row in rows)
        except msgspec.ValidationError as error:
            raise StoreError(
                f"an audit entry in {self.database.path} cannot be read ({error}): run `sidecar audit verify`"
            ) from error
