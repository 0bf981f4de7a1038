"""Joins in the order in which they happened, segments of a row, and less of an index to write for each row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds a table and a column; outcomes that were joined before are found by counting all of them once."""
    op.add_column("decision", sa.Column("segments", sa.Text))
    op.drop_index("decision_champion", "decision")
    op.drop_index("outcome_received", "outcome")
    op.create_index("outcome_unmatched", "outcome", ["received"], sqlite_where=sa.text("deployment IS NULL"))
    op.create_table(
        "joined",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rows", sa.Text, nullable=False),
    )
