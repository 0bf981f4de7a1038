from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from registry_client.baseline import Baseline
from registry_client.from_columns import build_baseline
from sidecar.control.rescoring import AGAIN_S, CHECKED_ROWS, FIRST_BUCKETS, MOST_ATTEMPTS, PAUSE_S, Rescoring
from sidecar.control.watch import DeploymentWatch
from sidecar.records import DURATION_BUCKETS_S, Answer, RequestCounts, WorkerCounts
from sidecar.reports import Cause
from sidecar.standing import Target
from sidecar.telemetry.counts import WorkerTotals
from tests.control.live_samples import NOW, answer, deployment, exchange, leg, request_body, state

RNG = np.random.default_rng(7)
AMOUNTS = np.exp(RNG.normal(8.0, 1.0, 8_000))


def _scores(amounts: Any) -> list[float]:
    return [float(1 / (1 + np.exp(8.0 - np.log(max(amount, 1e-9))))) for amount in amounts]


def _baseline() -> Baseline:
    columns = {"amount": AMOUNTS[:5_000], "score": np.array(_scores(AMOUNTS[:5_000]))}
    return build_baseline(columns, prediction="score", now=datetime(2026, 1, 1, tzinfo=UTC))


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
            ["1"] * len(amounts), _scores(amounts)
        )
        self.totals = WorkerTotals()
        self.rescoring = Rescoring(
            {"fraud": self.watch}, ask=self._ask, totals=self.totals.totals, clock=lambda: self.now, pause=self._pause
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
        for _ in range(buckets):
            for number in range(30):
                start = int(self.now - NOW) * 30 + number
                amounts = AMOUNTS[5_000 + start % 2_900 : 5_000 + start % 2_900 + 4]
                live = [float(amount) / (100 if euros else 1) for amount in amounts]
                self.watch.fold(
                    exchange(
                        start,
                        at=self.now + number / 40,
                        body=request_body(live),
                        champion=leg("3", answer(["1"] * 4, _scores(live))),
                    )
                )
            self.now = float(np.floor(self.now) + 1)
            self.watch.tick(self.now)

    def break_feed(self) -> None:
        self.feed(8, euros=False)
        self.feed(8, euros=True)
        assert self.cause.kind == "scale", self.cause.says

    @property
    def cause(self) -> Cause:
        (feature,) = self.watch.drift().features
        return feature.cause or Cause(kind="unexplained", says="")

    def traffic(self, code: int, count: int, pressure: float = 0.0) -> None:
        buckets = [0] * (len(DURATION_BUCKETS_S) + 1)
        self.totals.update(
            WorkerCounts(
                worker="w",
                requests=[RequestCounts("fraud", "3", code, count, 0.1, buckets)],
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


async def test_a_cause_whose_undoing_brings_the_predictions_back_is_confirmed() -> None:
    world = World()
    world.break_feed()
    await world.rescoring.round()
    assert world.cause.confirmed
    assert "; un-applying it removes " in world.cause.says
    assert world.cause.says.endswith("% of the prediction shift")
    assert world.asked[0][:2] == (Target("http://127.0.0.1:8030"), "/v2/models/fraud/infer")
    asked = len(world.asked)
    await world.rescoring.round()
    assert len(world.asked) == asked, "what is proven is not asked again"
    world.feed(3, euros=True)
    assert world.cause.confirmed, "a later look at the same cause keeps its proof"


async def test_the_champion_is_asked_one_by_one_with_pauses_in_its_own_batch_size() -> None:
    world = World()
    world.break_feed()
    await world.rescoring.round()
    assert world.most_inflight == 1
    assert {len(amounts) for _, _, amounts in world.asked} == {4}
    assert sum(len(amounts) for _, _, amounts in world.asked) == CHECKED_ROWS + 256
    assert len(world.paused) == len(world.asked)
    assert min(world.paused) >= PAUSE_S


async def test_nothing_is_asked_unless_rows_are_kept() -> None:
    world = World(keep_rows=0)
    world.break_feed()
    await world.rescoring.round()
    assert world.asked == []
    assert not world.cause.confirmed


async def test_without_an_alarm_nothing_is_asked() -> None:
    world = World()
    world.feed(8, euros=False)
    await world.rescoring.round()
    assert world.asked == []


async def test_a_champion_that_now_says_otherwise_proves_nothing() -> None:
    world = World()
    world.break_feed()
    world.answer = lambda amounts: answer(["1"] * len(amounts), [0.123] * len(amounts))
    await world.rescoring.round()
    assert sum(len(amounts) for _, _, amounts in world.asked) == CHECKED_ROWS
    assert not world.cause.confirmed


BAD: dict[str, Callable[[list[float]], Answer | None]] = {
    "no answer": lambda _: None,
    "an error": lambda amounts: answer(["1"] * len(amounts), _scores(amounts), status=503),
    "no prediction": lambda amounts: answer([], [], body=b"{}"),
    "too few rows": lambda amounts: answer(["1"], [0.5]),
    "garbage": lambda amounts: answer([], [], body=b"\xff\xfe"),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_answer_ends_the_attempt_and_the_next_one_waits(what: str) -> None:
    world = World()
    world.break_feed()
    world.answer = BAD[what]
    await world.rescoring.round()
    assert len(world.asked) == 1
    await world.rescoring.round()
    assert len(world.asked) == 1
    assert not world.cause.confirmed
    for attempt in range(1, MOST_ATTEMPTS + 2):
        world.now += AGAIN_S
        await world.rescoring.round()
        assert len(world.asked) == min(attempt + 1, MOST_ATTEMPTS)


async def test_a_slow_champion_is_left_alone() -> None:
    world = World()
    world.break_feed()
    world.took_s = 0.7
    await world.rescoring.round()
    assert len(world.asked) == 1
    assert not world.cause.confirmed


@pytest.mark.parametrize(("code", "count", "pressure"), [(503, 5, 0.0), (200, 100, 0.9)])
async def test_under_pressure_or_while_callers_see_errors_nothing_is_asked(
    code: int, count: int, pressure: float
) -> None:
    world = World()
    world.traffic(200, 0)
    world.break_feed()
    world.rescoring._calm("fraud", world.watch)
    world.traffic(code, count, pressure)
    await world.rescoring.round()
    assert world.asked == []
    world.traffic(code, count)
    await world.rescoring.round()
    assert world.asked != []


async def test_a_promotion_meanwhile_voids_the_attempt() -> None:
    world = World()
    world.break_feed()
    scored = world.answer

    def promoted(amounts: list[float]) -> Answer | None:
        if len(world.asked) == 5:
            world.watch.begin(world.watch.deployment, state("4", generation=2), world.watch.baseline, world.now)
        return scored(amounts)

    world.answer = promoted
    await world.rescoring.round()
    assert not world.cause.confirmed


async def test_no_value_of_a_row_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.break_feed()
    with caplog.at_level(logging.DEBUG):
        await world.rescoring.round()
    amounts = {f"{amount:.3f}" for _, _, asked in world.asked for amount in asked}
    told = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert not any(amount in told for amount in amounts)


async def test_nothing_is_proven_before_buckets_after_the_onset_have_told_the_share() -> None:
    world = World()
    world.break_feed()
    (feature,) = world.watch.drift().features
    assert feature.since is not None
    later, world.now = world.now, feature.since + FIRST_BUCKETS - 0.5
    await world.rescoring.round()
    assert world.asked == []
    world.now = later
    await world.rescoring.round()
    assert world.cause.confirmed
