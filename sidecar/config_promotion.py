"""Who moves the pointer, when, and how a new champion is watched.

Part of `config`; judged in `decide`. Holds defaults, decides nothing.
"""

from __future__ import annotations

from typing import Literal

from sidecar.config_values import Seconds, Section


class Promotion(Section):
    """Who moves the pointer, and how long the new champion is watched."""

    mode: Literal["manual"] = "manual"
    watch_s: Seconds = 1800.0
