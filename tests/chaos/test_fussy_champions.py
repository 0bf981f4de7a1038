"""Champions that close, restart and refuse early: callers get every answer there is, and nothing is done twice.

R-F09, R-F10, R-F11, M16.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter

import pytest

from tests.chaos import fussy_champions as fussy
from tests.chaos import sick_challengers as sick
from tests.chaos.conftest import MakeGround
from tests.chaos.crowd import Caller, Visit, connect, post, visit
from tests.chaos.ground import MIB, Ground, deployment, path_of, run
from tests.chaos.scripted_backend import Backend, Stage
from tests.process.whole_sidecar import until

IDLE_S = 1.0


class World:
    def __init__(self, stage: Stage, make: MakeGround) -> None:
        self.idle = stage.backend(fussy.closes_idle(IDLE_S))
        self.restarting = fussy.Restarting(stage, busy_s=0.02)
        self.polite = stage.backend(fussy.refuses_early(politely=True))
        self.rude = stage.backend(fussy.refuses_early(politely=False))
        self.hasty = stage.backend(fussy.answers_at_once)
        self.bare, self.shadowed, self.troubled = (stage.backend(fussy.closes_after_each) for _ in range(3))
        self.copies: dict[str, Backend] = {
            "shadowed": stage.backend(sick.healthy("4")),
            "troubled": stage.backend(fussy.closes_after_each),
        }
        challenger = stage.backend(sick.healthy("4"))
        self.ground: Ground = make(
            [
                deployment("idle", self.idle.url, {"url": challenger.url}),
                deployment("restarting", self.restarting.backend.url, {"url": challenger.url}),
                deployment("polite", self.polite.url, {"url": challenger.url}),
                deployment("rude", self.rude.url, {"url": challenger.url}),
                deployment("hasty", self.hasty.url, {"url": challenger.url}),
                deployment("bare", self.bare.url),
                deployment("shadowed", self.shadowed.url, {"url": self.copies["shadowed"].url}),
                deployment("troubled", self.troubled.url, {"url": self.copies["troubled"].url}),
            ]
        )


@pytest.fixture(scope="module")
def world(stage: Stage, make: MakeGround) -> World:
    return World(stage, make)


def test_no_post_fails_on_a_connection_that_the_champion_is_about_to_close(world: World, *, long_form: bool) -> None:
    """R-F09: forty at once, each 0.9 to 1.1 s after the last, around the very second at which it closes."""
    rounds, chance = 600 if long_form else 7, random.Random(9)

    async def play() -> Visit:
        seen = Visit()
        callers: list[Caller] = [await connect(world.ground.data) for _ in range(40)]
        for turn in range(rounds):
            await asyncio.sleep(chance.uniform(0.9, 1.1))
            ids = [f"idle-{turn}-{number}" for number in range(len(callers))]
            asked = [caller.ask(post(path_of("idle"), b"{}", name)) for caller, name in zip(callers, ids, strict=True)]
            seen.answers += await asyncio.gather(*asked)
        for caller in callers:
            caller.reset()
        return seen

    seen = run(play(), 60 + rounds * 2)

    assert dict(seen.statuses) == {200: 40 * rounds}
    # Connections really ended meanwhile, and were not made anew for each request either.
    assert world.idle.connections > 40
    assert max(Counter(world.idle.ids).values()) == 1


def test_a_restart_costs_at_most_what_was_in_flight_and_nothing_is_done_twice(world: World) -> None:
    """R-F10: five restarts under sixteen callers."""
    over, working = threading.Event(), []

    def restarts() -> None:
        while not over.wait(0.25):
            working.append(world.restarting.restart())

    thread = threading.Thread(target=restarts)
    thread.start()
    try:
        ids = [f"restart-{number}" for number in range(1500)]
        seen = run(visit(world.ground.data, path_of("restarting"), ids, callers=16))
    finally:
        over.set()
        thread.join()

    failed = seen.statuses.total() - seen.statuses[200]
    assert seen.failed == {}
    assert set(seen.statuses) <= {200, 502}
    assert len(working) >= 3
    assert failed <= sum(working)
    # In one life nothing comes twice; over all lives at most once more; and nothing is answered twice.
    assert [max(Counter(life).values()) for life in world.restarting.got if life] == [1] * sum(
        map(bool, world.restarting.got)
    )
    assert max(sum((Counter(life) for life in world.restarting.got), Counter()).values()) <= 2
    assert max(Counter(world.restarting.answered).values()) == 1
    assert seen.statuses[200] <= len(world.restarting.answered)


@pytest.mark.parametrize(("name", "body_bytes"), [("polite", 8 * MIB), ("polite", 10), ("rude", 8 * MIB), ("rude", 10)])
def test_an_early_refusal_reaches_the_caller_every_time(world: World, name: str, body_bytes: int) -> None:
    """R-F11: the champion says 413 while the body is still on its way, and closes."""

    async def refused() -> tuple[int, bytes]:
        caller = await connect(world.ground.data)
        answering = asyncio.ensure_future(caller.ask(post(path_of(name), b"x" * body_bytes)))
        answer = await asyncio.wait_for(answering, 60)
        caller.reset()
        return answer.status, answer.body

    async def all_of_them() -> list[tuple[int, bytes]]:
        return [await refused() for _ in range(30)]

    assert Counter(run(all_of_them())) == {(413, b"too large for me"): 30}


def test_an_answer_to_half_a_request_lends_its_connection_to_nobody(world: World) -> None:
    """H22: else the next caller's request would be read as the rest of that body, and his answer be another's."""
    url, path = world.ground.data, path_of("hasty")
    unfinished = post(path, b"x" * 20_000, "unfinished")[:-5000]

    async def half(number: int) -> int:
        caller = await connect(url)
        answer = await asyncio.wait_for(caller.ask(unfinished), 60)
        if number % 2:
            caller.reset()
        else:
            caller.writer.close()
        return answer.status

    async def play() -> tuple[list[int], Visit]:
        # At first honestly, so that head and answer are well known.
        seen = await visit(url, path, [f"before-{number}" for number in range(20)], callers=2)
        halves: list[int] = []
        for turn in range(10):
            ids = [f"whole-{turn}-{number}" for number in range(30)]
            statuses = asyncio.gather(*(half(number) for number in range(10)))
            whole = await visit(url, path, ids, callers=4)
            seen.answers += whole.answers
            seen.failed |= whole.failed
            halves += await statuses
        return halves, seen

    halves, seen = run(play())

    assert Counter(halves) == {200: 100}
    assert (seen.failed, dict(seen.statuses)) == ({}, {200: 320})
    got = Counter(world.hasty.ids)
    assert got.pop("unfinished") == 100
    assert (set(got.values()), len(got)) == ({1}, 320)


@pytest.mark.parametrize("name", ["bare", "shadowed", "troubled"])
def test_repeats_are_the_same_with_and_without_a_shadow(world: World, name: str) -> None:
    """M16: every second request meets a connection that is closed under it. Copies are never sent twice."""
    champion = {"bare": world.bare, "shadowed": world.shadowed, "troubled": world.troubled}[name]
    ids = [f"{name}-{number}" for number in range(60)]
    seen = run(visit(world.ground.data, path_of(name), ids, callers=2))

    assert (seen.failed, dict(seen.statuses)) == ({}, {200: 60})
    assert sorted(champion.ids) == sorted(ids)
    if name in world.copies:
        world.ground.settled(name, 60)
        assert max(Counter(world.copies[name].ids).values()) == 1


def test_nothing_is_left_of_all_this(world: World) -> None:
    world.ground.quiet()
    # The champion's end of every connection was seen: none is kept that is closed already.
    until("that the idle ones are closed", lambda: world.idle.open == 0)
    assert world.ground.sidecar.logged("child died") == []
