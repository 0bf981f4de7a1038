"""The audit trail on disk: its head kept beside the database, and the check of the whole trail.

Keeps: the head is replaced in one piece, after the entry that it names is committed; a check also compares the
stored champions with the last transitions, so that neither can be changed without the other.
Does not: write entries (`store` does), or hold a lock: checking works while a sidecar runs.
Called by: `store`, and the command line for `audit verify --state-dir`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec
from sqlalchemy import create_engine, event, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sidecar.control import schema, stored_roster
from sidecar.control.database import StoreError
from sidecar.control.folder_lock import FolderLock
from sidecar.control.stored_state import from_row
from sidecar.control.whole_file import write_whole
from sidecar.decide.audit_chain import Head, check, fault_against
from sidecar.decide.signed_head import Keyring
from sidecar.recorded import SignedHead
from sidecar.standing import AuditCheck, AuditEntry, DeploymentState

DATABASE_FILE = "sidecar.db"
HEAD_FILE = "audit-head.json"
TRANSITIONS = ("start", "promote", "override", "rollback")
_BEGIN_CANARIES = ("canary_start", "canary_step")
_END_CANARIES = ("canary_stop", "promote", "override", "rollback")

# A sidecar that runs writes the head within milliseconds after an entry: look again before calling it a crash.
_LOOKS, _BETWEEN_LOOKS_S = 10, 0.02


def read_head(state_dir: Path) -> SignedHead | None:
    """The kept head, None where there is no such file; StoreError when it cannot be read."""
    path = state_dir / HEAD_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=SignedHead)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read ({error}): restore it from a backup") from error


def write_head(state_dir: Path, head: SignedHead) -> None:
    """Replaces the kept head in one piece, on disk when this returns. Raises OSError."""
    write_whole(state_dir / HEAD_FILE, msgspec.json.encode(head))


def check_trail(
    entries: Sequence[AuditEntry],
    states: Iterable[DeploymentState],
    rosters: Mapping[str, str],
    head: SignedHead | None,
    unheaded: int,
    keys: Keyring | None = None,
    exported: SignedHead | None = None,
) -> AuditCheck:
    """`audit_chain.check`, then: the heads (the kept one, and one that was exported) are signed and fit, each stored
    champion is the one of the last transition, each transition counted, and each stored roster (its digest by
    deployment) is the one that its last entry tells of.
    """
    found = check_entries(entries, head, unheaded, keys, exported)
    if not found.ok:
        return found
    last: dict[str, tuple[int, str | None]] = {}
    for entry in entries:
        if entry.action in TRANSITIONS:
            last[entry.deployment] = (last.get(entry.deployment, (0, None))[0] + 1, entry.to_version)
    canaries = _canaries(entries)
    for state in states:
        counted, version = last.pop(state.deployment, (0, None))
        if (counted, version) != (state.generation, state.champion):
            fault = (
                f"{state.deployment} is stored with champion {state.champion} in generation {state.generation}, the"
                f" trail has {version} in generation {counted}: one of the two was changed"
            )
            return msgspec.structs.replace(found, ok=False, fault=fault)
        stored = None if state.canary is None else (state.canary.version, state.canary.step + 1)
        if canaries.get(state.deployment) != stored:
            fault = (
                f"{state.deployment} is stored with {_told(stored)}, the trail has"
                f" {_told(canaries.get(state.deployment))}: one of the two was changed"
            )
            return msgspec.structs.replace(found, ok=False, fault=fault)
    if last:
        fault = f"the trail tells of {', '.join(sorted(last))}, of which nothing is stored: a row was removed"
        return msgspec.structs.replace(found, ok=False, fault=fault)
    of_rosters = stored_roster.fault_in(rosters, entries)
    return found if of_rosters is None else msgspec.structs.replace(found, ok=False, fault=of_rosters)


def _canaries(entries: Iterable[AuditEntry]) -> dict[str, tuple[str | None, int]]:
    """By deployment: which version is the canary, and its step from 1. Another address of the champion ends none."""
    canaries: dict[str, tuple[str | None, int]] = {}
    for entry in entries:
        if entry.action in _BEGIN_CANARIES:
            canaries[entry.deployment] = (entry.to_version, _step_of(entry))
        elif entry.action in _END_CANARIES:
            canaries.pop(entry.deployment, None)
    return canaries


class _CanaryStep(msgspec.Struct):
    step: int


class _CanaryDetails(msgspec.Struct):
    canary: _CanaryStep


def _step_of(entry: AuditEntry) -> int:
    """Which step a canary's entry tells of, from 1; 0 where it does not."""
    try:
        return msgspec.json.decode(entry.details, type=_CanaryDetails).canary.step
    except (msgspec.MsgspecError, UnicodeError):
        return 0


def _told(canary: tuple[str | None, int] | None) -> str:
    return "no canary" if canary is None else f"version {canary[0]} as canary at step {canary[1]}"


def check_entries(
    entries: Sequence[AuditEntry],
    head: SignedHead | None,
    unheaded: int,
    keys: Keyring | None = None,
    exported: SignedHead | None = None,
) -> AuditCheck:
    """The entries and their heads alone, as in a file that was exported."""
    found = check(entries, None if head is None else Head(head.seq, head.hash), unheaded)
    fault = None
    # Sound entries: what is to be said of the heads then is first that one is not ours.
    if found.ok or (entries and found.head == entries[-1].hash):
        signed = [each for each in (head, exported) if each is not None and each.seq > 0]
        fault = next((says for each in signed if (says := (keys or Keyring()).fault(each)) is not None), None)
        if fault is None and found.ok and exported is not None:
            fault = fault_against(entries, Head(exported.seq, exported.hash))
    return found if fault is None else msgspec.structs.replace(found, ok=False, fault=fault)


def verify_state_dir(path: Path, keys: Keyring | None = None, exported: SignedHead | None = None) -> AuditCheck:
    """Checks the trail of a state folder, with or without a running sidecar; writes nothing.

    `keys`: those that its head may be signed with; `exported`: a head that was kept elsewhere.

    Raises StoreError for a folder without a trail and for a database that cannot be read.
    """
    database = path / DATABASE_FILE
    if not database.is_file():
        raise StoreError(f"{path} is no state folder: it holds no {DATABASE_FILE}; name the one under state_dir")
    for _ in range(_LOOKS):
        entries, states, rosters = _read(database)
        head = read_head(path)
        if head is not None and head.seq == len(entries):
            break
        time.sleep(_BETWEEN_LOOKS_S)
    return check_trail(entries, states, rosters, head, 1, keys, exported)


def read_trail(path: Path) -> list[AuditEntry]:
    """Every entry of a state folder, oldest first, as they lie there. Raises StoreError."""
    database = path / DATABASE_FILE
    if not database.is_file():
        raise StoreError(f"{path} is no state folder: it holds no {DATABASE_FILE}; name the one under state_dir")
    return _read(database)[0]


def sign_head(path: Path, keys: Keyring, at: float) -> SignedHead:
    """Signs the kept head of a folder in which no sidecar runs, once, when a key is new there.

    Raises StoreError where one runs, and where the trail does not hold: a signature says that a person has looked.
    """
    lock = FolderLock.take(path)
    try:
        found = verify_state_dir(path)
        if not found.ok:
            raise StoreError(f"the audit trail does not hold, so nothing was signed: {found.fault}")
        signed = keys.sign(Head(found.entries, found.head), at)
        write_head(path, signed)
    finally:
        lock.release()
    return signed


def _read(database: Path) -> tuple[list[AuditEntry], list[DeploymentState], dict[str, str]]:
    engine = create_engine("sqlite://", creator=lambda: _connect(database), poolclass=NullPool)
    # One transaction, so that entries and states are of the same moment.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        with engine.connect() as connection:
            entries = connection.execute(select(schema.audit).order_by(schema.audit.c.seq)).mappings().all()
            states = connection.execute(select(schema.state)).mappings().all()
            # A store that this version has not opened yet has no such table.
            there = inspect(connection).has_table(schema.roster.name)
            rosters = connection.execute(select(schema.roster)).mappings().all() if there else ()
    except (DBAPIError, sqlite3.Error) as error:
        says = getattr(error, "orig", error)
        raise StoreError(f"{database} cannot be read ({says}): restore it from a backup") from error
    return (
        [AuditEntry(**row) for row in entries],
        [from_row(database, **row) for row in states],
        stored_roster.digests(database, rosters),
    )


def _connect(database: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(database.absolute()))}?mode=ro"
    if not database.with_name(f"{database.name}-wal").exists():
        # Without a log nobody has it open: read it as it lies, leaving no files behind, from a read-only disk too.
        address += "&immutable=1"
    return sqlite3.connect(address, uri=True, timeout=5.0, isolation_level=None)
