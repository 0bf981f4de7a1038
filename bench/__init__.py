"""Benches: what the sidecar costs beside nginx and Envoy (`python -m bench`), and whether it stays flat (`bench.soak`).

Everything runs on this machine's loopback, on ports that were free, in temporary folders, on two cores: the process
that is measured has one for itself, load, model servers and control share the other. Nothing is left behind.
"""
