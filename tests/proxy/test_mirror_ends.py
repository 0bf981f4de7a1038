"""Copies that were sent, how they ended, and what an exchange holds of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.proxy.scripted import (
    OK,
    Connection,
    World,
    answering,
    answering_then,
    post,
    shadow_of,
    silent,
    table,
    until,
)


async def never_reads(connection: Connection) -> None:
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("script", "answered", "error"),
    [
        (answering(b"HTTP/1.1 422 No\r\ncontent-length: 1\r\n\r\nx"), 1, "status_4xx"),
        (answering(b"HTTP/1.1 500 No\r\ncontent-length: 1\r\n\r\nx"), 1, "status_5xx"),
        (answering_then(b"", Connection.reset), 0, "reset"),
        (answering_then(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", Connection.close), 0, "reset"),
        (answering(b"nonsense\r\n\r\n"), 0, "malformed"),
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000), 0, "malformed"),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n" + b"x" * 100_001), 0, "too_large"),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n" + b"x" * 300_000), 0, "too_large"),
        (silent, 0, "timeout"),
        (never_reads, 0, "timeout"),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"), 0, "timeout"),
    ],
)
async def test_a_sick_challenger_is_counted_by_kind_and_no_caller_notices(
    world: World, script: Callable[[Connection], object], answered: int, error: str
) -> None:
    await world.shadowed(answering(), script)  # type: ignore[arg-type]
    caller = await world.caller()
    for number in range(3):
        async with asyncio.timeout(4):  # the copy's own time is up after 5 s
            assert (await caller.ask(post(b"x" * 90_000))).status == 200
        await until(lambda number=number: sum(world.copies[:1]) == number + 1)  # type: ignore[misc]
    if error == "timeout":
        world.later(6)
    await world.quiet()
    assert world.copies == (3, answered * 3, {error: 3}, {})
    assert [exchange.shadows[0].error for exchange in world.offered] == [error] * 3
    assert world.codes == {200: 3}


async def test_a_copy_is_never_repeated(world: World) -> None:
    async def stale(connection: Connection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.request()
        connection.reset()

    _, challenger = await world.shadowed(answering(), stale)
    caller = await world.caller()
    for _ in range(2):
        await caller.ask(post())
        await world.quiet()
    assert (challenger.connections, world.counts.repeats) == (1, 0)
    assert world.copies == (2, 1, {"reset": 1}, {})


async def test_a_challenger_has_connections_of_its_own_and_reuses_them(world: World) -> None:
    both = await world.model()
    await world.serve(table(both.at("3"), shadow_of(both.at("4"))))
    caller = await world.caller()
    for _ in range(3):
        await caller.ask(post())
        await world.quiet()
    assert (both.connections, len(both.requests)) == (2, 6)


async def test_the_champions_failures_are_exchanges_too(world: World) -> None:
    await world.shadowed(answering(b"HTTP/1.1 503 No\r\ncontent-length: 1\r\n\r\nx"), answering())
    assert (await (await world.caller()).ask(post())).status == 503
    await world.quiet()
    leg = world.offered[0].champion
    assert leg.error == "status_5xx"
    assert leg.answer is not None
    assert leg.answer.status == 503


async def test_a_champions_answer_beyond_the_cap_is_served_and_not_captured(world: World) -> None:
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n" + b"x" * 100_001
    await world.shadowed(answering(big), answering())
    assert len((await (await world.caller()).ask(post())).body) == 100_001
    await world.quiet()
    assert (world.capture_dropped, world.offered, world.copies) == ({"body_too_large": 1}, [], (1, 1, {}, {}))


async def test_a_caller_that_goes_away_does_not_take_the_copy_with_it(world: World) -> None:
    go = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.request()
        await go.wait()
        connection.send(OK)

    champion, challenger = await world.shadowed(silent, slow)
    caller = await world.caller()
    caller.send(post())
    await until(lambda: champion.requests and challenger.requests)
    caller.reset()
    await until(lambda: not world.plane.callers)
    assert world.codes == {499: 1}
    go.set()
    await world.quiet()
    assert (world.copies, world.offered, world.capture_dropped) == ((1, 1, {}, {}), [], {})


async def test_a_stuck_challenger_costs_callers_nothing_and_memory_returns(world: World) -> None:
    _, challenger = await world.shadowed(answering(), never_reads, shadow={"max_inflight": 20})
    caller = await world.caller()
    for _ in range(200):
        async with asyncio.timeout(4):
            assert (await caller.ask(post(b"x" * 9_000))).status == 200
    assert world.plane.mirror.held_bytes <= 400_000
    mirrored, _, _, dropped = world.copies
    assert mirrored + sum(dropped.values()) + len([leg for leg in world.plane.mirror.legs if not leg._upstream]) == 200
    world.later(6)
    await world.quiet()
    assert len(world.offered) == 200
    mirrored, answered, errors, dropped = world.copies
    assert (mirrored + sum(dropped.values()), answered, errors) == (200, 0, {"timeout": mirrored})
    assert challenger.connections == 8  # slow start: it has not shown yet that it takes more
