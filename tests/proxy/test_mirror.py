"""Copies: which requests are copied, what a copy looks like, and whose connections it takes."""

from __future__ import annotations

import msgspec
import pytest

from sidecar.decide.routing_table import copied
from sidecar.records import Answer
from tests.proxy.scripted import (
    World,
    answering,
    chunked_post,
    post,
    shadow_of,
    table,
)

JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n"


async def test_a_copy_is_sent_and_the_exchange_holds_both_answers(world: World) -> None:
    _, challenger = await world.shadowed(answering(JSON + b"abc"), answering(JSON + b"xyz"))
    caller = await world.caller()
    answer = await caller.ask(post(b'{"a":1}', b"x-request-id: r1", b"Content-Type: x/y", b"content-encoding: br"))
    assert answer.body == b"abc"
    await world.quiet()
    (exchange,) = world.offered
    assert (exchange.request_id, exchange.deployment, exchange.generation) == ("r1", "fraud", 7)
    assert (exchange.path, exchange.content_type, exchange.content_encoding) == (
        "/v2/models/fraud/infer", "x/y", "br"
    )  # fmt: skip
    assert (exchange.body, exchange.body_complete) == (b'{"a":1}', True)
    assert exchange.champion.answer == Answer(200, "application/json", "gzip", b"abc")
    (shadow,) = exchange.shadows
    assert (shadow.version, shadow.answer) == ("4", Answer(200, "application/json", "gzip", b"xyz"))
    assert (exchange.champion.error, shadow.error, shadow.dropped) == (None, None, None)
    assert exchange.champion.latency_s > 0
    assert shadow.latency_s > 0
    assert world.copies == (1, 1, {}, {})
    assert len(challenger.requests) == 1


@pytest.mark.parametrize("data", [b"{}", b"x" * 50_000], ids=["small", "large"])
async def test_a_copy_is_marked_and_carries_no_credentials(world: World, data: bytes) -> None:
    champion, challenger = await world.shadowed(answering(), answering())
    secrets = (b"Authorization: t", b"COOKIE: c", b"proxy-authorization: p", b"X-Api-Key: k", b"x-request-id: i")
    await (await world.caller()).ask(post(data, *secrets, b"X-A: 1", b"x-a: 2"))
    await world.quiet()
    assert challenger.requests[0].head == (
        b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\nx-request-id: i\r\n"
        b"X-A: 1\r\nx-a: 2\r\nsidecar-shadow: 4\r\n\r\n" % len(data)
    )
    assert challenger.requests[0].body == champion.requests[0].body == data
    assert len(champion.requests[0].headers) == 9


async def test_the_callers_connection_header_cannot_take_the_mark_or_the_id_away(world: World) -> None:
    _, challenger = await world.shadowed(answering(), answering())
    await (await world.caller()).ask(post(b"{}", b"Connection: sidecar-shadow, x-request-id", b"x-request-id: i"))
    await world.quiet()
    assert (challenger.requests[0].one(b"sidecar-shadow"), challenger.requests[0].one(b"x-request-id")) == (b"4", b"i")


async def test_a_chunked_request_is_copied_in_one_chunk_and_an_http_1_0_one_with_a_host(world: World) -> None:
    _, challenger = await world.shadowed(answering(), answering())
    caller = await world.caller()
    await caller.ask(chunked_post(b"ab", b"c"))
    await caller.ask(b"POST /v2/models/fraud/infer HTTP/1.0\r\ncontent-length: 1\r\n\r\na")
    await world.quiet()
    assert [request.body for request in challenger.requests] == [b"abc", b"a"]
    assert challenger.requests[1].one(b"host") == b"127.0.0.1:%d" % challenger.port


async def test_a_copy_is_never_copied_again(world: World) -> None:
    _, challenger = await world.shadowed(answering(), answering())
    assert (await (await world.caller()).ask(post(b"{}", b"sidecar-shadow: 4"))).status == 200
    await world.quiet()
    assert (challenger.requests, world.copies, world.offered) == ([], (0, 0, {}, {}), [])


@pytest.mark.parametrize(
    "data", [post(path="/x"), post().replace(b"POST", b"PUT"), post(path="/v2/models/fraud/infer/")]
)
async def test_only_a_post_on_the_inference_route_is_copied(world: World, data: bytes) -> None:
    _, challenger = await world.shadowed(answering(), answering())
    assert (await (await world.caller()).ask(data)).status == 200
    await world.quiet()
    assert (challenger.requests, world.copies, world.offered) == ([], (0, 0, {}, {}), [])


async def test_the_fraction_is_decided_by_the_id_and_counted_in_nothing(world: World) -> None:
    _, challenger = await world.shadowed(answering(), answering(), shadow={"fraction": 0.3})
    caller = await world.caller()
    ids = [b"id-%d" % number for number in range(100)]
    for request_id in ids:
        await caller.ask(post(b"{}", b"x-request-id: " + request_id))
    await world.quiet()
    chosen = [request_id for request_id in ids if copied(request_id, 0.3)]
    assert 15 < len(chosen) < 45
    assert sorted(request.one(b"x-request-id") for request in challenger.requests) == sorted(chosen)
    assert world.copies == (len(chosen), len(chosen), {}, {})
    assert len(world.offered) == 100


@pytest.mark.parametrize("sticky", ["x-request-id", "traceparent"])
async def test_a_fraction_that_sticks_to_what_differs_each_time_is_decided_by_the_id(world: World, sticky: str) -> None:
    champion, challenger = await world.model(answering()), await world.model(answering())
    made = table(champion.at("3"), shadow_of(challenger.at("4"), fraction=0.3))
    routes = tuple(msgspec.structs.replace(route, sticky=sticky) for route in made.routes)
    await world.serve(msgspec.structs.replace(made, routes=routes))
    caller = await world.caller()
    ids = [b"id-%d" % number for number in range(60)]
    for number, request_id in enumerate(ids):
        trace = b"traceparent: 00-%032x-%016x-01" % (number + 1, number + 1)
        await caller.ask(post(b"{}", b"x-request-id: " + request_id, trace))
    await world.quiet()
    chosen = [request_id for request_id in ids if copied(request_id, 0.3)]
    assert sorted(request.one(b"x-request-id") for request in challenger.requests) == sorted(chosen)
