"""A serving sidecar that keeps machine-learning models honest after launch."""

__version__ = "0.1.0"
