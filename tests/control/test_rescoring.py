from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from sidecar.control.rescoring import FIRST_BUCKETS
from sidecar.control.spare_capacity import (
    AGAIN_S,
    CHECKED_ROWS,
    LONGEST_WAIT_S,
    MOST_ATTEMPTS,
    MOST_BUSY,
    PAUSE_S,
)
from sidecar.records import Answer
from sidecar.standing import Target
from tests.control.live_samples import answer, state
from tests.control.rescoring_ground import World, scores_of


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
    "an error": lambda amounts: answer(["1"] * len(amounts), scores_of(amounts), status=500),
    "no prediction": lambda amounts: answer([], [], body=b"{}"),
    "too few rows": lambda amounts: answer(["1"], [0.5]),
    "garbage": lambda amounts: answer([], [], body=b"\xff\xfe"),
}
NO_TIME: dict[str, Callable[[list[float]], Answer | None]] = {
    "no answer": lambda _: None,
    "unavailable": lambda amounts: answer(["1"] * len(amounts), scores_of(amounts), status=503),
    "too many requests": lambda amounts: answer(["1"] * len(amounts), scores_of(amounts), status=429),
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


@pytest.mark.parametrize("what", NO_TIME)
async def test_a_champion_without_time_is_asked_again_later_and_less_and_less_often(what: str) -> None:
    world = World(keep_s=86_400)
    world.break_feed()
    scored, world.answer = world.answer, NO_TIME[what]
    waits = []
    for _ in range(MOST_ATTEMPTS + 3):
        asked, begun = len(world.asked), world.now
        while len(world.asked) == asked:
            await world.rescoring.round()
            world.now += AGAIN_S / 4
        waits.append(world.now - begun)
    assert waits[1:] == sorted(waits[1:])
    assert waits[-1] <= LONGEST_WAIT_S + AGAIN_S
    world.answer = scored
    world.now += LONGEST_WAIT_S
    await world.rescoring.round()
    assert world.cause.confirmed


async def test_a_champion_that_never_has_time_is_left_alone_at_last() -> None:
    world = World(keep_s=86_400)
    world.break_feed()
    world.answer = lambda _: None
    for _ in range(MOST_BUSY + 5):
        world.now += LONGEST_WAIT_S
        await world.rescoring.round()
    assert len(world.asked) == MOST_BUSY


async def test_a_champion_slower_than_its_callers_know_it_is_left_alone_for_now() -> None:
    world = World(keep_s=86_400)
    world.break_feed()
    world.took_s = 0.7
    await world.rescoring.round()
    assert len(world.asked) == 1
    assert not world.cause.confirmed
    world.took_s = 0.002
    world.now += AGAIN_S
    await world.rescoring.round()
    assert world.cause.confirmed


async def test_a_champion_as_slow_as_callers_know_it_is_asked_to_the_end() -> None:
    world = World(keep_s=86_400)
    world.break_feed()
    world.traffic(200, 100, seconds=60.0)
    world.took_s = 0.7
    await world.rescoring.round()
    assert world.cause.confirmed
    assert min(world.paused) >= 0.7 - 1e-6, "it has at least as long a rest"


@pytest.mark.parametrize(("code", "count", "pressure"), [(503, 5, 0.0), (200, 100, 0.9)])
async def test_under_pressure_or_while_callers_see_errors_nothing_is_asked(
    code: int, count: int, pressure: float
) -> None:
    world = World()
    world.traffic(200, 0)
    world.break_feed()
    world.rescoring._capacity.calm("fraud", world.watch)
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
