"""The tables behind `decisions`: what was predicted, what turned out to be true, what the gates could read of it.

Keeps: a row of a request has one prediction a deployment and one outcome. Clustered by request id, because every
join asks by it. Times are seconds since the epoch. Does not open or query anything. Called by: `decisions`.
"""

from __future__ import annotations

from sqlalchemy import Column, Connection, Float, Index, Integer, LargeBinary, MetaData, Table, Text, text

from sidecar.control.migrating import Form

# Of the last script under `migrations/decisions`.
REVISION = "0003"

metadata = MetaData()

# `predictions` is msgpack of {version: RowPrediction}, `segments` a JSON list of names, null for none.
decision = Table(
    "decision",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("deployment", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("champion", Text, nullable=False),
    Column("predictions", LargeBinary, nullable=False),
    Column("segments", Text),
    Index("decision_at", "at"),
    sqlite_with_rowid=False,
)

# `value` is JSON, so that a text stays apart from a number; `deployment` is set once the outcome has found its row.
outcome = Table(
    "outcome",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("value", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("received", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("orphan_at", Float, nullable=False),
    Column("deployment", Text),
    Index("outcome_pending", "orphan_at", sqlite_where=text("state = 'pending'")),
    Index("outcome_unmatched", "received", sqlite_where=text("deployment IS NULL")),
    sqlite_with_rowid=False,
)

# Joins as they happened, those of a transaction in one row: `seq` is the number of its last, `rows` a JSON list of
# [seq, request id, row, deployment, value, replaced value or null, received]. What a snapshot of quality knows of is
# deleted, but for the newest, which keeps the numbers growing.
joined = Table(
    "joined",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("rows", Text, nullable=False),
)

# One row an hour and challenger: `hour` is whole hours since the epoch, `record` zlib's of the evidence record's JSON.
gate_hour = Table(
    "gate_hour",
    metadata,
    Column("deployment", Text, primary_key=True),
    Column("challenger", Text, primary_key=True),
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("record", LargeBinary, nullable=False),
)


def _own_word(connection: Connection, tables: frozenset[str]) -> str | None:
    del connection
    return "0001" if {decision.name, outcome.name} <= tables else None


FORM = Form("decisions", REVISION, metadata, _own_word)
