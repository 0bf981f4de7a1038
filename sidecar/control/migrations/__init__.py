"""How each database file came to its present form: one script a step, run by Alembic (`control/migrating`)."""
