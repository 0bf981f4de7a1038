"""A request's way to the champion and back: what passes byte by byte, and what the sidecar adds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sidecar.decide.routing_table import Destination
from tests.proxy.scripted import (
    INFER,
    OK,
    Connection,
    World,
    answering,
    chunked_post,
    post,
    silent,
    table,
    until,
)


async def test_the_loop_is_the_one_that_serves(world: World) -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")


async def test_a_request_is_answered_with_id_model_and_version(world: World) -> None:
    champion = await world.stand()
    answer = await (await world.caller()).ask(post(b'{"a":1}', b"x-request-id: r-1"))
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers == [
        (b"content-length", b"2"), (b"x-request-id", b"r-1"), (b"sidecar-model", b"fraud"), (b"sidecar-version", b"3")
    ]  # fmt: skip
    assert champion.requests[0].body == b'{"a":1}'
    assert world.codes == {200: 1}


async def test_a_request_outside_of_the_route_carries_an_id_but_no_model(world: World) -> None:
    await world.stand()
    answer = await (await world.caller()).ask(post(path="/v2/health"))
    assert len(answer.one(b"x-request-id")) == 25
    assert not answer.all(b"sidecar-model")


async def test_minted_ids_differ_and_reach_the_champion(world: World) -> None:
    champion = await world.stand()
    caller = await world.caller()
    ids = [(await caller.ask(post())).one(b"x-request-id") for _ in range(3)]
    assert len(set(ids)) == 3
    assert [request.one(b"x-request-id") for request in champion.requests] == ids


async def test_an_id_too_long_is_replaced_and_not_sent_beside_the_minted_one(world: World) -> None:
    champion = await world.stand()
    answer = await (await world.caller()).ask(post(b"{}", b"x-request-id: " + b"a" * 257))
    assert champion.requests[0].one(b"x-request-id") == answer.one(b"x-request-id")
    assert len(answer.one(b"x-request-id")) == 25


async def test_an_upstreams_own_id_and_sidecar_headers_do_not_come_through(world: World) -> None:
    await world.stand(
        answering(b"HTTP/1.1 200 OK\r\nx-request-id: theirs\r\nSidecar-Version: 9\r\ncontent-length: 0\r\n\r\n")
    )
    answer = await (await world.caller()).ask(post(b"{}", b"x-request-id: mine"))
    assert (answer.one(b"x-request-id"), answer.one(b"sidecar-version")) == (b"mine", b"3")


async def test_headers_pass_byte_exact_in_order_with_multiplicity_both_ways(world: World) -> None:
    champion = await world.stand(
        answering(
            b"HTTP/1.1 201 Made It\r\nSet-Cookie: a=1\r\nX-B: \xff\xfe\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n"
        )
    )
    lines = (b"X-A: 1", b"x-a: 2", b"Cookie: c", b"X-Odd:  two  blanks ", b"AUTHORIZATION: t", b"X-A: \xff", b"X-E:")
    answer = await (await world.caller()).ask(post(b"{}", *lines, b"x-request-id: i"))
    assert champion.requests[0].head == (
        b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\nX-A: 1\r\nx-a: 2\r\nCookie: c\r\n"
        b"X-Odd: two  blanks \r\nAUTHORIZATION: t\r\nX-A: \xff\r\nX-E: \r\nx-request-id: i\r\n\r\n"
    )
    assert answer.start == b"HTTP/1.1 201 Made It"
    assert answer.headers[:4] == [
        (b"Set-Cookie", b"a=1"), (b"X-B", b"\xff\xfe"), (b"set-cookie", b"b=2"), (b"Content-Length", b"0")
    ]  # fmt: skip


async def test_connections_are_kept_and_reused_on_both_sides(world: World) -> None:
    champion = await world.stand()
    caller = await world.caller()
    for _ in range(5):
        assert (await caller.ask(post())).body == b"ok"
    assert champion.connections == 1
    assert len(world.plane.callers) == 1


REQUESTS = {"content-length": post(b'{"x": [1, 2]}'), "chunked": chunked_post(b'{"x":', b" [1, ", b"2]}")}


ANSWERS = {
    "content-length": b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nabcdefg",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: x\r\n\r\n",
}


@pytest.mark.parametrize("framing", REQUESTS)
async def test_a_request_means_the_same_at_every_split(world: World, framing: str) -> None:
    champion = await world.stand()
    caller = await world.caller()
    data = REQUESTS[framing]
    for at in range(1, len(data)):
        await caller.send_slowly(data[:at], data[at:])
        assert (await caller.answer()).status == 200, at
    await caller.send_slowly(*(data[at : at + 1] for at in range(len(data))))
    assert (await caller.answer()).status == 200
    assert {request.body for request in champion.requests} == {b'{"x": [1, 2]}'}
    assert len({len(request.all(b"content-length")) for request in champion.requests}) == 1
    assert (champion.connections, len(champion.requests)) == (1, len(data))


@pytest.mark.parametrize("framing", ANSWERS)
async def test_an_answer_means_the_same_at_every_split(world: World, framing: str) -> None:
    data = ANSWERS[framing]

    async def script(connection: Connection) -> None:
        for at in range(1, len(data)):
            await connection.request()
            connection.send(data[:at])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            connection.send(data[at:])

    champion = await world.stand(script)
    caller = await world.caller()
    for _ in range(1, len(data)):
        answer = await caller.ask(post())
        assert answer.body == b"abcdefg"
        assert bool(answer.all(b"transfer-encoding")) == (framing == "chunked")
    assert champion.connections == 1


async def test_the_query_is_kept_where_a_version_has_another_path(world: World) -> None:
    champion = await world.model()
    await world.serve(table(champion.at("3", "/invocations")))
    await (await world.caller()).ask(post(path=INFER + "?a=%2F&b=1"))
    assert champion.requests[0].start == b"POST /invocations?a=%2F&b=1 HTTP/1.1"


async def test_a_target_is_passed_on_byte_exact(world: World) -> None:
    champion = await world.stand()
    target = b"//a/../b;c=%2f%zz?q=%00&x[]={}|"
    await (await world.caller()).ask(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert champion.requests[0].start == b"GET %s HTTP/1.1" % target


async def test_a_model_server_on_a_unix_socket_is_served_alike(world: World, tmp_path: Path) -> None:
    champion = await world.model(unix=str(tmp_path / "m.sock"))
    await world.serve(table(champion.at("3")))
    caller = await world.caller()
    assert (await caller.ask(post())).body == b"ok"
    assert (await caller.ask(b"POST %s HTTP/1.0\r\n\r\n" % INFER.encode())).body == b"ok"
    assert champion.requests[1].one(b"host") == b"localhost"


async def test_a_request_in_flight_ends_where_it_began_when_the_table_is_swapped(world: World) -> None:
    go = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await go.wait()
        connection.send(OK)
        await connection.gone()

    old = await world.stand(script)
    new = await world.model(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew"))
    caller, other = await world.caller(), await world.caller()
    caller.send(post())
    await until(lambda: old.requests)
    world.plane.swap(table(new.at("4"), serial=2))
    answer = await other.ask(post())
    assert (answer.body, answer.one(b"sidecar-version")) == (b"new", b"4")
    go.set()
    answer = await caller.answer()
    assert (answer.body, answer.one(b"sidecar-version")) == (b"ok", b"3")
    assert (await caller.ask(post())).body == b"new"
    assert {(c.version, c.count) for c in world.counts.requests} == {("3", 1), ("4", 2)}


async def test_a_refusal_on_a_deployments_route_names_it(world: World) -> None:
    await world.serve(table(Destination("3", "127.0.0.1", 1, "", None)))
    caller = await world.caller()
    answer = await caller.ask(post(b"{}", b"x-request-id: mine"))
    assert (answer.status, answer.one(b"sidecar-error")) == (502, b"connect")
    assert (answer.one(b"x-request-id"), answer.one(b"sidecar-model")) == (b"mine", b"fraud")
    assert json.loads(answer.body)["error"] == json.loads(answer.body)["detail"]
    assert json.loads(answer.body)["status"] == 502
    assert (await caller.ask(post())).status == 502  # the connection lives on
    assert world.counts.refused == {"connect": 2}


async def test_overhead_is_measured_without_the_model_servers_time(world: World) -> None:
    champion = await world.stand(silent)
    caller = await world.caller()
    caller.send(post())
    await until(lambda: champion.requests)
    assert world.counts.overhead_count == 0
    world.later(61)
    assert (await caller.answer()).status == 504
    assert world.counts.overhead_count == 0
