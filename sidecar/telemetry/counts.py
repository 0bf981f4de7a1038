"""The counters of all workers together.

Keeps: a worker's counters are cumulative, so its newest frame replaces the one before and a lost frame loses nothing;
what a worker counted stays counted after it left, once, also when it comes again; totals never go backwards. Gauges
are of living workers only.
Does not: know metrics' names, read a clock. `control` feeds it from the link; `metrics` and the comparison read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import NamedTuple

import msgspec

from sidecar.records import DURATION_BUCKETS_S, RequestCounts, ShadowCounts, WorkerCounts
from sidecar.reports import Copies

_LEFT = 64  # workers that left and may come again
_BUCKETS = len(DURATION_BUCKETS_S) + 1


class RequestKey(NamedTuple):
    """What requests are counted by."""

    deployment: str
    version: str
    code: int


class ShadowKey(NamedTuple):
    """What copies are counted by."""

    deployment: str
    generation: int
    champion: str
    version: str


class Durations(msgspec.Struct):
    """A histogram's parts: `buckets` counts per bucket of records.DURATION_BUCKETS_S and +Inf, not cumulative."""

    count: int = 0
    seconds: float = 0.0
    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * _BUCKETS)

    def add(self, count: int, seconds: float, buckets: Iterable[int]) -> None:
        """Adds another histogram; buckets that are missing at the end are zeros."""
        self.count += count
        self.seconds += seconds
        for index, more in enumerate(buckets):
            self.buckets[min(index, _BUCKETS - 1)] += more


class Totals(msgspec.Struct):
    """The sum over all workers at one moment; of `pressure` and `loop_lag_s` the worst."""

    requests: dict[RequestKey, Durations]
    shadows: dict[ShadowKey, Copies]
    capture_dropped: dict[str, int]
    refused: dict[str, int]
    overhead: Durations
    repeats: int
    workers: int
    connections: int
    inflight: int
    held_bytes: int
    sacrificed: dict[str, int] = {}
    access_log_dropped: dict[str, int] = {}
    pressure: float = 0.0
    loop_lag_s: float = 0.0


class WorkerTotals:
    """Newest counters of each living worker, of the last that left, and the sum of those before."""

    def __init__(self) -> None:
        self._living: dict[str, WorkerCounts] = {}
        self._left: dict[str, WorkerCounts] = {}
        self._ended = _Sum()

    def update(self, counts: WorkerCounts) -> None:
        """Takes a worker's newest frame. One that began again under the same name is counted on top."""
        before = self._left.pop(counts.worker, None) or self._living.get(counts.worker)
        if before is not None and _began_again(before, counts):
            self._ended.add(before)
        self._living[counts.worker] = counts

    def ended(self, worker: str) -> None:
        """The worker's link closed: its totals are kept, its gauges go. An unknown name is nothing to keep."""
        counts = self._living.pop(worker, None)
        if counts is None:
            return
        self._left[worker] = counts  # it may only have lost its link
        if len(self._left) > _LEFT:
            self._ended.add(self._left.pop(next(iter(self._left))))

    def copies(self, deployment: str, generation: int, version: str) -> Copies:
        """What became of the copies to one challenger since the generation began."""
        workers = chain(self._living.values(), self._left.values())
        living = chain.from_iterable(counts.shadows for counts in workers)
        wanted = (deployment, generation, version)
        return _copies(
            shadow
            for shadow in chain(self._ended.shadows.values(), living)
            if (shadow.deployment, shadow.generation, shadow.version) == wanted
        )

    def totals(self) -> Totals:
        """Everything summed."""
        whole = _Sum()
        whole.merge(self._ended)
        for counts in chain(self._living.values(), self._left.values()):
            whole.add(counts)
        living = self._living.values()
        return Totals(
            requests=whole.requests,
            shadows={key: _copies([counts]) for key, counts in whole.shadows.items()},
            capture_dropped=dict(whole.capture_dropped),
            refused=dict(whole.refused),
            overhead=whole.overhead,
            repeats=whole.repeats,
            workers=len(self._living),
            connections=sum(counts.connections for counts in living),
            inflight=sum(counts.inflight for counts in living),
            held_bytes=sum(counts.held_bytes for counts in living),
            sacrificed=dict(whole.sacrificed),
            access_log_dropped=dict(whole.access_log_dropped),
            pressure=max((counts.pressure for counts in living), default=0.0),
            loop_lag_s=max((counts.loop_lag_s for counts in living), default=0.0),
        )


class _Sum:
    """Counters added up."""

    def __init__(self) -> None:
        self.requests: dict[RequestKey, Durations] = {}
        self.shadows: dict[ShadowKey, ShadowCounts] = {}
        self.capture_dropped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.sacrificed: Counter[str] = Counter()
        self.access_log_dropped: Counter[str] = Counter()
        self.overhead = Durations()
        self.repeats = 0

    def add(self, counts: WorkerCounts) -> None:
        for request in counts.requests:
            self._request(RequestKey(request.deployment, request.version, request.code), request)
        for shadow in counts.shadows:
            self._shadow(shadow)
        self.capture_dropped.update(counts.capture_dropped)
        self.refused.update(counts.refused)
        self.sacrificed.update(counts.sacrificed)
        self.access_log_dropped.update(counts.access_log_dropped)
        self.overhead.add(counts.overhead_count, counts.overhead_seconds, counts.overhead_buckets)
        self.repeats += counts.repeats

    def merge(self, other: _Sum) -> None:
        for key, durations in other.requests.items():
            mine = self.requests.setdefault(key, Durations())
            mine.add(durations.count, durations.seconds, durations.buckets)
        for shadow in other.shadows.values():
            self._shadow(shadow)
        self.capture_dropped.update(other.capture_dropped)
        self.refused.update(other.refused)
        self.sacrificed.update(other.sacrificed)
        self.access_log_dropped.update(other.access_log_dropped)
        self.overhead.add(other.overhead.count, other.overhead.seconds, other.overhead.buckets)
        self.repeats += other.repeats

    def _request(self, key: RequestKey, counts: RequestCounts) -> None:
        self.requests.setdefault(key, Durations()).add(counts.count, counts.seconds, counts.buckets)

    def _shadow(self, counts: ShadowCounts) -> None:
        key = ShadowKey(counts.deployment, counts.generation, counts.champion, counts.version)
        mine = self.shadows.setdefault(key, ShadowCounts(*key))
        mine.mirrored += counts.mirrored
        mine.answered += counts.answered
        mine.errors = _added(mine.errors, counts.errors)
        mine.dropped = _added(mine.dropped, counts.dropped)


def _began_again(before: WorkerCounts, now: WorkerCounts) -> bool:
    """Whether any total went back, which only a new process can do."""
    return (
        now.overhead_count < before.overhead_count
        or sum(request.count for request in now.requests) < sum(request.count for request in before.requests)
        or sum(shadow.mirrored for shadow in now.shadows) < sum(shadow.mirrored for shadow in before.shadows)
    )


def _copies(counts: Iterable[ShadowCounts]) -> Copies:
    mirrored = answered = 0
    errors: dict[str, int] = {}
    dropped: dict[str, int] = {}
    for shadow in counts:
        mirrored += shadow.mirrored
        answered += shadow.answered
        errors, dropped = _added(errors, shadow.errors), _added(dropped, shadow.dropped)
    return Copies(mirrored=mirrored, answered=answered, errors=errors, dropped=dropped)


def _added(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}
