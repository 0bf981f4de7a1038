from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from sidecar.decide.routing_table import BreakerPolicy, Destination, RoutingTable, copied
from sidecar.records import Answer
from tests.proxy.scripted import (
    OK,
    Connection,
    RawCaller,
    World,
    answering,
    answering_then,
    chunked_post,
    post,
    shadow_of,
    silent,
    table,
    until,
)

JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n"


async def never_reads(connection: Connection) -> None:
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.Event().wait()


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


# --- dropped, each with its reason -------------------------------------------------------------------------------


async def test_copies_beyond_max_inflight_are_dropped(world: World) -> None:
    await world.shadowed(answering(), silent, shadow={"max_inflight": 2})
    caller = await world.caller()
    for _ in range(5):
        assert (await caller.ask(post())).status == 200
    await until(lambda: world.copies[0] == 2)
    assert world.copies == (2, 0, {}, {"inflight_limit": 3})
    world.later(6)
    await world.quiet()
    assert world.copies == (2, 0, {"timeout": 2}, {"inflight_limit": 3})
    assert len(world.offered) == 5


async def test_a_body_larger_than_the_cap_is_served_and_not_copied(world: World) -> None:
    _, challenger = await world.shadowed(answering(), answering())
    assert (await (await world.caller()).ask(post(b"x" * 100_001))).status == 200
    await world.quiet()
    assert (challenger.connections, world.copies) == (0, (0, 0, {}, {"body_too_large": 1}))
    assert (world.capture_dropped, world.offered) == ({"body_too_large": 1}, [])


async def test_bodies_are_copied_as_long_as_there_is_room_for_them(world: World) -> None:
    await world.shadowed(answering(), silent, shadow={"max_inflight": 100})
    caller = await world.caller()
    for _ in range(6):
        assert (await caller.ask(post(b"x" * 99_000))).status == 200
        assert world.plane.mirror.held_bytes <= 400_000
    await until(lambda: world.copies[0] == 4)
    assert world.copies == (4, 0, {}, {"bytes_full": 2})
    assert world.capture_dropped == {"bytes_full": 2}
    world.later(6)
    await world.quiet()
    assert len(world.offered) == 4
    assert (await caller.ask(post(b"x" * 99_000))).status == 200  # there is room again


async def test_answers_count_as_held_too_and_what_does_not_fit_is_served_all_the_same(world: World) -> None:
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n" + b"x" * 90_000
    await world.shadowed(answering(big), silent, shadow={"max_inflight": 100})
    caller = await world.caller()
    for _ in range(8):
        assert len((await caller.ask(post())).body) == 90_000
        assert world.plane.mirror.held_bytes <= 400_000
    world.later(6)
    await world.quiet()
    assert len(world.offered) == 4
    assert world.capture_dropped == {"bytes_full": 4}
    assert world.copies == (8, 0, {"timeout": 8}, {})


async def test_a_challenger_that_begins_large_answers_and_stalls_costs_others_no_copy(world: World) -> None:
    begun = b"HTTP/1.1 200 OK\r\ncontent-length: 99000\r\n\r\n" + b"x" * 98_000

    async def begins(connection: Connection) -> None:
        await connection.request()
        connection.send(begun)
        await asyncio.Event().wait()

    await world.shadowed(answering(), begins, shadow={"max_inflight": 100, "copy_bytes": 100_000})
    caller = await world.caller()
    for number in range(1, 7):
        assert (await caller.ask(post())).status == 200
        await until(lambda number=number: world.copies[0] == number)  # type: ignore[misc]
    await until(lambda: world.copies == (6, 0, {"too_large": 5}, {}))
    assert 0 < world.plane.mirror.held_bytes <= 100_000 + 100
    world.later(6)
    await world.quiet()
    assert world.copies == (6, 0, {"too_large": 5, "timeout": 1}, {})
    assert (world.capture_dropped, len(world.offered)) == ({}, 6)


async def test_bodies_still_coming_in_count_as_held(world: World) -> None:
    await world.shadowed(answering(), answering())
    callers = [await world.caller() for _ in range(6)]
    data = post(b"x" * 90_000)
    for caller in callers:
        caller.send(data[:-1])
    await until(lambda: [c._serving and c._serving.tee.size for c in world.plane.callers] == [89_999] * 6)
    assert 300_000 < world.plane.mirror.held_bytes <= 400_000
    for caller in callers:
        assert (await caller.ask(data[-1:])).status == 200
    await world.quiet()
    mirrored, answered, errors, dropped = world.copies
    assert (mirrored, answered, errors, dropped) == (4, 4, {}, {"bytes_full": 2})


@pytest.mark.parametrize(("change", "reason"), [("control_up", "control_down"), ("draining", "shutting_down")])
async def test_nothing_is_copied_without_control_or_while_stopping(world: World, change: str, reason: str) -> None:
    _, challenger = await world.shadowed(answering(), answering())
    setattr(world.plane, change, change == "draining")
    if change == "draining":
        caller = await _connected_before_the_drain(world)
    else:
        caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    await world.quiet()
    assert (challenger.connections, world.copies) == (0, (0, 0, {}, {reason: 1}))
    assert world.capture_dropped == {reason: 1}


async def _connected_before_the_drain(world: World) -> RawCaller:
    world.plane.draining = False
    caller = await world.caller()
    await until(lambda: world.plane.callers)
    world.plane.draining = True
    return caller


async def test_a_challenger_that_is_switched_off_gets_nothing(world: World) -> None:
    _, challenger = await world.shadowed(answering(), answering(), shadow={"enabled": False})
    assert (await (await world.caller()).ask(post())).status == 200
    await world.quiet()
    assert (challenger.connections, world.copies) == (0, (0, 0, {}, {"disabled": 1}))
    assert world.offered[0].shadows == ()


async def test_a_refused_connect_is_a_drop(world: World) -> None:
    champion = await world.model()
    await world.serve(table(champion.at("3"), shadow_of(Destination("4", "127.0.0.1", 1, "", None))))
    assert (await (await world.caller()).ask(post())).status == 200
    await world.quiet()
    assert world.copies == (0, 0, {}, {"connect_error": 1})
    assert world.offered[0].shadows[0].dropped == "connect_error"


async def test_a_challenger_that_cannot_be_reached_in_time_is_a_drop(world: World) -> None:
    champion = await world.model()
    await world.serve(table(champion.at("3"), shadow_of(Destination("4", "127.0.0.1", 9, "", None))))
    connect = world.loop.create_connection

    async def slowly(protocol: Callable[[], asyncio.Protocol], host: str, port: int) -> object:
        if port == 9:
            await asyncio.Event().wait()
        return await connect(protocol, host, port)

    world.loop.create_connection = slowly
    assert (await (await world.caller()).ask(post())).status == 200
    assert (world.copies, len(world.plane.mirror.legs)) == ((0, 0, {}, {}), 1)
    world.later(6)
    await world.quiet()
    assert world.copies == (0, 0, {}, {"timeout": 1})
    assert world.offered[0].shadows[0].dropped == "timeout"


# --- sent, and how it ended --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "answered", "error"),
    [
        (answering(b"HTTP/1.1 422 No\r\ncontent-length: 1\r\n\r\nx"), 1, "status_4xx"),
        (answering(b"HTTP/1.1 500 No\r\ncontent-length: 1\r\n\r\nx"), 1, "status_5xx"),
        (answering_then(b"", Connection.reset), 0, "reset"),
        (answering_then(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", Connection.close), 0, "reset"),
        (answering(b"nonsense\r\n\r\n"), 0, "malformed"),
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000), 0, "malformed"),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n" + b"x" * 100_001), 0, "too_large"),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n" + b"x" * 300_000), 0, "too_large"),
        (silent, 0, "timeout"),
        (never_reads, 0, "timeout"),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"), 0, "timeout"),
    ],
)
async def test_a_sick_challenger_is_counted_by_kind_and_no_caller_notices(
    world: World, script: Callable[[Connection], object], answered: int, error: str
) -> None:
    await world.shadowed(answering(), script)  # type: ignore[arg-type]
    caller = await world.caller()
    for number in range(3):
        async with asyncio.timeout(4):  # the copy's own time is up after 5 s
            assert (await caller.ask(post(b"x" * 90_000))).status == 200
        await until(lambda number=number: sum(world.copies[:1]) == number + 1)  # type: ignore[misc]
    if error == "timeout":
        world.later(6)
    await world.quiet()
    assert world.copies == (3, answered * 3, {error: 3}, {})
    assert [exchange.shadows[0].error for exchange in world.offered] == [error] * 3
    assert world.codes == {200: 3}


async def test_a_copy_is_never_repeated(world: World) -> None:
    async def stale(connection: Connection) -> None:
        await connection.request()
        connection.send(OK)
        await connection.request()
        connection.reset()

    _, challenger = await world.shadowed(answering(), stale)
    caller = await world.caller()
    for _ in range(2):
        await caller.ask(post())
        await world.quiet()
    assert (challenger.connections, world.counts.repeats) == (1, 0)
    assert world.copies == (2, 1, {"reset": 1}, {})


async def test_a_challenger_has_connections_of_its_own_and_reuses_them(world: World) -> None:
    both = await world.model()
    await world.serve(table(both.at("3"), shadow_of(both.at("4"))))
    caller = await world.caller()
    for _ in range(3):
        await caller.ask(post())
        await world.quiet()
    assert (both.connections, len(both.requests)) == (2, 6)


async def test_the_champions_failures_are_exchanges_too(world: World) -> None:
    await world.shadowed(answering(b"HTTP/1.1 503 No\r\ncontent-length: 1\r\n\r\nx"), answering())
    assert (await (await world.caller()).ask(post())).status == 503
    await world.quiet()
    leg = world.offered[0].champion
    assert leg.error == "status_5xx"
    assert leg.answer is not None
    assert leg.answer.status == 503


async def test_a_champions_answer_beyond_the_cap_is_served_and_not_captured(world: World) -> None:
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n" + b"x" * 100_001
    await world.shadowed(answering(big), answering())
    assert len((await (await world.caller()).ask(post())).body) == 100_001
    await world.quiet()
    assert (world.capture_dropped, world.offered, world.copies) == ({"body_too_large": 1}, [], (1, 1, {}, {}))


async def test_a_caller_that_goes_away_does_not_take_the_copy_with_it(world: World) -> None:
    go = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.request()
        await go.wait()
        connection.send(OK)

    champion, challenger = await world.shadowed(silent, slow)
    caller = await world.caller()
    caller.send(post())
    await until(lambda: champion.requests and challenger.requests)
    caller.reset()
    await until(lambda: not world.plane.callers)
    assert world.codes == {499: 1}
    go.set()
    await world.quiet()
    assert (world.copies, world.offered, world.capture_dropped) == ((1, 1, {}, {}), [], {})


async def test_a_stuck_challenger_costs_callers_nothing_and_memory_returns(world: World) -> None:
    _, challenger = await world.shadowed(answering(), never_reads, shadow={"max_inflight": 20})
    caller = await world.caller()
    for _ in range(200):
        async with asyncio.timeout(1):
            assert (await caller.ask(post(b"x" * 9_000))).status == 200
    assert world.plane.mirror.held_bytes <= 400_000
    mirrored, _, _, dropped = world.copies
    assert mirrored + sum(dropped.values()) + len([leg for leg in world.plane.mirror.legs if not leg._upstream]) == 200
    world.later(6)
    await world.quiet()
    assert len(world.offered) == 200
    mirrored, answered, errors, dropped = world.copies
    assert (mirrored + sum(dropped.values()), answered, errors) == (200, 0, {"timeout": mirrored})
    assert challenger.connections == 8  # slow start: it has not shown yet that it takes more


async def test_due_is_mirrored_and_dropped_whatever_happens(world: World) -> None:
    turns = 0

    async def moody(connection: Connection) -> None:
        nonlocal turns
        while True:
            await connection.request()
            turns += 1
            if turns % 3 == 0:
                connection.reset()
                return
            connection.send(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nok" % (200 if turns % 3 == 1 else 404))

    await world.shadowed(answering(), moody, shadow={"max_inflight": 3})
    caller = await world.caller()
    caller.send(b"".join(post() for _ in range(100)))
    for _ in range(100):
        assert (await caller.answer()).status == 200
    await world.quiet()
    mirrored, answered, errors, dropped = world.copies
    assert mirrored + sum(dropped.values()) == 100
    assert answered + errors.get("reset", 0) == mirrored
    assert len(world.offered) == 100
    assert world.codes == {200: 100}


async def test_series_exist_before_the_first_request(world: World) -> None:
    await world.shadowed(answering(), answering())
    (counted,) = world.counts.shadows
    assert (counted.deployment, counted.generation, counted.champion, counted.version) == ("fraud", 7, "3", "4")
    assert set(counted.errors.values()) == set(counted.dropped.values()) == {0}
    assert len(counted.errors) == 7
    assert "shutting_down" in counted.dropped


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


async def test_a_body_that_is_kept_for_a_repeat_alone_counts_as_held_too(world: World) -> None:
    await world.shadowed(silent, answering())
    world.plane.control_up = False
    callers = [await world.caller() for _ in range(5)]
    for caller in callers:
        caller.send(post(b"x" * 90_000))
    await until(lambda: sum(world.copies[3].values()) == 5)
    assert 300_000 < world.plane.mirror.held_bytes <= 400_000
    for caller in callers:
        caller.reset()
    await world.quiet()


async def test_copies_from_before_a_new_policy_do_not_move_its_breaker(world: World) -> None:
    champion, challenger = await world.model(answering()), await world.model(silent)

    def ruled(failures: int) -> RoutingTable:
        policy = BreakerPolicy(failures=failures)
        return table(champion.at("3"), shadow_of(challenger.at("4"), breaker=policy), serial=failures)

    await world.serve(ruled(5))
    await (await world.caller()).ask(post())
    await until(lambda: challenger.requests)
    world.plane.swap(ruled(1))
    world.later(6)
    await world.quiet()
    assert (world.copies[2], world.counts.shadows[0].breaker) == ({"timeout": 1}, "closed")


async def test_connections_that_are_given_up_under_pressure_are_counted(world: World) -> None:
    await world.stand()
    idle, asking, closing = [await world.caller() for _ in range(3)]
    for caller in (idle, asking, closing):
        await caller.ask(post())
    asking.send(post(b"abc")[:-1])
    await until(lambda: world.counts.inflight)
    world.plane.weigh(0.91)
    assert await idle.rest() == b""
    assert await closing.rest() == b""
    assert (await asking.ask(b"c")).one(b"connection") == b"close"
    assert await asking.rest() == b""
    assert world.counts.sacrificed == {"keep_alive": 3, "requests": 0}
    world.plane.weigh(0.1)
    await (await world.caller()).ask(post(b"{}", b"Connection: close"))
    assert world.counts.sacrificed == {"keep_alive": 3, "requests": 0}


async def test_copies_that_fail_to_begin_cost_the_caller_nothing_and_leave_nothing_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> bool:
        raise RuntimeError("a fault of our own, where the body is already counted")

    await world.shadowed(answering(), answering(), shadow={"fraction": 0.5})
    monkeypatch.setattr("sidecar.proxy.mirror.copied", fault)
    assert (await (await world.caller()).ask(post(b"x" * 1_000))).status == 200
    assert world.capture_dropped == {"failed": 1}
    await world.quiet()
    assert world.offered == []
