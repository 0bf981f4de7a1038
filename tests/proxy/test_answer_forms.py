"""Answers of every form: without a body, interim, ended by their connection, and of HTTP/1.0."""

from __future__ import annotations

from tests.proxy.scripted import (
    OK,
    Connection,
    World,
    answering,
    post,
)


async def test_head_no_content_and_not_modified_end_without_a_body_and_keep_their_connections(world: World) -> None:
    async def script(connection: Connection) -> None:
        for answer in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
            OK,
        ):
            await connection.request()
            connection.send(answer)

    champion = await world.stand(script)
    caller = await world.caller()
    caller.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await caller.answer(bodyless=True)).one(b"Content-Length".lower()) == b"1000"
    caller.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await caller.answer(bodyless=True)).one(b"transfer-encoding") == b"chunked"
    no_content = await caller.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (no_content.status, no_content.all(b"content-length")) == (204, [])
    assert (await caller.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).one(b"content-length") == b"10"
    assert (await caller.ask(post())).body == b"ok"
    assert champion.connections == 1


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: x\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\ncontent-length: 9\r\n\r\n"


async def test_interim_answers_go_on_but_for_the_one_that_was_given_here(world: World) -> None:
    await world.stand(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + INTERIM + INTERIM + OK))
    caller = await world.caller()
    for _ in range(2):
        caller.send(post())
        early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        assert await caller.reader.readexactly(2 * len(early)) == 2 * early
        answer = await caller.answer()
        assert (answer.status, answer.body, answer.all(b"link")) == (200, b"ok", [])


async def test_a_caller_of_http_1_0_knows_no_interim_answers(world: World) -> None:
    await world.stand(answering(INTERIM + OK))
    caller = await world.caller()
    assert (await caller.ask(b"GET / HTTP/1.0\r\n\r\n")).status == 200


async def test_endless_interim_answers_are_no_answer(world: World) -> None:
    await world.stand(answering(INTERIM * 10_000))
    caller = await world.caller()
    caller.send(post())
    early = len(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
    await caller.reader.readexactly(16 * early)
    assert (await caller.answer()).status == 502


async def test_an_answer_that_ends_with_its_connection_goes_to_the_caller_in_chunks(world: World) -> None:
    def end(connection: Connection) -> None:
        connection.close()

    async def script(connection: Connection) -> None:
        await connection.request()
        connection.send(b"HTTP/1.0 200 OK\r\n\r\nhello")
        end(connection)

    champion = await world.stand(script)
    caller = await world.caller()
    for _ in range(2):
        answer = await caller.ask(post())
        assert (answer.body, answer.one(b"transfer-encoding")) == (b"hello", b"chunked")
    assert champion.connections == 2


async def test_http_1_0_is_spoken_with_and_without_keep_alive(world: World) -> None:
    champion = await world.stand()
    caller = await world.caller()
    answer = await caller.ask(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (answer.one(b"connection"), answer.body) == (b"keep-alive", b"ok")
    answer = await caller.ask(b"GET /x HTTP/1.0\r\n\r\n")
    assert answer.one(b"connection") == b"close"
    assert await caller.rest() == b""
    assert {request.one(b"host") for request in champion.requests} == {b"127.0.0.1:%d" % champion.port}


async def test_http_1_0_gets_a_chunked_answer_unchunked_up_to_the_connections_end(world: World) -> None:
    await world.stand(answering(CHUNKED))
    caller = await world.caller()
    answer = await caller.ask(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (answer.body, answer.all(b"transfer-encoding"), answer.one(b"connection")) == (b"abcdefg", [], b"close")
