"""The steps of `sidecar.db`. The last one's revision stands in `schema.REVISION`."""
