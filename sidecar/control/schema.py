"""The store's tables, once for every database (SQLAlchemy Core).

Keeps: documents are JSON text of the frozen nouns, with a digest where a wrong byte would route traffic wrongly;
times are seconds since the epoch. VERSION grows with every change that an older sidecar would misread.
Does not: open, migrate or query anything.
Called by: `store`, `outbox`, `trail`.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text

VERSION = 3

metadata = MetaData()

# Tables that came with a version: a store of an earlier one gets them when it is opened, empty.
_ADDED = {2: {"roster"}}
# And columns, of tables that were there before; each may be empty.
_COLUMNS = {3: (("outbox", "landed_at", "FLOAT"), ("outbox", "aside_at", "FLOAT"))}


def added_since(version: int) -> set[str]:
    """Which tables a store of that version does not have yet."""
    return {name for since, names in _ADDED.items() if since > version for name in names}


def columns_since(version: int) -> tuple[str, ...]:
    """The statements that give a store of that version the columns that it does not have yet."""
    columns = (column for since, added in sorted(_COLUMNS.items()) if since > version for column in added)
    return tuple(f"ALTER TABLE {table} ADD COLUMN {name} {kind}" for table, name, kind in columns)


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
