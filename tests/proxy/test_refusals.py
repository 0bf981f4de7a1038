from __future__ import annotations

import asyncio
import json

import pytest

from sidecar.decide.routing_table import Destination, Route, RoutingTable
from tests.proxy.scripted import OK, Connection, World, answering, post, silent, table, until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "nonsense": (b"NONSENSE\r\n\r\n", 400, b"malformed"),
    "a bare line feed": (b"GET / HTTP/1.1\nHost: a\n\n", 400, b"malformed"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, b"malformed"),
    "two hosts": (GET + b"Host: a\r\n\r\n", 400, b"malformed"),
    "a host with user information": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, b"malformed"),
    "a folded line": (GET + b"X: a\r\n b\r\n\r\n", 400, b"malformed"),
    "a blank before the colon": (GET + b"X : a\r\n\r\n", 400, b"malformed"),
    "a zero byte": (GET + b"X: a\0b\r\n\r\n", 400, b"malformed"),
    "length and chunked": (GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, b"malformed"),
    "chunked and length": (GET + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400, b"malformed"),
    "two lengths": (GET + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, b"malformed"),
    "a list of lengths": (GET + b"Content-Length: 3, 3\r\n\r\nabc", 400, b"malformed"),
    "a signed length": (GET + b"Content-Length: +3\r\n\r\nabc", 400, b"malformed"),
    "a length with an underscore in its name": (GET + b"Content_Length: 3\r\n\r\nabc", 400, b"malformed"),
    "two codings": (GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, b"malformed"),
    "a blank after chunked": (GET + b"Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n", 400, b"malformed"),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, b"malformed"),
    "a signed chunk size": (CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", 400, b"malformed"),
    "a chunk longer than it says": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400, b"malformed"),
    "a length in a trailer": (CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n", 400, b"malformed"),
    "version 0.9": (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400, b"malformed"),
    "version 2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400, b"malformed"),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, b"malformed"),
    "a fragment": (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400, b"malformed"),
    "an asterisk without OPTIONS": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, b"malformed"),
    "a target that disagrees with the host": (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, b"malformed"),
    "connect": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nxyz", 405, b"method"),
    "a body too large": (GET + b"Content-Length: 4000001\r\n\r\n", 413, b"body_too_large"),
    "the largest length": (GET + b"Content-Length: 18446744073709551615\r\n\r\n", 413, b"body_too_large"),
    "chunks too large": (CHUNKED + b"3d0901\r\n" + b"x" * 4_000_001, 413, b"body_too_large"),
    "a target too long": (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 1024), 414, b"target_too_long"),
    "another expectation": (GET + b"Expect: a-miracle\r\n\r\n", 417, b"expectation"),
    "too many headers": (GET + b"X: y\r\n" * 32 + b"\r\n", 431, b"headers_too_large"),
    "too large headers": (GET + b"X: " + b"y" * 4096 + b"\r\n\r\n", 431, b"headers_too_large"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_could_be_understood_in_two_ways_is_refused(world: World, case: str) -> None:
    data, status, reason = REFUSED[case]
    champion = await world.stand()
    caller = await world.caller()
    answer = await caller.ask(data)
    assert (answer.status, answer.one(b"sidecar-error")) == (status, reason)
    assert answer.one(b"content-type") == b"application/problem+json"
    assert answer.one(b"connection") == b"close"
    assert len(answer.one(b"x-request-id")) == 25
    document = json.loads(answer.body)
    assert document["error"].endswith(".")
    assert document["status"] == status
    assert await caller.rest() == b""
    assert champion.requests == []
    assert world.codes == {status: 1}
    assert world.counts.refused == {reason.decode(): 1}


@pytest.mark.parametrize("case", [case for case in REFUSED if len(REFUSED[case][0]) < 300])
async def test_it_is_refused_as_well_when_it_comes_byte_by_byte(world: World, case: str) -> None:
    data, status, _ = REFUSED[case]
    champion = await world.stand()
    caller = await world.caller()
    for at in range(len(data)):
        caller.send(data[at : at + 1])
        await asyncio.sleep(0)
    assert (await caller.answer()).status == status
    assert champion.requests == []


async def test_a_refused_head_keeps_the_callers_id(world: World) -> None:
    await world.stand()
    answer = await (await world.caller()).ask(GET + b"X-Request-Id: mine\r\nExpect: x\r\n\r\n")
    assert answer.one(b"x-request-id") == b"mine"


async def test_a_refusal_of_a_head_request_has_no_body(world: World) -> None:
    await world.stand()
    caller = await world.caller()
    caller.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n")
    assert (await caller.answer(bodyless=True)).status == 417
    assert await caller.rest() == b""


async def test_no_route_and_no_upstream_is_404_and_the_connection_lives_on(world: World) -> None:
    champion = await world.model()
    usual = table(champion.at("3"))
    await world.serve(RoutingTable(1, usual.routes, None, usual.bounds))
    caller = await world.caller()
    answer = await caller.ask(post(path="/nowhere"))
    assert (answer.status, answer.one(b"sidecar-error")) == (404, b"no_route")
    assert (await caller.ask(post())).status == 200
    caller.send(b"HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await caller.answer(bodyless=True)).status == 404
    assert (await caller.ask(post())).status == 200


async def test_what_is_meant_for_a_model_without_a_champion_is_503_and_goes_to_nobody_else(world: World) -> None:
    champion, upstream = await world.model(), await world.model()
    usual = table(champion.at("3"))
    waits = Route(
        "churn", "/v2/models/churn/infer", False, "oip", 0, Destination("", "", 0, "", None), (), unserved=True
    )
    every = Route("all", "/v2/", True, "oip", 1, champion.at("3"), ())
    await world.serve(RoutingTable(1, (*usual.routes, every, waits), upstream.at(""), usual.bounds))
    caller = await world.caller()
    answer = await caller.ask(post(path="/v2/models/churn/infer"))
    assert (answer.status, answer.one(b"sidecar-error"), answer.one(b"retry-after")) == (503, b"no_champion", b"5")
    assert answer.all(b"sidecar-model") == []
    assert (await caller.ask(post(path="/v2/models/other/infer"))).status == 200, "the connection lives on"
    assert (len(champion.requests), upstream.requests) == (1, [])


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000,
        b"GET /" + b"y" * 200_000,
        CHUNKED + b"0\r\nX: " + b"y" * 200_000,
        CHUNKED + b"3;x=" + b"y" * 200_000,
    ],
    ids=["one header", "many headers", "target", "trailer", "chunk extension"],
)
async def test_nothing_that_never_ends_is_gathered(world: World, data: bytes) -> None:
    await world.stand()
    caller = await world.caller()
    caller.send(data)
    assert (await caller.answer()).status == 431
    assert world.plane.mirror.held_bytes == 0


async def test_many_tiny_chunks_are_a_body_like_any_other(world: World) -> None:
    champion = await world.stand()
    caller = await world.caller()
    answer = await caller.ask(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
    assert (answer.status, len(champion.requests[0].body)) == (200, 20_000)


async def test_one_connection_more_than_there_is_room_for_is_told_so(world: World) -> None:
    await world.stand(connections=2)
    first, second = await world.caller(), await world.caller()
    assert (await first.ask(post())).status == 200
    assert (await second.ask(post())).status == 200
    third = await world.caller()
    third.send(post())
    answer = await third.answer()
    assert (answer.status, answer.one(b"retry-after"), answer.one(b"sidecar-error")) == (503, b"1", b"overloaded")
    assert await third.rest() == b""
    third.close()
    first.close()
    await until(lambda: len(world.plane.callers) == 1)
    assert (await (await world.caller()).ask(post())).status == 200


async def test_a_flood_of_connections_is_cut_without_a_word(world: World) -> None:
    await world.stand(connections=1)
    callers = [await world.caller() for _ in range(135)]
    await until(lambda: len(world.plane.callers) == 129)
    assert await callers[-1].is_cut()
    assert world.counts.refused == {"overloaded": 128}


# --- deadlines: time is moved, nobody waits for it ---------------------------------------------------------------


async def test_a_head_must_be_whole_in_time_however_it_trickles(world: World) -> None:
    await world.stand()
    caller = await world.caller()
    for byte in b"GET / HT":
        caller.send(bytes((byte,)))
        await until(lambda: [c for c in world.plane.callers if c._stage == "headers"])
        world.later(1)
    caller.send(b"T")
    world.later(2.5)
    answer = await caller.answer()
    assert (answer.status, answer.one(b"sidecar-error")) == (408, b"headers_timeout")
    assert await caller.rest() == b""


async def test_a_head_begun_during_another_request_has_its_deadline_too(world: World) -> None:
    await world.stand()
    caller = await world.caller()
    caller.send(post() + b"GET / HT")
    assert (await caller.answer()).status == 200
    world.later(11)
    assert (await caller.answer()).status == 408


async def test_a_body_must_be_whole_in_time(world: World) -> None:
    champion = await world.stand(silent)
    caller = await world.caller()
    caller.send(post(b"12345")[:-1])
    await until(lambda: [c for c in world.plane.callers if c._stage == "body"])
    world.later(61)
    answer = await caller.answer()
    assert (answer.status, answer.one(b"sidecar-error"), answer.one(b"sidecar-model")) == (
        408,
        b"body_timeout",
        b"fraud",
    )
    assert await caller.rest() == b""
    assert champion.requests == []


async def test_a_champion_that_does_not_answer_in_time_is_504(world: World) -> None:
    champion = await world.stand(silent)
    caller = await world.caller()
    caller.send(post())
    await until(lambda: champion.requests)
    world.later(61)
    answer = await caller.answer()
    assert (answer.status, answer.one(b"sidecar-error")) == (504, b"answer_timeout")
    assert (world.offered[0].champion.error, world.offered[0].champion.answer) == ("timeout", None)
    assert world.codes == {504: 1}


async def test_a_connect_that_takes_too_long_is_502(world: World) -> None:
    champion = await world.stand()

    def never(*_: object, **__: object) -> object:
        return asyncio.Event().wait()

    world.loop.create_connection = never
    caller = await world.caller()
    caller.send(post())
    await until(lambda: world.counts.inflight)
    world.later(3)
    answer = await caller.answer()
    assert (answer.status, answer.one(b"sidecar-error")) == (502, b"connect")
    assert champion.connections == 0


async def test_the_attempt_to_connect_itself_ends_in_time(world: World) -> None:
    await world.stand(connect_s=2)
    attempts = _swallow_packets(world)
    asking = asyncio.create_task((await world.caller()).ask(post()))
    await until(lambda: len(attempts) == 1)
    world.later(1.9)
    assert not asking.done()
    world.later(0.2)
    assert (await asking).status == 502
    await until(lambda: not any(pool._connecting or pool._attempts for pool in world.plane._pools.values()))


async def test_time_in_which_nobody_could_look_does_not_end_an_attempt(world: World) -> None:
    await world.stand(connect_s=2)
    attempts = _swallow_packets(world)
    asking = asyncio.create_task((await world.caller()).ask(post()))
    await until(lambda: len(attempts) == 1)
    world.plane.forgive(60)
    world.later(61.9)
    assert [len(pool._attempts) for pool in world.plane._pools.values() if pool._connecting] == [1]
    world.later(0.2)
    assert (await asking).status == 502


async def test_an_attempt_to_who_is_no_more_in_the_table_ends_in_time_too(world: World) -> None:
    await world.stand(connect_s=2)
    attempts = _swallow_packets(world)
    asking = asyncio.create_task((await world.caller()).ask(post()))
    await until(lambda: len(attempts) == 1)
    [pool] = [pool for pool in world.plane._pools.values() if pool._connecting]
    pool.close()
    world.loop.shift_s += 2.1
    assert (await asking).status == 502
    await until(lambda: not pool._connecting)


def _swallow_packets(world: World) -> list[object]:
    """From now on no connection is made, and nobody says so; the attempts."""
    attempts: list[object] = []

    def never(*_: object, **__: object) -> object:
        attempts.append(_)
        return asyncio.Event().wait()

    world.loop.create_connection = never
    return attempts


async def test_idle_callers_are_let_go(world: World) -> None:
    await world.stand()
    caller, never_spoke = await world.caller(), await world.caller()
    assert (await caller.ask(post())).status == 200
    await until(lambda: len(world.plane.callers) == 2)
    world.later(74)
    assert len(world.plane.callers) == 2
    world.later(2)
    await until(lambda: not world.plane.callers)
    assert await never_spoke.rest() == b""


async def test_one_who_never_takes_the_refusal_does_not_stay(world: World) -> None:
    await world.stand()
    caller = await world.caller()
    caller.send(b"NONSENSE\r\n\r\n")
    await until(lambda: [c for c in world.plane.callers if c._stage == "linger"])
    world.later(3)
    await until(lambda: not world.plane.callers)


async def test_an_answer_that_stops_in_the_middle_is_cut_at_its_deadline(world: World) -> None:
    await world.stand(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"))
    caller = await world.caller()
    caller.send(post())
    await caller.reader.readuntil(b"abc")
    world.later(29)
    assert world.plane.callers
    world.later(2)
    assert await caller.is_cut()
    assert world.offered[0].champion.error == "timeout"


async def test_a_closing_connection_whose_caller_never_reads_does_not_stay(world: World) -> None:
    body = b"x" * 5_000_000
    await world.stand(answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body))
    caller = await world.caller()
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    caller.send(post(b"{}", b"Connection: close"))
    await until(lambda: [c for c in world.plane.callers if c._full])
    world.later(31)
    await until(lambda: not world.plane.callers)


async def test_a_repeat_that_finds_nobody_is_502(world: World) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.request()
        world.servers[0].deaf()
        connection.reset()

    await world.stand(script)
    caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    answer = await caller.ask(post())
    assert (answer.status, answer.one(b"sidecar-error"), world.counts.repeats) == (502, b"connect", 1)
    assert world.offered[1].champion.error == "connect"
