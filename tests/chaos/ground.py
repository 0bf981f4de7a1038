"""The ground that faults are tried on: one whole sidecar, looked at from outside, and what its processes hold."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from bench import process
from tests.process.whole_sidecar import PATIENCE_S, Sidecar, ask_once, until

T = TypeVar("T")
MIB = 1 << 20
OFF: dict[str, bool] = dict.fromkeys(
    ("duration", "completeness", "errors", "latency", "agreement", "prediction", "outcome", "inputs", "lineage"), False
)


def deployment(name: str, champion: str, *challengers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A deployment's settings. Challengers are numbered from 4 where they have no version."""
    named = [{"version": str(number)} | challenger for number, challenger in enumerate(challengers, 4)]
    return {"name": name, "champion": {"version": "3", "url": champion}, "challengers": named, "gates": OFF} | more


def path_of(name: str) -> str:
    return f"/v2/models/{name}/infer"


def allow_files(wanted: int) -> int:
    """Raises this process' limit of open files as far as needed and allowed; what it is then. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


class Copies:
    """What metrics say about the copies to one challenger."""

    def __init__(self, outcomes: Counter[str], dropped: Counter[str]) -> None:
        self.outcomes = outcomes
        self.dropped = dropped

    @property
    def due(self) -> int:
        return self.outcomes.total() + self.dropped.total()

    def __repr__(self) -> str:
        return f"outcomes {dict(self.outcomes)}, dropped {dict(self.dropped)}"


class Ground:
    """A sidecar under test."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        # Before the first caller came.
        self.files = self.open_files()

    @property
    def data(self) -> str:
        return self.sidecar.data

    @property
    def worker(self) -> int:
        return self.sidecar.worker

    def samples(self) -> list[tuple[str, dict[str, str], float]]:
        """Every sample of the metrics page: name, labels, value."""
        page = ask_once(self.sidecar.admin, "/metrics", None).body.decode()
        families = text_string_to_metric_families(page)
        return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]

    def metric(self, name: str, **labels: str) -> float:
        return self.sidecar.metric(name, **labels)

    def copies(self, name: str, version: str = "4") -> Copies:
        outcomes: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        for metric, labels, value in self.samples():
            if labels.get("deployment") == name and labels.get("version") == version and value:
                if metric == "sidecar_shadow_requests_total":
                    outcomes[labels["outcome"]] += int(value)
                elif metric == "sidecar_shadow_dropped_total":
                    dropped[labels["reason"]] += int(value)
        return Copies(outcomes, dropped)

    def settled(self, name: str, due: int, version: str = "4", within_s: float = PATIENCE_S) -> Copies:
        """The copies of a deployment, once as many are accounted for as were due."""

        def look() -> Copies | None:
            seen = self.copies(name, version)
            return seen if seen.due >= due else None

        copies: Copies = until(f"{due} copies of {name} accounted for", look, within_s)
        return copies

    def heard(self) -> None:
        """Waits until control has counters that are younger than this call: a worker sends them once a second."""
        before = self.metric("sidecar_requests_total", deployment="")
        ask_once(self.data, "/no-deployment-of-this-name", None)
        until("the next counters", lambda: self.metric("sidecar_requests_total", deployment="") > before)

    def quiet(self, within_s: float = PATIENCE_S) -> None:
        """Waits until no request is being answered and nothing is held for copies."""
        gauges = ("sidecar_inflight_requests", "sidecar_held_bytes")
        self.heard()

        def look() -> bool:
            return not any(value for name, _, value in self.samples() if name in gauges)

        until("nothing in flight and nothing held", look, within_s)

    def empty(self) -> None:
        """Waits until every connection is closed, those too that are kept to model servers for a while."""
        self.quiet()
        until("that all callers are gone", lambda: self.metric("sidecar_connections") == 0)
        until("that every file is closed", lambda: self.open_files() <= self.files)

    def resident_bytes(self) -> int:
        return process.resident_bytes(self.worker)

    def open_files(self) -> int:
        return process.open_files(self.worker)

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.worker}/task").iterdir()))


def run(work: Coroutine[Any, Any, T], within_s: float = 300.0) -> T:
    """Runs a crowd, but not for ever."""
    return asyncio.run(asyncio.wait_for(work, within_s))
