from __future__ import annotations

import asyncio
import json

import pytest

from sidecar.decide.routing_table import Destination, Route, RoutingTable
from tests.proxy.scripted import World, post, table, until

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
