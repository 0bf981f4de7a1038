"""Benches: what the sidecar costs beside nginx (`python -m bench`), and whether it stays flat (`python -m bench.soak`).

Everything runs on this machine's loopback, on ports that were free, in a temporary folder, on two cores: the process
that is measured has one for itself, load, model servers and control share the other. Nothing is left behind.
"""
