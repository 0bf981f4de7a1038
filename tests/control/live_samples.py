"""Exchanges, counters and a baseline of one small deployment, as workers and training would have made them."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from registry_client.baseline import Baseline
from registry_client.from_columns import build_baseline
from sidecar.config import Deployment
from sidecar.records import DROP_REASONS, LEG_ERRORS, Answer, Exchange, Leg, ShadowCounts, WorkerCounts
from sidecar.standing import DeploymentState, Target

NOW = 1_700_000_000.0
GATES = {
    "pairs": {"min": 100},
    "duration": {"min_hours": 0.0},
    "outcome": {"min_matched": 100, "margin": 0.2},
    "calibration": {"max_increase": 0.2},
    "latency": {"max_ratio": 5.0},
}
URLS = {"3": "http://127.0.0.1:8030", "4": "http://127.0.0.1:8040", "5": "http://127.0.0.1:8050"}


def deployment(name: str = "fraud", **changes: Any) -> Deployment:
    fields: dict[str, Any] = {
        "name": name,
        "owner": "risk@example.com",
        "champion": {"version": "3", "url": URLS["3"]},
        "challengers": [{"version": "4", "url": URLS["4"]}],
        "drift": {"bucket_s": 1},
        "gates": GATES,
    }
    return Deployment.model_validate(fields | changes)


def state(champion: str = "3", generation: int = 1, **changes: Any) -> DeploymentState:
    fields: dict[str, Any] = {
        "deployment": "fraud",
        "generation": generation,
        "champion": champion,
        "champion_target": Target(URLS[champion]),
        "champion_since": NOW,
    }
    return DeploymentState(**fields | changes)


def amounts(seed: int, n: int) -> list[float]:
    return [float(value) for value in np.exp(np.random.default_rng(seed).normal(8.0, 1.0, n))]


@functools.cache
def baseline(seed: int = 1) -> Baseline:
    rng = np.random.default_rng(seed)
    columns = {"amount": np.exp(rng.normal(8.0, 1.0, 5_000)), "score": rng.uniform(size=5_000)}
    return build_baseline(columns, prediction="score", now=datetime(2026, 1, 1, tzinfo=UTC))


def request_body(values: Sequence[float]) -> bytes:
    tensor = {"name": "amount", "datatype": "FP64", "shape": [len(values)], "data": list(values)}
    return json.dumps({"inputs": [tensor]}).encode()


def answer(labels: Sequence[str], scores: Sequence[float], **changes: Any) -> Answer:
    outputs = [
        {"name": "label", "datatype": "BYTES", "shape": [len(labels)], "data": list(labels)},
        {"name": "score", "datatype": "FP64", "shape": [len(scores)], "data": list(scores)},
    ]
    fields: dict[str, Any] = {
        "status": 200,
        "content_type": "application/json",
        "content_encoding": "",
        "body": json.dumps({"outputs": outputs}).encode(),
    }
    return Answer(**fields | changes)


def leg(version: str, answered: Answer | None, **changes: Any) -> Leg:
    fields: dict[str, Any] = {
        "version": version,
        "answer": answered,
        "error": None if answered is not None else "timeout",
        "dropped": None,
        "latency_s": 0.002,
    }
    return Leg(**fields | changes)


def exchange(number: int, *, rows: int = 1, euros: bool = False, **changes: Any) -> Exchange:
    """Request `number`: both versions say the same, unless the changes say otherwise."""
    values = amounts(number, rows)
    scores = [float(score) for score in np.random.default_rng(number + 1_000_000).uniform(size=rows)]
    said = answer([str(int(score >= 0.5)) for score in scores], scores)
    champion = changes.pop("champion", "3")
    challengers = changes.pop("challengers", ("4",))
    fields: dict[str, Any] = {
        "request_id": f"id-{number}",
        "deployment": "fraud",
        "generation": 1,
        "at": NOW + number / 100,
        "path": "/v2/models/fraud/infer",
        "content_type": "application/json",
        "content_encoding": "",
        "body": request_body([value / 100 for value in values] if euros else values),
        "body_complete": True,
        "champion": leg(champion, said) if isinstance(champion, str) else champion,
        "shadows": tuple(leg(version, said) for version in challengers),
    }
    return Exchange(**fields | changes)


def shadow_counts(mirrored: int, answered: int | None = None, **changes: Any) -> ShadowCounts:
    fields: dict[str, Any] = {
        "deployment": "fraud",
        "generation": 1,
        "champion": "3",
        "version": "4",
        "mirrored": mirrored,
        "answered": mirrored if answered is None else answered,
        "errors": dict.fromkeys(LEG_ERRORS, 0),
        "dropped": dict.fromkeys(DROP_REASONS, 0),
    }
    fields["errors"] |= changes.pop("errors", {})
    fields["dropped"] |= changes.pop("dropped", {})
    return ShadowCounts(**fields | changes)


def worker_counts(worker: str, *shadows: ShadowCounts, **changes: Any) -> WorkerCounts:
    fields: dict[str, Any] = {
        "worker": worker,
        "requests": [],
        "shadows": list(shadows),
        "capture_dropped": {},
        "refused": {},
        "overhead_seconds": 0.0,
        "overhead_count": 0,
        "overhead_buckets": [],
        "connections": 1,
        "inflight": 0,
        "held_bytes": 0,
        "repeats": 0,
    }
    return WorkerCounts(**fields | changes)
