"""The story that `sidecar demo` tells, played by real parts of the product on one machine."""
