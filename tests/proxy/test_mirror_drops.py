"""Copies that are not sent: each has its reason, and nobody's answer depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sidecar.decide.routing_table import BreakerPolicy, Destination, RoutingTable
from tests.proxy.scripted import (
    Connection,
    RawCaller,
    World,
    answering,
    post,
    shadow_of,
    silent,
    table,
    until,
)


async def test_copies_beyond_max_inflight_are_dropped(world: World) -> None:
    await world.shadowed(answering(), silent, shadow={"max_inflight": 2})
    caller = await world.caller()
    for _ in range(5):
        assert (await caller.ask(post())).status == 200
    await until(lambda: world.copies[0] == 2)
    assert world.copies == (2, 0, {}, {"inflight_limit": 3})
    world.later(6)
    await world.quiet()
    assert world.copies == (2, 0, {"timeout": 2}, {"inflight_limit": 3})
    assert len(world.offered) == 5


async def test_a_body_larger_than_the_cap_is_served_and_not_copied(world: World) -> None:
    _, challenger = await world.shadowed(answering(), answering())
    assert (await (await world.caller()).ask(post(b"x" * 100_001))).status == 200
    await world.quiet()
    assert (challenger.connections, world.copies) == (0, (0, 0, {}, {"body_too_large": 1}))
    assert (world.capture_dropped, world.offered) == ({"body_too_large": 1}, [])


async def test_bodies_are_copied_as_long_as_there_is_room_for_them(world: World) -> None:
    await world.shadowed(answering(), silent, shadow={"max_inflight": 100})
    caller = await world.caller()
    for _ in range(6):
        assert (await caller.ask(post(b"x" * 99_000))).status == 200
        assert world.plane.mirror.held_bytes <= 400_000
    await until(lambda: world.copies[0] == 4)
    assert world.copies == (4, 0, {}, {"bytes_full": 2})
    assert world.capture_dropped == {"bytes_full": 2}
    world.later(6)
    await world.quiet()
    assert len(world.offered) == 4
    assert (await caller.ask(post(b"x" * 99_000))).status == 200  # there is room again


async def test_answers_count_as_held_too_and_what_does_not_fit_is_served_all_the_same(world: World) -> None:
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n" + b"x" * 90_000
    await world.shadowed(answering(big), silent, shadow={"max_inflight": 100})
    caller = await world.caller()
    for _ in range(8):
        assert len((await caller.ask(post())).body) == 90_000
        assert world.plane.mirror.held_bytes <= 400_000
    world.later(6)
    await world.quiet()
    assert len(world.offered) == 4
    assert world.capture_dropped == {"bytes_full": 4}
    assert world.copies == (8, 0, {"timeout": 8}, {})


async def test_a_challenger_that_begins_large_answers_and_stalls_costs_others_no_copy(world: World) -> None:
    begun = b"HTTP/1.1 200 OK\r\ncontent-length: 99000\r\n\r\n" + b"x" * 98_000

    async def begins(connection: Connection) -> None:
        await connection.request()
        connection.send(begun)
        await asyncio.Event().wait()

    await world.shadowed(answering(), begins, shadow={"max_inflight": 100, "copy_bytes": 100_000})
    caller = await world.caller()
    for number in range(1, 7):
        assert (await caller.ask(post())).status == 200
        await until(lambda number=number: world.copies[0] == number)  # type: ignore[misc]
    await until(lambda: world.copies == (6, 0, {"too_large": 5}, {}))
    assert 0 < world.plane.mirror.held_bytes <= 100_000 + 100
    world.later(6)
    await world.quiet()
    assert world.copies == (6, 0, {"too_large": 5, "timeout": 1}, {})
    assert (world.capture_dropped, len(world.offered)) == ({}, 6)


async def test_bodies_still_coming_in_count_as_held(world: World) -> None:
    await world.shadowed(answering(), answering())
    callers = [await world.caller() for _ in range(6)]
    data = post(b"x" * 90_000)
    for caller in callers:
        caller.send(data[:-1])
    await until(lambda: [c._serving and c._serving.tee.size for c in world.plane.callers] == [89_999] * 6)
    assert 300_000 < world.plane.mirror.held_bytes <= 400_000
    for caller in callers:
        assert (await caller.ask(data[-1:])).status == 200
    await world.quiet()
    mirrored, answered, errors, dropped = world.copies
    assert (mirrored, answered, errors, dropped) == (4, 4, {}, {"bytes_full": 2})


@pytest.mark.parametrize(("change", "reason"), [("control_up", "control_down"), ("draining", "shutting_down")])
async def test_nothing_is_copied_without_control_or_while_stopping(world: World, change: str, reason: str) -> None:
    _, challenger = await world.shadowed(answering(), answering())
    setattr(world.plane, change, change == "draining")
    if change == "draining":
        caller = await _connected_before_the_drain(world)
    else:
        caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    await world.quiet()
    assert (challenger.connections, world.copies) == (0, (0, 0, {}, {reason: 1}))
    assert world.capture_dropped == {reason: 1}


async def _connected_before_the_drain(world: World) -> RawCaller:
    world.plane.draining = False
    caller = await world.caller()
    await until(lambda: world.plane.callers)
    world.plane.draining = True
    return caller


async def test_a_challenger_that_is_switched_off_gets_nothing(world: World) -> None:
    _, challenger = await world.shadowed(answering(), answering(), shadow={"enabled": False})
    assert (await (await world.caller()).ask(post())).status == 200
    await world.quiet()
    assert (challenger.connections, world.copies) == (0, (0, 0, {}, {"disabled": 1}))
    assert world.offered[0].shadows == ()


async def test_a_refused_connect_is_a_drop(world: World) -> None:
    champion = await world.model()
    await world.serve(table(champion.at("3"), shadow_of(Destination("4", "127.0.0.1", 1, "", None))))
    assert (await (await world.caller()).ask(post())).status == 200
    await world.quiet()
    assert world.copies == (0, 0, {}, {"connect_error": 1})
    assert world.offered[0].shadows[0].dropped == "connect_error"


async def test_a_challenger_that_cannot_be_reached_in_time_is_a_drop(world: World) -> None:
    champion = await world.model()
    await world.serve(table(champion.at("3"), shadow_of(Destination("4", "127.0.0.1", 9, "", None))))
    connect = world.loop.create_connection

    async def slowly(protocol: Callable[[], asyncio.Protocol], host: str, port: int) -> object:
        if port == 9:
            await asyncio.Event().wait()
        return await connect(protocol, host, port)

    world.loop.create_connection = slowly
    assert (await (await world.caller()).ask(post())).status == 200
    assert (world.copies, len(world.plane.mirror.legs)) == ((0, 0, {}, {}), 1)
    world.later(6)
    await world.quiet()
    assert world.copies == (0, 0, {}, {"timeout": 1})
    assert world.offered[0].shadows[0].dropped == "timeout"


async def test_due_is_mirrored_and_dropped_whatever_happens(world: World) -> None:
    turns = 0

    async def moody(connection: Connection) -> None:
        nonlocal turns
        while True:
            await connection.request()
            turns += 1
            if turns % 3 == 0:
                connection.reset()
                return
            connection.send(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nok" % (200 if turns % 3 == 1 else 404))

    await world.shadowed(answering(), moody, shadow={"max_inflight": 3})
    caller = await world.caller()
    caller.send(b"".join(post() for _ in range(100)))
    for _ in range(100):
        assert (await caller.answer()).status == 200
    await world.quiet()
    mirrored, answered, errors, dropped = world.copies
    assert mirrored + sum(dropped.values()) == 100
    assert answered + errors.get("reset", 0) == mirrored
    assert len(world.offered) == 100
    assert world.codes == {200: 100}


async def test_series_exist_before_the_first_request(world: World) -> None:
    await world.shadowed(answering(), answering())
    (counted,) = world.counts.shadows
    assert (counted.deployment, counted.generation, counted.champion, counted.version) == ("fraud", 7, "3", "4")
    assert set(counted.errors.values()) == set(counted.dropped.values()) == {0}
    assert len(counted.errors) == 7
    assert "shutting_down" in counted.dropped


async def test_a_body_that_is_kept_for_a_repeat_alone_counts_as_held_too(world: World) -> None:
    await world.shadowed(silent, answering())
    world.plane.control_up = False
    callers = [await world.caller() for _ in range(5)]
    for caller in callers:
        caller.send(post(b"x" * 90_000))
    await until(lambda: sum(world.copies[3].values()) == 5)
    assert 300_000 < world.plane.mirror.held_bytes <= 400_000
    for caller in callers:
        caller.reset()
    await world.quiet()


async def test_copies_from_before_a_new_policy_do_not_move_its_breaker(world: World) -> None:
    champion, challenger = await world.model(answering()), await world.model(silent)

    def ruled(failures: int) -> RoutingTable:
        policy = BreakerPolicy(failures=failures)
        return table(champion.at("3"), shadow_of(challenger.at("4"), breaker=policy), serial=failures)

    await world.serve(ruled(5))
    await (await world.caller()).ask(post())
    await until(lambda: challenger.requests)
    world.plane.swap(ruled(1))
    world.later(6)
    await world.quiet()
    assert (world.copies[2], world.counts.shadows[0].breaker) == ({"timeout": 1}, "closed")


async def test_connections_that_are_given_up_under_pressure_are_counted(world: World) -> None:
    await world.stand()
    idle, asking, closing = [await world.caller() for _ in range(3)]
    for caller in (idle, asking, closing):
        await caller.ask(post())
    asking.send(post(b"abc")[:-1])
    await until(lambda: world.counts.inflight)
    world.plane.weigh(0.91)
    assert await idle.rest() == b""
    assert await closing.rest() == b""
    assert (await asking.ask(b"c")).one(b"connection") == b"close"
    assert await asking.rest() == b""
    assert world.counts.sacrificed == {"keep_alive": 3, "requests": 0}
    world.plane.weigh(0.1)
    await (await world.caller()).ask(post(b"{}", b"Connection: close"))
    assert world.counts.sacrificed == {"keep_alive": 3, "requests": 0}


async def test_copies_that_fail_to_begin_cost_the_caller_nothing_and_leave_nothing_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> bool:
        raise RuntimeError("a fault of our own, where the body is already counted")

    await world.shadowed(answering(), answering(), shadow={"fraction": 0.5})
    monkeypatch.setattr("sidecar.proxy.mirror.copied", fault)
    assert (await (await world.caller()).ask(post(b"x" * 1_000))).status == 200
    assert world.capture_dropped == {"failed": 1}
    await world.quiet()
    assert world.offered == []
