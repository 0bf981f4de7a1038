from __future__ import annotations

import itertools

import pytest

from sidecar.control.shift_shares import FIRST_BUCKETS
from sidecar.control.spare_capacity import AGAIN_S, CHECKED_ROWS, MOST_ATTEMPTS
from sidecar.records import Answer
from sidecar.reports import SharedShift
from tests.control.live_samples import answer, state
from tests.control.rescoring_ground import World, folded


def _moved_world(**sampling: int) -> World:
    world = World(**sampling)
    world.move_feed()
    report = world.watch.drift()
    assert report.prediction is not None
    assert report.prediction.alarm
    return world


def _shift(world: World) -> SharedShift:
    found = world.watch.drift().shift
    assert found is not None
    return found


async def test_the_feature_that_the_predictions_follow_gets_the_whole_shift_and_the_alarm_says_so() -> None:
    world = _moved_world()
    await world.rescoring.round()
    shift = _shift(world)
    assert shift.shares["amount"] > 0.9
    assert (shift.rows, shift.together) == (256, None)
    assert world.watch.drift("recent").shift is None
    world.feed_as(2, folded)
    alarm = next(alarm for alarm in world.watch.alarms(world.now) if alarm.kind == "prediction.shifted")
    assert "amount explains " in alarm.says
    assert len(world.asked) * 4 == CHECKED_ROWS + 256
    await world.rescoring.round()
    assert len(world.asked) * 4 == CHECKED_ROWS + 256, "what is known is not asked again"


async def test_a_champion_that_does_not_mind_the_feature_gives_it_no_share() -> None:
    world = _moved_world()
    rows = world.watch.kept_rows.newest(10_000, world.now)
    was = {row.values["amount"]: row.score or 0.0 for row in rows}
    # Of amounts that it did not see it says what it says of moved ones: something else than this feature moved it.
    others = itertools.cycle(was.values())
    world.answer = lambda amounts: answer(
        ["1"] * len(amounts), [was[amount] if amount in was else next(others) for amount in amounts]
    )
    await world.rescoring.round()
    assert _shift(world).shares["amount"] < 0.2
    world.feed_as(2, folded)
    alarm = next(alarm for alarm in world.watch.alarms(world.now) if alarm.kind == "prediction.shifted")
    assert "amount moved too, which hardly explains it" in alarm.says


async def test_without_an_alarm_on_predictions_or_rows_nothing_is_asked() -> None:
    quiet = World()
    quiet.feed(8, euros=False)
    await quiet.rescoring.round()
    assert quiet.asked == []
    blind = World(keep_rows=0)
    blind.move_feed()
    await blind.rescoring.round()
    assert blind.asked == []
    assert blind.watch.drift().shift is None


async def test_a_named_fault_is_left_to_its_proof() -> None:
    world = World()
    world.break_feed()
    await world.rescoring.round()
    assert world.cause.confirmed
    assert world.watch.drift().shift is None


async def test_nothing_is_asked_before_buckets_after_the_onset() -> None:
    world = _moved_world()
    (feature,) = world.watch.drift().features
    assert feature.since is not None
    later, world.now = world.now, feature.since + FIRST_BUCKETS - 0.5
    await world.rescoring.round()
    assert world.asked == []
    world.now = later
    await world.rescoring.round()
    assert world.watch.drift().shift is not None


async def test_a_question_that_ends_in_nothing_is_asked_three_times() -> None:
    world = _moved_world(keep_s=86_400)
    world.answer = lambda amounts: answer(["1"] * len(amounts), [0.123] * len(amounts))
    for _ in range(MOST_ATTEMPTS + 3):
        await world.rescoring.round()
        world.now += AGAIN_S
    assert len(world.asked) * 4 == MOST_ATTEMPTS * CHECKED_ROWS
    assert world.watch.drift().shift is None


@pytest.mark.parametrize("when", [1, 5])
async def test_what_was_asked_of_another_champion_is_forgotten(when: int) -> None:
    world = _moved_world()
    scored = world.answer

    def promoted(amounts: list[float]) -> Answer | None:
        if len(world.asked) == when:
            world.watch.begin(world.watch.deployment, state("4", generation=2), world.watch.baseline, world.now)
        return scored(amounts)

    world.answer = promoted
    await world.rescoring.round()
    assert world.watch.drift().shift is None
