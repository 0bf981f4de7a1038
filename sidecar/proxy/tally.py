"""What a worker counts: cumulative since it started, sent to control each second.

Every count is a plain integer on a plain object; nothing here allocates once a series exists.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from sidecar.decide.routing_table import Route, Shadow
from sidecar.records import (
    CAPTURE_DROP_REASONS,
    DROP_REASONS,
    DURATION_BUCKETS_S,
    LEG_ERRORS,
    RequestCounts,
    ShadowCounts,
    WorkerCounts,
)


class Tally:
    """All counters of one worker."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._requests: dict[tuple[str, str, int], RequestCounts] = {}
        self._shadows: dict[tuple[str, int, str], ShadowCounts] = {}
        self._refused: dict[str, int] = {}
        self._overhead_s = 0.0
        self._overhead_count = 0
        self._overhead_buckets = [0] * (len(DURATION_BUCKETS_S) + 1)
        self.capture_dropped = dict.fromkeys(CAPTURE_DROP_REASONS, 0)
        self.inflight = 0
        self.repeats = 0

    def request(self, deployment: str, version: str, code: int, duration_s: float) -> None:
        """One request ended."""
        counts = self._requests.get((deployment, version, code))
        if counts is None:
            buckets = [0] * (len(DURATION_BUCKETS_S) + 1)
            counts = RequestCounts(deployment, version, code, buckets=buckets)
            self._requests[deployment, version, code] = counts
        counts.count += 1
        counts.seconds += duration_s
        counts.buckets[bisect_left(DURATION_BUCKETS_S, duration_s)] += 1

    def overhead(self, inside_s: float) -> None:
        """Time spent in the sidecar itself for one request, apart from the model server's."""
        self._overhead_s += inside_s
        self._overhead_count += 1
        self._overhead_buckets[bisect_left(DURATION_BUCKETS_S, inside_s)] += 1

    def refused(self, reason: str) -> None:
        """The sidecar answered itself."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def shadow(self, route: Route, shadow: Shadow) -> ShadowCounts:
        """The counts of copies to one challenger under one generation."""
        key = (route.deployment, route.generation, shadow.to.version)
        counts = self._shadows.get(key)
        if counts is None:
            counts = ShadowCounts(route.deployment, route.generation, route.champion.version, shadow.to.version)
            counts.errors = dict.fromkeys(LEG_ERRORS, 0)
            counts.dropped = dict.fromkeys(DROP_REASONS, 0)
            self._shadows[key] = counts
        return counts

    def expect(self, routes: Iterable[Route]) -> None:
        """Makes every route's series exist before the first request, so that absent never looks like zero."""
        for route in routes:
            for shadow in route.shadows:
                self.shadow(route, shadow)

    def read(self, connections: int, held_bytes: int) -> WorkerCounts:
        """Everything, as one frame."""
        return WorkerCounts(
            worker=self._worker,
            requests=list(self._requests.values()),
            shadows=list(self._shadows.values()),
            capture_dropped=self.capture_dropped,
            refused=self._refused,
            overhead_seconds=self._overhead_s,
            overhead_count=self._overhead_count,
            overhead_buckets=self._overhead_buckets,
            connections=connections,
            inflight=self.inflight,
            held_bytes=held_bytes,
            repeats=self.repeats,
        )
