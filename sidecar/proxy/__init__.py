"""The data plane of one worker process: callbacks and plain objects between the first byte and the last."""
