"""What a worker counts: cumulative since it started, sent to control each second.

Every count is a plain integer on a plain object; nothing here allocates once a series exists.
"""

from __future__ import annotations

from bisect import bisect_left

from sidecar.decide.breaker import Breaker
from sidecar.records import (
    CAPTURE_DROP_REASONS,
    DROP_REASONS,
    DURATION_BUCKETS_S,
    LEG_ERRORS,
    RequestCounts,
    ShadowCounts,
    WorkerCounts,
)


class RequestCount:
    """Requests of one deployment, version and status code, with their durations' histogram."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count: int = 0
        self.seconds: float = 0.0
        self.buckets: list[int] = [0] * (len(DURATION_BUCKETS_S) + 1)

    def add(self, duration_s: float) -> None:
        """One more request."""
        self.count += 1
        self.seconds += duration_s
        self.buckets[bisect_left(DURATION_BUCKETS_S, duration_s)] += 1


class CopyCounts:
    """What became of the copies to one challenger under one generation; `breaker` is the one that it has now."""

    __slots__ = ("answered", "breaker", "dropped", "errors", "mirrored")

    def __init__(self) -> None:
        self.mirrored: int = 0
        self.answered: int = 0
        self.errors: dict[str, int] = dict.fromkeys(LEG_ERRORS, 0)
        self.dropped: dict[str, int] = dict.fromkeys(DROP_REASONS, 0)
        self.breaker: Breaker | None = None


class Tally:
    """All counters of one worker.

    Attributes:
        inflight: requests that began and have not ended.
        repeats: requests that were sent once more on a fresh connection.
        sacrificed: what was given up under pressure: keep_alive, requests (copies and exchanges have drop reasons).
        pressure, loop_lag_s: the worker's, as of the last tick; set by who measures them.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._requests: dict[tuple[str, str], dict[int, RequestCount]] = {}
        self._copies: dict[tuple[str, int, str, str, float], CopyCounts] = {}
        self._refused: dict[str, int] = {}
        self._received_copies: dict[str, int] = {}
        self._overhead_s: float = 0.0
        self._overhead_count: int = 0
        self._overhead_buckets: list[int] = [0] * (len(DURATION_BUCKETS_S) + 1)
        self.capture_dropped: dict[str, int] = dict.fromkeys(CAPTURE_DROP_REASONS, 0)
        self.inflight: int = 0
        self.repeats: int = 0
        self.sacrificed: dict[str, int] = {"keep_alive": 0, "requests": 0}
        self.pressure: float = 0.0
        self.loop_lag_s: float = 0.0
        self.access_log_dropped: dict[str, int] = {}

    def requests(self, deployment: str, version: str) -> dict[int, RequestCount]:
        """The counts of one version's answers, by status code."""
        return self._requests.setdefault((deployment, version), {})

    def copies(
        self, deployment: str, generation: int, champion: str, version: str, step_since: float = 0.0
    ) -> CopyCounts:
        """The counts of copies to one challenger under one generation, which exist from now on.

        `step_since`: of those to the champion of what a canary answers, its step.
        """
        key = (deployment, generation, champion, version, step_since)
        counts = self._copies.get(key)
        if counts is None:
            counts = self._copies[key] = CopyCounts()
        return counts

    def unrouted(self, status: int, duration_s: float) -> None:
        """A request that led nowhere was refused."""
        self.requests("", "").setdefault(status, RequestCount()).add(duration_s)

    def overhead(self, inside_s: float) -> None:
        """Time spent in the sidecar itself for one request, apart from the model server's."""
        self._overhead_s += inside_s
        self._overhead_count += 1
        self._overhead_buckets[bisect_left(DURATION_BUCKETS_S, inside_s)] += 1

    def refused(self, reason: str) -> None:
        """The sidecar answered itself."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def received_copy(self, deployment: str) -> None:
        """A request that is another sidecar's copy was served: no user's traffic."""
        self._received_copies[deployment] = self._received_copies.get(deployment, 0) + 1

    def read(self, connections: int, held_bytes: int) -> WorkerCounts:
        """Everything, as one frame."""
        return WorkerCounts(
            worker=self._worker,
            requests=[
                RequestCounts(deployment, version, code, count.count, count.seconds, count.buckets)
                for (deployment, version), by_code in self._requests.items()
                for code, count in by_code.items()
            ],
            shadows=[
                ShadowCounts(
                    deployment,
                    generation,
                    champion,
                    version,
                    copies.mirrored,
                    copies.answered,
                    copies.errors,
                    copies.dropped,
                    "closed" if copies.breaker is None else copies.breaker.state,
                    step_since,
                )
                for (deployment, generation, champion, version, step_since), copies in self._copies.items()
            ],
            capture_dropped=self.capture_dropped,
            refused=self._refused,
            overhead_seconds=self._overhead_s,
            overhead_count=self._overhead_count,
            overhead_buckets=self._overhead_buckets,
            connections=connections,
            inflight=self.inflight,
            held_bytes=held_bytes,
            repeats=self.repeats,
            received_copies=self._received_copies,
            sacrificed=self.sacrificed,
            pressure=self.pressure,
            loop_lag_s=self.loop_lag_s,
            access_log_dropped=self.access_log_dropped,
        )
