"""Challengers that calls have changed are kept: the table `roster`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the table, and tells sidecars from before Alembic that they would misread the store."""
    op.create_table(
        "roster",
        sa.Column("deployment", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
    )
    op.execute("UPDATE meta SET value = 2 WHERE key = 'schema'")
