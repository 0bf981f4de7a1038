"""What the sidecar tells about itself: merged worker counters, the metrics page, structured logs."""
