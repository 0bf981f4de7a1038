"""Decisions and outcomes as they were first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes both tables with their indices."""
    op.create_table(
        "decision",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("deployment", sa.Text, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("champion", sa.Text, nullable=False),
        sa.Column("predictions", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("decision_at", "decision", ["at"])
    op.create_index("decision_champion", "decision", ["deployment", "champion"])
    op.create_table(
        "outcome",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("received", sa.Float, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("orphan_at", sa.Float, nullable=False),
        sa.Column("deployment", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("outcome_pending", "outcome", ["orphan_at"], sqlite_where=sa.text("state = 'pending'"))
    op.create_index("outcome_received", "outcome", ["received"])
