"""The steps of `decisions.db`. The last one's revision stands in `decision_tables.REVISION`."""
