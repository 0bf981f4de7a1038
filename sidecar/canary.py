"""What is told of a canary: a challenger that answers a share of the requests, step by step, before all of them.

Frozen. Times are seconds since the epoch here and become RFC 3339 at the admin API's edge.
"""

from __future__ import annotations

import msgspec

from sidecar.reports import GateVerdict, Verdict


class CanaryStep(msgspec.Struct, frozen=True):
    """The share of requests, for how long with traffic at least, and how many rows both versions must have scored."""

    weight: float
    dwell_s: float
    min_pairs: int


class CanaryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A canary as it stands. `weight` is what the settings let it have now: 0.0 while shadow work is switched off.

    `step` counts from 1; `gates` are judged over this step's evidence.
    """

    version: str
    weight: float
    step: int
    steps: tuple[CanaryStep, ...]
    since: float
    step_since: float
    verdict: Verdict
    gates: tuple[GateVerdict, ...]
    waits: str | None
