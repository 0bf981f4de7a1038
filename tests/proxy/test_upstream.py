from __future__ import annotations

import asyncio

import pytest

from tests.proxy.scripted import (
    INFER,
    OK,
    Connection,
    World,
    answering,
    answering_then,
    chunked_post,
    post,
    silent,
    table,
    until,
)

CLOSE = Connection.close
RESET = Connection.reset


async def closes_when_idle(connection: Connection) -> None:
    """Answers one request and closes when the second one comes, as a server does whose keep-alive is over."""
    await connection.request()
    connection.send(OK)
    await connection.request()
    connection.reset()


@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_a_champion_that_closes_before_it_answers_is_502(world: World, end: object) -> None:
    await world.stand(answering_then(b"", end))  # type: ignore[arg-type]
    caller = await world.caller()
    answer = await caller.ask(post())
    assert (answer.status, answer.one(b"sidecar-error")) == (502, b"reset")
    assert (world.codes, world.counts.repeats) == ({502: 1}, 0)
    assert world.offered[0].champion.error == "reset"


@pytest.mark.parametrize("end", [CLOSE, RESET])
@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nab",
    ],
)
async def test_an_answer_cut_in_the_middle_is_cut_for_the_caller(world: World, begun: bytes, end: object) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        connection.send(begun)
        await sent.wait()
        end(connection)  # type: ignore[operator]

    sent = asyncio.Event()
    await world.stand(script)
    caller = await world.caller()
    caller.send(post())
    got = await caller.reader.readuntil(b"abc")
    sent.set()
    try:
        got += await caller.rest()
    except ConnectionResetError:
        pass
    else:
        pytest.fail("the end looked orderly")
    assert b"0\r\n\r\n" not in got
    await world.quiet()
    assert world.offered[0].champion.error == "reset"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 099 No\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\x01K\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500_000,
    ],
)
async def test_an_answer_that_makes_no_sense_is_502_and_nothing_of_it_is_passed_on(world: World, answer: bytes) -> None:
    champion = await world.stand(answering(answer))
    caller = await world.caller()
    for number in (1, 2):
        refused = await caller.ask(post())
        assert (refused.status, refused.one(b"sidecar-error")) == (502, b"upstream_malformed")
        assert champion.connections == number


async def test_a_bad_chunk_in_the_middle_cuts_the_caller(world: World) -> None:
    await world.stand(answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nXYZ\r\n"))
    caller = await world.caller()
    caller.send(post())
    # In one read, nothing had been passed on yet; the caller is told.
    assert (await caller.answer()).status == 502


@pytest.mark.parametrize("extra", [b"JUNK", OK, b"\r\n\r\nX"])
async def test_bytes_after_an_answer_never_become_another_answer(world: World, extra: bytes) -> None:
    champion = await world.stand(answering(OK + extra), answering(OK))
    caller = await world.caller()
    assert (await caller.ask(post())).body == b"ok"
    assert (await caller.ask(post())).body == b"ok"
    assert champion.connections == 2


async def test_bytes_that_come_later_on_an_idle_connection_end_it(world: World) -> None:
    go = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        connection.send(OK)
        await go.wait()
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await connection.gone()

    champion = await world.stand(script, answering(OK))
    caller = await world.caller()
    assert (await caller.ask(post())).body == b"ok"
    go.set()
    await until(lambda: not any(pool._idle for pool in world.plane._pools.values()))
    assert (await caller.ask(post())).body == b"ok"
    assert champion.connections == 2


# --- the stale connection ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [post(b"abc"), chunked_post(b"a", b"bc"), post(b"")])
async def test_a_stale_connection_is_hidden_from_the_caller_by_one_repeat(world: World, data: bytes) -> None:
    champion = await world.stand(closes_when_idle, answering())
    caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    assert (await caller.ask(data)).status == 200
    assert world.counts.repeats == 1
    assert [request.body for request in champion.requests[1:]] == [champion.requests[1].body] * 2
    assert world.codes == {200: 2}
    assert len(world.offered) == 2


async def test_a_body_still_on_its_way_is_repeated_from_its_beginning(world: World) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.reader.readuntil(b"\r\n\r\n")
        connection.reset()

    champion = await world.stand(script, answering())
    caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    data = post(b"0123456789")
    caller.send(data[:-5])
    await until(lambda: champion.connections == 2)
    assert (await caller.ask(data[-5:])).status == 200
    assert champion.requests[-1].body == b"0123456789"
    assert len(world.offered) == 2  # and the copies are made, once


async def test_it_is_repeated_once_and_no_more(world: World) -> None:
    champion = await world.stand(closes_when_idle, answering_then(b"", RESET), answering())
    caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    assert (await caller.ask(post())).status == 502
    assert (champion.connections, world.counts.repeats) == (2, 1)


@pytest.mark.parametrize(
    ("data", "repeats"),
    [
        (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\ncontent-length: 1\r\n\r\na", 1),
        (post(path="/x"), 0),  # no inference: it may have effects
        (b"PATCH %s HTTP/1.1\r\nHost: a\r\ncontent-length: 1\r\n\r\na" % INFER.encode(), 0),
        (post(b"x" * 100_001), 0),  # not kept whole
    ],
)
async def test_only_what_is_safe_and_still_there_is_repeated(world: World, data: bytes, repeats: int) -> None:
    champion = await world.stand(closes_when_idle, answering())
    caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    assert (await caller.ask(data)).status == (200 if repeats else 502)
    assert (champion.connections, world.counts.repeats) == (1 + repeats, repeats)


async def test_it_is_not_repeated_once_a_single_byte_of_an_answer_came(world: World) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.request()
        connection.send(b"H")
        await connection.writer.drain()
        connection.close()

    champion = await world.stand(script, answering())
    caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    assert (await caller.ask(post())).status == 502
    assert champion.connections == 1


async def test_an_idle_connection_is_closed_before_the_model_server_would(world: World) -> None:
    champion = await world.stand()
    caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    world.loop.shift_s += 5  # before the next tick
    assert (await caller.ask(post())).status == 200
    assert champion.connections == 2
    world.later(5)
    await until(lambda: not any(pool._idle for pool in world.plane._pools.values()))


async def test_a_connection_made_too_late_serves_the_next_request(world: World) -> None:
    champion = await world.stand()
    connect, go = world.loop.create_connection, asyncio.Event()

    async def slowly(*args: object, **kwargs: object) -> object:
        await go.wait()
        return await connect(*args, **kwargs)

    world.loop.create_connection = slowly
    caller = await world.caller()
    caller.send(post())
    await until(lambda: world.counts.inflight)
    world.later(3)
    assert (await caller.answer()).status == 502
    go.set()
    await until(lambda: champion.connections == 1)
    assert (await caller.ask(post())).status == 200
    assert champion.connections == 1


async def test_connections_to_a_version_that_left_the_table_close_after_their_answer(world: World) -> None:
    champion = await world.stand(silent)
    caller = await world.caller()
    caller.send(post())
    await until(lambda: champion.requests)
    pools = list(world.plane._pools.values())
    other = await world.model()
    world.plane.swap(table(other.at("9"), serial=2))
    assert all(pool._closed for pool in pools)
    assert (await (await world.caller()).ask(post())).one(b"sidecar-version") == b"9"
