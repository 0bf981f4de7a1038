from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.control.asked_again import MOST_BYTES, MOST_WAITING, AskedAgain
from sidecar.control.noise_floor import OLDEST_S, NoiseFloorAsking
from sidecar.control.watch import DeploymentWatch
from sidecar.records import Answer, Prediction
from sidecar.reports import NoiseFloor
from sidecar.standing import Target
from sidecar.telemetry.counts import WorkerTotals
from tests.control.live_samples import NOW, URLS, answer, baseline, deployment, exchange, leg, state, worker_counts

SAID = {"3": Prediction(("1",), (0.9,)), "4": Prediction(("1",), (0.8,))}


class World:
    """A deployment whose every copied request the champion may be asked again."""

    def __init__(self, share: float = 0.1, **changes: Any) -> None:
        settings = deployment(noise_floor={"share": share, "max_per_s": 10.0}, **changes)
        self.watch = DeploymentWatch(settings, state(), baseline(), NOW)
        self.now = NOW
        self.asked: list[tuple[Target, str, bytes, Mapping[str, str]]] = []
        self.says: Answer | None = answer(["1"], [0.9])
        self.totals = WorkerTotals()
        self.asking = NoiseFloorAsking(
            {"fraud": self.watch}, ask=self._ask, totals=self.totals.totals, clock=lambda: self.now
        )

    async def _ask(self, target: Target, path: str, body: bytes, headers: Mapping[str, str]) -> Answer | None:
        self.asked.append((target, path, body, headers))
        return self.says

    def feed(self, requests: int = 400, **changes: Any) -> None:
        said = answer(["1"], [0.9])
        for number in range(requests):
            legs = {"champion": leg("3", said), "shadows": (leg("4", answer(["0"], [0.2])),)}
            self.watch.fold(exchange(number, at=self.now, **{**legs, **changes}))

    @property
    def noise(self) -> NoiseFloor | None:
        return self.watch.comparisons["4"].report(self.now).noise


async def test_the_champion_is_asked_again_as_the_caller_had_asked() -> None:
    world = World()
    world.feed()
    await world.asking.round()
    ((target, path, body, headers),) = world.asked
    assert (target.url, path) == (URLS["3"], "/v2/models/fraud/infer")
    assert body.startswith(b'{"inputs"')
    assert headers == {"content-type": "application/json", "sidecar-shadow": "noise-floor"}
    assert world.noise is not None
    assert (world.noise.rows, world.noise.self_disagreement, world.noise.disagreement) == (1, 0.0, 1.0)


async def test_a_champion_that_says_something_else_is_told() -> None:
    world = World()
    world.says = answer(["0"], [0.1])
    world.feed()
    await world.asking.round()
    assert world.noise is not None
    assert world.noise.says is not None


async def test_nothing_is_asked_unless_the_settings_allow_it() -> None:
    world = World(share=0.0)
    world.feed()
    await world.asking.round()
    assert world.asked == []


async def test_it_is_asked_no_faster_than_allowed_and_only_what_is_fresh() -> None:
    world = World()
    world.feed()
    await world.asking.round()
    await world.asking.round()
    assert len(world.asked) == 1
    world.now += 0.11
    await world.asking.round()
    assert len(world.asked) == 2
    world.now += OLDEST_S + 1
    await world.asking.round()
    assert len(world.asked) == 2


async def test_pressed_workers_are_left_alone() -> None:
    world = World()
    world.feed()
    world.totals.update(worker_counts("w", pressure=0.6))
    await world.asking.round()
    assert world.asked == []


@pytest.mark.parametrize("says", [None, answer(["1"], [0.9], status=503), answer(["1"], [0.9], body=b"no")])
async def test_an_answer_that_cannot_be_used_counts_for_nothing(says: Answer | None) -> None:
    world = World()
    world.says = says
    world.feed()
    await world.asking.round()
    assert len(world.asked) == 1
    assert world.noise is None


async def test_what_was_asked_under_a_broken_feed_or_another_generation_is_no_evidence() -> None:
    world = World()
    world.feed()
    world.watch.void = True
    await world.asking.round()
    world.watch.void = False
    assert world.noise is None
    world.watch.begin(world.watch.deployment, state(generation=2), baseline(), NOW)
    world.now += 1
    await world.asking.round()
    assert world.noise is None


def test_a_share_of_the_requests_waits_and_no_more_than_some() -> None:
    again = AskedAgain(0.1)
    taken = []
    for number in range(2_000):
        again.offer(exchange(number), SAID)
        found = again.take(0.0)
        if found is not None:
            taken.append(found)
    assert 120 < len(taken) < 280
    for number in range(2_000):
        again.offer(exchange(number), SAID)
    waiting = [found for _ in range(100) if (found := again.take(0.0)) is not None]
    assert len(waiting) == MOST_WAITING
    assert "inputs" not in repr(waiting[0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"body": b"x" * (MOST_BYTES + 1)}, SAID),
        ({"body_complete": False}, SAID),
        ({}, {"3": SAID["3"]}),
        ({}, {"4": SAID["4"]}),
    ],
)
def test_what_was_not_copied_whole_or_not_answered_by_both_is_not_asked_again(
    changes: dict[str, Any], said: dict[str, Prediction]
) -> None:
    again = AskedAgain(0.1)
    for number in range(200):
        again.offer(exchange(number, **changes), said)
    assert again.take(0.0) is None
