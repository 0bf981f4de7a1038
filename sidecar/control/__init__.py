"""The control side's shell: store, audit trail, controller, outbox. `decide` decides; this writes and sends."""
