"""The composition roots: `worker` and `control` wire one process each by constructor arguments."""
