"""What mattered of a message was told though not all of it, and a message that nobody can read: two times more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds two columns to the outbox; both may be empty."""
    op.add_column("outbox", sa.Column("landed_at", sa.Float))
    op.add_column("outbox", sa.Column("aside_at", sa.Float))
    op.execute("UPDATE meta SET value = 3 WHERE key = 'schema'")
