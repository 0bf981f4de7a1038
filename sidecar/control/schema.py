"""The store's tables, once for every database (SQLAlchemy Core).

Keeps: documents are JSON text of the frozen nouns, with a digest where a wrong byte would route traffic wrongly;
times are seconds since the epoch. REVISION grows with every change, by a script under `migrations/store`.
Does not: open, migrate or query anything.
Called by: `store`, `outbox`, `trail`.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    select,
)

from sidecar.control.migrating import Form

# Of the last script under `migrations/store`; a sidecar from before those reads the number from `meta`.
REVISION = "0004"
VERSION = int(REVISION)

metadata = MetaData()

# One row per deployment: standing.DeploymentState. The digest is over the document.
state = Table(
    "state",
    metadata,
    Column("deployment", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", Text, nullable=False),
)

# One row per deployment whose shadow was changed by calls: decide.roster.Roster. The digest is over the document, and
# stands in the audit entry of the change too.
roster = Table(
    "roster",
    metadata,
    Column("deployment", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", Text, nullable=False),
)

# Columns are the fields of standing.AuditEntry, in its order. Rows are only ever added.
audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("from_version", Text),
    Column("to_version", Text),
    Column("reason", Text, nullable=False),
    Column("evidence", Text),
    Column("details", Text, nullable=False),
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

# What was answered to a call with an Idempotency-Key; `request` is a digest of that call.
idempotency = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("at", Float, nullable=False),
)

# "schema" and "serial" (of the routing table).
meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Integer, nullable=False))

# What must be told to others, at least once, in the order of `id` for each kind and subject. `landed_at`: what matters
# of it was told, though not all; `aside_at`: nobody can read it, so it waits no more and is kept to be looked at.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("done_at", Float),
    Column("fault", Text),
    Column("landed_at", Float),
    Column("aside_at", Float),
    Index("outbox_open", "done_at", "id"),
    sqlite_autoincrement=True,
)

# standing.Alarm as JSON; `ended` beside it so that old ones can be left out.
alarm = Table(
    "alarm",
    metadata,
    Column("id", Text, primary_key=True),
    Column("deployment", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("ended", Float),
)

# What an observer needs to go on after a restart, in that observer's own encoding.
snapshot = Table(
    "snapshot",
    metadata,
    Column("deployment", Text, primary_key=True),
    Column("observer", Text, primary_key=True),
    Column("blob", LargeBinary, nullable=False),
    Column("at", Float, nullable=False),
)


def begin(connection: Connection) -> None:
    """The first rows of a store that was just made."""
    connection.execute(insert(meta), [{"key": "schema", "value": VERSION}, {"key": "serial", "value": 0}])


def _own_word(connection: Connection, tables: frozenset[str]) -> str | None:
    if meta.name not in tables:
        return None
    version = connection.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar()
    return f"{version:04d}" if isinstance(version, int) else None


FORM = Form("store", REVISION, metadata, _own_word)
