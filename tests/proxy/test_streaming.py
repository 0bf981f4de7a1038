"""Large bodies, slow readers and pipelines: bounded in bytes, in order, and nobody is held up for another."""

from __future__ import annotations

import asyncio

from tests.proxy.scripted import (
    OK,
    Connection,
    World,
    answering,
    post,
    table,
    until,
)


async def test_a_large_body_streams_through_without_being_held(world: World) -> None:
    received = 0
    first = asyncio.Event()

    async def script(connection: Connection) -> None:
        nonlocal received
        await connection.reader.readuntil(b"\r\n\r\n")
        while received < 3_000_000:
            received += len(await connection.reader.read(65536))
            first.set()
        connection.send(OK)

    await world.stand(script)
    caller = await world.caller()
    data = post(b"x" * 3_000_000)
    caller.send(data[:1_000_000])
    await asyncio.wait_for(first.wait(), 20)  # the champion reads although two thirds have not come
    assert world.plane.mirror.held_bytes <= 100_000
    caller.send(data[1_000_000:])
    assert (await caller.answer()).status == 200
    assert world.plane.mirror.held_bytes == 0
    assert world.capture_dropped == {"body_too_large": 1}


async def test_a_caller_is_held_back_while_the_champion_takes_nothing(world: World) -> None:
    async def script(connection: Connection) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a ReadTransport
        await asyncio.Event().wait()

    await world.stand(script, body_bytes=200_000_000)
    caller = await world.caller()
    caller.send(b"POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 100000000\r\n\r\n" + b"x" * 30_000_000)
    await until(lambda: [c for c in world.plane.callers if c._paused & c.CHAMPION])
    (connection,) = world.plane.callers
    held = connection._serving._upstream.transport.get_write_buffer_size()  # type: ignore[union-attr]
    assert held < 1_000_000
    world.later(61)  # the champion's fault, not the caller's
    assert (await caller.answer()).status == 504


async def test_a_slow_reader_holds_its_champion_back_and_then_gets_everything(world: World) -> None:
    body = b"x" * 20_000_000
    await world.stand(answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body))
    caller = await world.caller()
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    caller.send(post())
    await until(lambda: [c for c in world.plane.callers if c._full])
    (connection,) = world.plane.callers
    assert connection._transport.get_write_buffer_size() < 1_000_000
    assert world.plane.mirror.held_bytes == len(b"{}")
    caller.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert (await caller.answer()).body == body


async def test_a_caller_that_never_reads_is_cut_at_its_deadline(world: World) -> None:
    body = b"x" * 20_000_000
    await world.stand(answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body))
    caller = await world.caller()
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    caller.send(post())
    await until(lambda: [c for c in world.plane.callers if c._full])
    world.later(31)
    await until(lambda: not world.plane.callers)
    assert world.codes == {499: 1}


async def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            body = request.body
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    champion = await world.stand(script)
    caller = await world.caller()
    caller.send(b"".join(post(b"%d" % number) for number in range(300)))
    assert [(await caller.answer()).body for _ in range(300)] == [b"%d" % number for number in range(300)]
    assert champion.connections == 1


async def test_many_pipelined_requests_that_the_sidecar_answers_itself_do_not_nest(world: World) -> None:
    champion = await world.model()
    without_upstream = table(champion.at("3"))
    await world.serve(type(without_upstream)(1, without_upstream.routes, None, without_upstream.bounds))
    caller = await world.caller()
    caller.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" * 3000)
    for _ in range(3000):
        assert (await caller.answer()).status == 404
    assert world.codes == {404: 3000}


async def test_a_caller_that_pipelines_and_never_reads_holds_little(world: World) -> None:
    champion = await world.stand(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000))
    caller = await world.caller()
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 200_000)
    await until(lambda: [c for c in world.plane.callers if c._full], within_s=20)
    (connection,) = world.plane.callers
    assert len(connection._waiting) <= 32_768 // 27 + 1
    assert len(connection._unread) <= 262_144
    assert connection._transport.get_write_buffer_size() < 500_000
    served = len(champion.requests)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(champion.requests) == served
    caller.reset()
    await until(lambda: not world.plane.callers)


async def test_a_bad_second_request_does_not_hurt_the_first(world: World) -> None:
    await world.stand()
    caller = await world.caller()
    caller.send(post() + b"NONSENSE\r\n\r\n" + post())
    assert (await caller.answer()).status == 200
    refused = await caller.answer()
    assert (refused.status, refused.one(b"connection")) == (400, b"close")
    assert await caller.rest() == b""
    assert world.codes == {200: 1, 400: 1}
