"""A watched deployment, fed by hand."""

from __future__ import annotations

from typing import Any

from registry_client.baseline import Baseline
from sidecar.control.decision_row import Joined
from sidecar.control.watch import DeploymentWatch
from sidecar.observe.quality import RowPrediction
from tests.control.live_samples import (
    NOW,
    baseline,
    deployment,
    exchange,
    state,
)

BASELINE = baseline()


def watch(found: Baseline | None = BASELINE, **changes: Any) -> DeploymentWatch:
    return DeploymentWatch(deployment(**changes), state(), found, NOW)


def feed(watched: DeploymentWatch, start: int, seconds: int, *, euros: bool = False, **changes: Any) -> int:
    """One exchange of 100 rows a second, each followed by the clock's tick; the next number."""
    for number in range(start, start + seconds):
        watched.fold(exchange(number, rows=100, at=NOW + number, euros=euros, **changes))
        watched.tick(NOW + number + 1)
    return start + seconds


def joined(generation: int, at: float = NOW) -> Joined:
    said = {"3": RowPrediction("1", 0.9), "4": RowPrediction("1", 0.8)}
    return Joined("fraud", "id-1", 0, generation, "3", said, "1", at)


def evidence(watched: DeploymentWatch) -> tuple[int, int, int]:
    """Pairs, rows with an outcome, and sampled rows."""
    return (
        watched.comparisons["4"].report(NOW).pairs,
        watched.paired.paired("3", "4").matched,
        watched.drift().rows_sampled,
    )
