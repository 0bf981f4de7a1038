"""A deployment with kept rows whose feed breaks, and a champion that scores `amount` and can be asked."""

from __future__ import annotations

import copy
import functools
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from registry_client.baseline import Baseline
from registry_client.from_columns import build_baseline
from sidecar.control.rescoring import Rescoring
from sidecar.control.watch import DeploymentWatch
from sidecar.records import DURATION_BUCKETS_S, Answer, RequestCounts, WorkerCounts
from sidecar.reports import Cause
from sidecar.standing import Target
from sidecar.telemetry.counts import WorkerTotals
from tests.control.live_samples import NOW, answer, deployment, exchange, leg, request_body, state

RNG = np.random.default_rng(7)
AMOUNTS = np.exp(RNG.normal(8.0, 1.0, 8_000))


def scores_of(amounts: Any) -> list[float]:
    return [float(1 / (1 + np.exp(8.0 - np.log(max(amount, 1e-9))))) for amount in amounts]


def in_euros(amount: float) -> float:
    """What a feed in euros sends for an amount in cents."""
    return amount / 100


def folded(amount: float) -> float:
    """What no catalogue has: the lower half of the amounts is turned over the upper one."""
    return math.exp(8.0 + abs(math.log(amount) - 8.0))


@functools.cache
def _baseline() -> Baseline:
    columns = {"amount": AMOUNTS[:5_000], "score": np.array(scores_of(AMOUNTS[:5_000]))}
    return build_baseline(columns, prediction="score", now=datetime(2026, 1, 1, tzinfo=UTC))


@functools.cache
def _fed(live_of: Callable[[float], float], sampling: tuple[tuple[str, int], ...]) -> World:
    world = World(**dict(sampling))
    world.feed(8, euros=False)
    world.feed_as(8, live_of)
    return world


class World:
    """A deployment whose `amount` comes in euros since some buckets, and a champion that scores amounts."""

    def __init__(self, **sampling: int) -> None:
        self.now = NOW
        settings = deployment(sampling={"keep_rows": 256, "keep_s": 600} | sampling)
        self.watch = DeploymentWatch(settings, state(), _baseline(), NOW)
        self.asked: list[tuple[Target, str, list[float]]] = []
        self.paused: list[float] = []
        self.inflight = self.most_inflight = 0
        self.took_s = 0.002
        self.answer: Callable[[list[float]], Answer | None] = lambda amounts: answer(
            ["1"] * len(amounts), scores_of(amounts)
        )
        self.totals = WorkerTotals()
        self._sampling = tuple(sampling.items())
        self._watches = {"fraud": self.watch}
        self.rescoring = Rescoring(
            self._watches, ask=self._ask, totals=self.totals.totals, clock=lambda: self.now, pause=self._pause
        )

    async def _ask(self, target: Target, path: str, body: bytes) -> Answer | None:
        self.inflight += 1
        self.most_inflight = max(self.most_inflight, self.inflight)
        amounts = json.loads(body)["inputs"][0]["data"]
        self.asked.append((target, path, amounts))
        self.now += self.took_s
        self.inflight -= 1
        return self.answer(amounts)

    async def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)

    def feed(self, buckets: int, *, euros: bool) -> None:
        """Buckets of 120 rows; in `euros` amounts are a hundredth."""
        self.feed_as(buckets, lambda amount: amount / (100 if euros else 1))

    def feed_as(self, buckets: int, live_of: Callable[[float], float]) -> None:
        """Buckets of 120 rows, each amount as `live_of` makes it."""
        for _ in range(buckets):
            for number in range(30):
                start = int(self.now - NOW) * 30 + number
                first = 5_000 + 4 * start % 2_900
                amounts = AMOUNTS[first : first + 4]
                live = [live_of(float(amount)) for amount in amounts]
                self.watch.fold(
                    exchange(
                        start,
                        at=self.now + number / 40,
                        body=request_body(live),
                        champion=leg("3", answer(["1"] * 4, scores_of(live))),
                    )
                )
            self.now = float(np.floor(self.now) + 1)
            self.watch.tick(self.now)

    def break_feed(self) -> None:
        """Eight buckets as trained and eight in euros."""
        self._take(_fed(in_euros, self._sampling))
        assert self.cause.kind == "scale", self.cause.says

    def move_feed(self) -> None:
        """Eight buckets as trained and eight that moved as no catalogue knows."""
        self._take(_fed(folded, self._sampling))
        assert self.cause.kind == "unexplained", self.cause.says

    def _take(self, fed: World) -> None:
        """A copy of a world that was fed before: feeding takes most of a test's time."""
        shared = {id(fed.watch.baseline): fed.watch.baseline}
        self.watch = self._watches["fraud"] = copy.deepcopy(fed.watch, shared)
        self.now = fed.now

    @property
    def cause(self) -> Cause:
        (feature,) = self.watch.drift().features
        return feature.cause or Cause(kind="unexplained", says="")

    def traffic(self, code: int, count: int, pressure: float = 0.0, seconds: float = 0.1) -> None:
        buckets = [0] * (len(DURATION_BUCKETS_S) + 1)
        self.totals.update(
            WorkerCounts(
                worker="w",
                requests=[RequestCounts("fraud", "3", code, count, seconds, buckets)],
                shadows=[],
                capture_dropped={},
                refused={},
                overhead_seconds=0.0,
                overhead_count=0,
                overhead_buckets=[],
                connections=0,
                inflight=0,
                held_bytes=0,
                repeats=0,
                pressure=pressure,
            )
        )
