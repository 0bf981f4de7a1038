"""Read by Alembic before its scripts: they run on the connection, and in the transaction, of whoever called.

Keeps: all steps or none, since the caller's transaction holds them all. Called by: Alembic, for `control/migrating`.
"""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
