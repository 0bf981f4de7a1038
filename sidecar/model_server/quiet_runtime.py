"""onnxruntime, imported so that it tells nobody about it. Everything here that needs it takes it from this file.

Since 1.29 its wheels for Linux send events about processes, models and sessions to their vendor unless
ORT_DISABLE_TELEMETRY was set before it loads (microsoft/onnxruntime pull request 27379), and leave an identifier in
the temporary folder. A model server must do neither unasked; who wants it sets the variable to 0.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

__all__ = ["onnxruntime", "runtime"]
