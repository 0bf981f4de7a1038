from __future__ import annotations

import asyncio

import msgspec

from sidecar.decide.routing_table import Bounds
from sidecar.proxy.drain import drain
from sidecar.proxy.link import Link
from tests.proxy.scripted import OK, Connection, World, answering, post, silent, until


def begin(world: World) -> asyncio.Task[bool]:
    loop = asyncio.get_running_loop()
    link = Link(loop, world.plane, "/nowhere", "w0")
    return loop.create_task(drain(world.plane, world.server, link), name="drain")


async def test_idle_connections_close_and_a_request_in_flight_gets_its_answer(world: World) -> None:
    go = asyncio.Event()

    async def script(connection: Connection) -> None:
        if (await connection.request()).head.startswith(b"GET"):
            connection.send(OK)
            await connection.request()
        await go.wait()
        connection.send(OK)

    champion = await world.stand(script)
    idle, busy = await world.caller(), await world.caller()
    assert (await idle.ask(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")).status == 200
    busy.send(post())
    await until(lambda: len(champion.requests) == 2 and len(world.plane.callers) == 2)
    draining = begin(world)
    assert await idle.rest() == b""
    go.set()
    answer = await busy.answer()
    assert (answer.status, answer.one(b"connection")) == (200, b"close")
    assert await busy.rest() == b""
    assert await draining is True


async def test_an_answer_that_was_written_but_not_taken_yet_is_waited_for(world: World) -> None:
    body = b"x" * 8_000_000
    await world.stand(answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body))
    caller = await world.caller()
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    caller.send(post())
    await until(lambda: [c for c in world.plane.callers if c._full])
    draining = begin(world)
    await asyncio.sleep(0)
    caller.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert (await caller.answer()).body == body
    assert await draining is True


async def test_a_caller_that_came_before_the_end_is_served_if_its_request_comes_soon(world: World) -> None:
    await world.stand(answering())
    new, half = await world.caller(), await world.caller()
    request = post()
    half.send(request[:20])
    await until(lambda: [c for c in world.plane.callers if c._reader.in_head] and len(world.plane.callers) == 2)
    # Accepted, and no caller yet when the drain begins.
    accepted = await world.caller()
    draining = begin(world)
    await until(lambda: world.plane.draining)
    for caller, rest in ((new, request), (half, request[20:]), (accepted, request)):
        caller.send(rest)
        answer = await caller.answer()
        assert (answer.status, answer.one(b"connection")) == (200, b"close")
        assert await caller.rest() == b""
    assert await draining is True


async def test_who_begins_no_request_soon_is_let_go(world: World) -> None:
    await world.stand(answering())
    half, new = await world.caller(), await world.caller()
    half.send(b"GET / HT")
    await until(lambda: [c for c in world.plane.callers if c._reader.in_head] and len(world.plane.callers) == 2)
    draining = begin(world)
    await until(lambda: all(caller.deadline <= world.plane.now() + 1.0 for caller in world.plane.callers))
    world.later(2)
    answer = await half.answer()
    assert (answer.status, answer.one(b"sidecar-error"), answer.one(b"retry-after")) == (503, b"draining", b"1")
    assert await new.rest() == b""
    half.close()
    assert await draining is True


async def test_what_does_not_end_in_time_is_given_up_and_said_so(world: World) -> None:
    await world.stand(silent)
    caller = await world.caller()
    caller.send(post())
    await until(lambda: world.counts.inflight)
    world.plane.swap(type(world.plane.table)(2, world.plane.table.routes, None, _short(world)))
    assert await begin(world) is False


def _short(world: World) -> Bounds:
    return msgspec.structs.replace(world.plane.bounds, drain_s=0.05)


async def test_copies_that_were_never_sent_are_counted_as_shutting_down(world: World) -> None:
    await world.shadowed(answering(), silent)
    caller = await world.caller()
    connect, port = world.loop.create_connection, world.servers[1].port

    async def slowly(protocol: object, host: str, to: int) -> object:
        if to == port:
            await asyncio.Event().wait()
        return await connect(protocol, host, to)

    world.loop.create_connection = slowly
    world.plane.swap(type(world.plane.table)(2, world.plane.table.routes, None, _short(world)))
    assert (await caller.ask(post())).status == 200
    assert await begin(world) is True
    assert world.copies == (0, 0, {}, {"shutting_down": 1})
    assert world.offered[0].shadows[0].dropped == "shutting_down"
