"""A state may hold a canary, which an older sidecar would not see and take for none."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Changes no table: a state without the new member has no canary."""
    op.execute("UPDATE meta SET value = 4 WHERE key = 'schema'")
