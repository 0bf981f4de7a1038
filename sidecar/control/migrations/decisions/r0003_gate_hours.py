"""What the gates could read of a challenger, once an hour, for rehearsals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the table, without any hour in it."""
    op.create_table(
        "gate_hour",
        sa.Column("deployment", sa.Text, primary_key=True),
        sa.Column("challenger", sa.Text, primary_key=True),
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
