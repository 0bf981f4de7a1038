"""Runs summed up: medians over the rounds with their span, and ratios to the peers, taken within each round.

Pure: runs in, figures out. A ratio's median is over the rounds' own ratios, since a noisy round slows all alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from bench.measure import Run
from bench.stand import NGINX_KEPT, NGINX_MIRROR, NGINX_PLAIN, SIDECAR_ALONE, SIDECAR_FORWARD, SIDECAR_SHADOW
from bench.stand import WORKER_READER as READER


class Spread(msgspec.Struct, frozen=True):
    """A median over rounds, and the least and most that it was taken from."""

    median: float
    least: float
    most: float


class Target(msgspec.Struct, frozen=True):
    """What a contender's CPU must be, as a multiple of a peer's."""

    contender: str
    peer: str
    most: float


class Ratio(msgspec.Struct, frozen=True):
    """A target and what was reached."""

    target: Target
    reached: Spread

    @property
    def met(self) -> bool:
        """Whether the median is within the target."""
        return self.reached.median <= self.target.most


TARGETS = (
    Target(READER, NGINX_MIRROR, 0.75),
    Target(READER, NGINX_KEPT, 1.1),
    Target(SIDECAR_SHADOW, NGINX_MIRROR, 0.75),
    Target(SIDECAR_SHADOW, NGINX_KEPT, 1.1),
    Target(SIDECAR_ALONE, NGINX_PLAIN, 2.0),
    Target(SIDECAR_FORWARD, NGINX_PLAIN, 2.0),
)


class Figure(msgspec.Struct, frozen=True):
    """One contender over all rounds. `capture_dropped` is a share of its requests, None if it captures nothing."""

    contender: str
    cpu_us: Spread
    requests_per_s: float
    copies: float
    new_connections: float
    capture_dropped: float | None
    copies_dropped: int
    errors: int


def spread(values: Sequence[float]) -> Spread:
    """Median, least and most of at least one value."""
    return Spread(median(values), min(values), max(values))


def figures(runs: Sequence[Run], capturing: frozenset[str]) -> list[Figure]:
    """A figure for each contender, in the order of their first runs."""
    result = []
    for name in dict.fromkeys(run.contender for run in runs):
        own = [run for run in runs if run.contender == name]
        requests = sum(run.requests for run in own)
        captures = sum(n for run in own for reason, n in run.dropped.items() if reason.startswith("capture/"))
        result.append(
            Figure(
                contender=name,
                cpu_us=spread([run.cpu_us for run in own]),
                requests_per_s=median(run.requests_per_s for run in own),
                copies=median(run.copies for run in own),
                new_connections=median(run.new_connections for run in own),
                capture_dropped=captures / max(1, requests) if name in capturing else None,
                copies_dropped=sum(n for run in own for reason, n in run.dropped.items() if reason.startswith("copy/")),
                errors=sum(run.errors for run in own),
            )
        )
    return result


def ratios(runs: Sequence[Run], targets: Sequence[Target] = TARGETS) -> list[Ratio]:
    """What became of each target. Runs come in whole rounds: the nth of a contender belongs to round n."""
    found = []
    for target in targets:
        own = [run.cpu_us for run in runs if run.contender == target.contender]
        peers = [run.cpu_us for run in runs if run.contender == target.peer]
        found.append(Ratio(target, spread([mine / theirs for mine, theirs in zip(own, peers, strict=True)])))
    return found
