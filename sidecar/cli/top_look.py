"""One look at a running sidecar for `top`: what each deployment does, and what it did since the look before.

Keeps: rates are differences of counters between two looks, so that they say what happens now; a counter that fell
began anew and counts from zero. A deployment that is refused says why, and the others stand. Called by `top`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from sidecar.cli.answers import Alarm, Alarms, Deployment, Deployments, Gates
from sidecar.cli.client import AdminClient, Problem, segment
from sidecar.cli.comparison import Comparison

_REQUESTS, _SECONDS = "sidecar_requests_total", "sidecar_request_duration_seconds_bucket"
_FAILED = 500
Shape = TypeVar("Shape")
# By deployment: requests, failed ones, and requests by their slowest duration in seconds.
Counters = Mapping[str, "Counted"]


class Counted(msgspec.Struct, frozen=True):
    """A deployment's requests since its workers began."""

    requests: float = 0.0
    failed: float = 0.0
    within: dict[float, float] = {}

    def since(self, before: Counted) -> Counted:
        """What came in between; all of it where the counters began anew."""
        if self.requests < before.requests:
            return self
        within = {bound: count - before.within.get(bound, 0.0) for bound, count in self.within.items()}
        return Counted(self.requests - before.requests, self.failed - before.failed, within)

    def quantile_s(self, share: float) -> float | None:
        """A duration, by a straight line within the bucket that holds it; None without a request."""
        bounds = sorted(self.within)
        total = self.within[bounds[-1]] if bounds else 0.0
        if total <= 0:
            return None
        below, low = 0.0, 0.0
        for bound in bounds:
            if self.within[bound] >= share * total:
                if not math.isfinite(bound):
                    return low
                inside = self.within[bound] - below
                return low + (bound - low) * ((share * total - below) / inside if inside else 1.0)
            below, low = self.within[bound], bound
        return low


class ChallengerLook(NamedTuple):
    """A text in place of `gates` or `comparison` is why there is none."""

    version: str
    state: str
    gates: Gates | str
    comparison: Comparison | str


class DeploymentLook(NamedTuple):
    """`traffic` is what came within `span_s` seconds, None at the first look."""

    status: Deployment
    challengers: tuple[ChallengerLook, ...]
    traffic: Counted | None
    span_s: float


class Look(NamedTuple):
    """Everything at `at` (any steady clock, seconds); `counters` are for the next look."""

    at: float
    waits: str | None
    deployments: tuple[DeploymentLook, ...]
    alarms: tuple[Alarm, ...]
    counters: Counters


def look(api: AdminClient, now: float, before: Look | None) -> Look:
    """Asks for all of it. Raises CommandFailed where nobody answers."""
    told = api.get("/v1/deployments").read_as(Deployments)
    counters = counted(api.get_text("/metrics"))
    alarms = tuple(alarm for alarm in api.get("/v1/alarms").read_as(Alarms).items if alarm.ended is None)
    return Look(
        now,
        told.waits,
        tuple(
            DeploymentLook(
                status,
                _challengers(api, status),
                None if before is None else _since(counters, before.counters, status.name),
                0.0 if before is None else now - before.at,
            )
            for status in told.items
        ),
        alarms,
        counters,
    )


def counted(metrics: str) -> dict[str, Counted]:
    """The counters of Prometheus' text, by deployment."""
    requests: dict[str, float] = {}
    failed: dict[str, float] = {}
    within: dict[str, dict[float, float]] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            name = sample.labels.get("deployment")
            if name is None:
                continue
            if sample.name == _REQUESTS:
                requests[name] = requests.get(name, 0.0) + sample.value
                code = sample.labels.get("code", "")
                if code.isdigit() and int(code) >= _FAILED:
                    failed[name] = failed.get(name, 0.0) + sample.value
            elif sample.name == _SECONDS:
                mine, bound = within.setdefault(name, {}), float(sample.labels["le"])
                mine[bound] = mine.get(bound, 0.0) + sample.value
    return {name: Counted(total, failed.get(name, 0.0), within.get(name, {})) for name, total in requests.items()}


def _since(counters: Counters, before: Counters, name: str) -> Counted:
    return counters.get(name, Counted()).since(before.get(name, Counted()))


def _challengers(api: AdminClient, status: Deployment) -> tuple[ChallengerLook, ...]:
    return tuple(
        ChallengerLook(
            challenger.version,
            status.state_of(challenger),
            _asked(api, status.name, "gates", challenger.version, Gates),
            _asked(api, status.name, "comparison", challenger.version, Comparison),
        )
        for challenger in status.challengers
    )


def _asked(api: AdminClient, name: str, what: str, version: str, shape: type[Shape]) -> Shape | str:
    """A refusal is a sentence; a sidecar that is gone is not."""
    try:
        return api.get(f"/v1/deployments/{segment(name)}/{what}", challenger=version).read_as(shape)
    except Problem as problem:
        return problem.message
