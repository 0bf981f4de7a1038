"""Callers that ask for more than an answer, or leave: 100-continue, upgrades, half-closed and ended connections."""

from __future__ import annotations

import asyncio

import pytest

from tests.proxy.scripted import (
    Connection,
    World,
    post,
    until,
)


async def test_continue_is_sent_once_and_only_when_the_body_will_be_read(world: World) -> None:
    champion = await world.stand()
    caller = await world.caller()
    caller.send(b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert (await caller.answer()).status == 100
    assert (await caller.ask(b"{}")).status == 200
    assert not champion.requests[0].all(b"expect")
    caller.send(b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}")
    assert (await caller.answer()).status == 200
    caller.send(b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\ncontent-length: 9000000\r\n\r\n")
    assert (await caller.answer()).status == 413


@pytest.mark.parametrize(
    "data",
    [
        (
            b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AA\r\nContent-Length: 3\r\n\r\nabc"
        ),
        (
            b"POST /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\n\r\n"
        ),
    ],
)
async def test_an_upgrade_is_ignored_and_the_body_is_not_lost(world: World, data: bytes) -> None:
    champion = await world.stand()
    caller = await world.caller()
    caller.send(data + post(b"next"))
    assert (await caller.answer()).status == 200
    assert (await caller.answer()).status == 200
    await caller.send_slowly(*(data[at : at + 1] for at in range(len(data))))
    assert (await caller.answer()).status == 200
    assert [request.body for request in champion.requests] == [b"abc", b"next", b"abc"]
    for request in champion.requests:
        assert not request.all(b"upgrade")
        assert not request.all(b"connection")
        assert not request.all(b"http2-settings")


HANDSHAKE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def test_an_upgrade_is_refused_where_nobody_allowed_it(world: World) -> None:
    champion = await world.stand()
    caller = await world.caller()
    refused = await caller.ask(HANDSHAKE)
    assert (refused.status, refused.one(b"sidecar-error"), champion.requests) == (501, b"upgrade", [])


async def test_an_upgrade_to_http_2_that_is_asked_for_by_the_way_is_ignored(world: World) -> None:
    champion = await world.stand()
    caller = await world.caller()
    assert (await caller.ask(post(b"{}", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"))).status == 200
    assert (await caller.ask(HANDSHAKE.replace(b"websocket", b"h2c"))).status == 200
    assert not any(request.all(b"upgrade") for request in champion.requests)


async def test_a_caller_that_closes_its_half_still_gets_its_answers(world: World) -> None:
    await world.stand()
    caller = await world.caller()
    caller.send(post() + post())
    caller.writer.write_eof()
    assert (await caller.answer()).status == 200
    assert (await caller.answer()).status == 200
    assert await caller.rest() == b""
    await until(lambda: not world.plane.callers)


async def test_a_caller_that_closes_its_half_in_a_body_is_told_so(world: World) -> None:
    champion = await world.stand()
    caller = await world.caller()
    caller.send(post(b"12345")[:-2])
    caller.writer.write_eof()
    assert (await caller.answer()).status == 400
    assert await caller.rest() == b""
    assert champion.requests == []


@pytest.mark.parametrize("at", ["in the head", "in the body", "while waiting", "while reading"])
async def test_a_caller_that_goes_away_takes_its_request_with_it(world: World, at: str) -> None:
    gone = asyncio.Event()

    async def script(connection: Connection) -> None:
        if at == "while reading":
            await connection.request()
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
        await connection.gone()
        gone.set()

    champion = await world.stand(script)
    caller = await world.caller()
    data = post(b"12345")
    caller.send(data[:20] if at == "in the head" else data[:-2] if at == "in the body" else data)
    if at == "in the head":
        await until(lambda: [c for c in world.plane.callers if c._reader.in_head])
    else:
        await until(lambda: champion.connections == 1)
        await until(lambda: [c for c in world.plane.callers if c._serving and c._serving._upstream])
    if at == "while reading":
        await caller.reader.readuntil(b"abc")
    caller.reset()
    await until(lambda: not world.plane.callers)
    assert world.codes == ({} if at == "in the head" else {499: 1})
    if champion.connections:
        await asyncio.wait_for(gone.wait(), 20)


async def test_an_early_answer_goes_out_at_once_and_neither_connection_lives_on(world: World) -> None:
    closed = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 413 Too Much\r\ncontent-length: 2\r\n\r\nno")
        await connection.gone()
        closed.set()

    await world.stand(script)
    caller = await world.caller()
    data = post(b"x" * 1_000_000)
    caller.send(data[:100_000])
    answer = await caller.answer()
    assert (answer.status, answer.body, answer.one(b"connection")) == (413, b"no", b"close")
    caller.send(data[100_000:])
    assert await caller.rest() == b""
    await asyncio.wait_for(closed.wait(), 20)
