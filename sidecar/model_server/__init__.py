"""Embedded ONNX model server: one model, Open Inference Protocol V2 over JSON.

For demos, tests and small models; a fleet has a real model server, which the sidecar stands before.
`run_model_server` is the whole program, `serving` the same inside a running event loop.
"""

from __future__ import annotations

from sidecar.model_server.errors import ModelServerError
from sidecar.model_server.model import OnnxModel
from sidecar.model_server.server import run_model_server, serve, serving

__all__ = ["ModelServerError", "OnnxModel", "run_model_server", "serve", "serving"]
