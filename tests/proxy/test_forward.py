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
    await asyncio.wait_for(first.wait(), 5)  # the champion reads although two thirds have not come
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
    await until(lambda: [c for c in world.plane.callers if c._full], within_s=10)
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
    await world.stand(answering(ANSWERS["chunked"]))
    caller = await world.caller()
    answer = await caller.ask(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (answer.body, answer.all(b"transfer-encoding"), answer.one(b"connection")) == (b"abcdefg", [], b"close")


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
        await asyncio.wait_for(gone.wait(), 5)


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
    await asyncio.wait_for(closed.wait(), 5)


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
