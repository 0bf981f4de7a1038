"""A request's trace and its log lines, at the wire: what each leg is sent, what control and the log are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.decide import routing_table
from sidecar.proxy.access_log import AccessLog
from sidecar.wire.trace_context import TraceContext, parse
from tests.proxy.messages import Message
from tests.proxy.scripted import OK, Connection, World, answering, post, shadow_of, table, until

TRACE_ID, CALLER = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
GIVEN = b"00-%s-%s-01" % (TRACE_ID, CALLER)


def sent(message: Message) -> TraceContext:
    context = parse(message.one(b"traceparent"))
    assert context is not None
    return context


async def asked(world: World, *lines: bytes) -> tuple[Message, Message]:
    """The request as the champion and as the challenger got it."""
    champion, challenger = await world.shadowed(answering(), answering())
    caller = await world.caller()
    await caller.ask(post(b"{}", *lines))
    await until(lambda: world.offered)
    return champion.requests[0], challenger.requests[0]


async def test_each_leg_is_a_span_of_its_own_in_the_callers_trace(world: World) -> None:
    champion, challenger = await asked(world, b"traceparent: " + GIVEN, b"tracestate: rojo=1,congo=2")

    legs = sent(champion), sent(challenger)
    assert {leg.trace_id for leg in legs} == {TRACE_ID}
    assert {leg.flags for leg in legs} == {b"01"}
    assert len({CALLER, *(leg.parent_id for leg in legs)}) == 3
    assert champion.one(b"tracestate") == challenger.one(b"tracestate") == b"rojo=1,congo=2"


async def test_control_is_told_the_ids_that_were_sent(world: World) -> None:
    champion, challenger = await asked(world, b"traceparent: " + GIVEN)
    (exchange,) = world.offered

    assert exchange.trace is not None
    assert (exchange.trace.trace_id, exchange.trace.parent_id) == (TRACE_ID.decode(), CALLER.decode())
    assert exchange.champion.span_id == sent(champion).parent_id.decode()
    assert exchange.shadows[0].span_id == sent(challenger).parent_id.decode()
    assert len({exchange.trace.span_id, exchange.champion.span_id, exchange.shadows[0].span_id}) == 3
    assert 0.0 <= exchange.trace.sent_s < 5.0


async def test_a_trace_that_nobody_records_goes_on_and_control_hears_nothing_of_it(world: World) -> None:
    champion, challenger = await asked(world, b"traceparent: " + GIVEN[:-2] + b"00")

    assert (sent(champion).flags, sent(challenger).flags) == (b"00", b"00")
    assert world.offered[0].trace is None


@pytest.mark.parametrize(
    "lines",
    [
        (b"traceparent: 00-zz",),
        (b"traceparent: " + GIVEN.upper(),),
        (b"traceparent: " + GIVEN, b"TraceParent: " + GIVEN),
        (b"traceparent:",),
    ],
    ids=["nonsense", "upper case", "two", "empty"],
)
async def test_what_is_no_trace_goes_on_byte_for_byte(lines: tuple[bytes, ...], world: World) -> None:
    champion, challenger = await asked(world, *lines)

    given = [line.partition(b":")[2].strip() for line in lines]
    assert champion.all(b"traceparent") == challenger.all(b"traceparent") == given
    assert world.offered[0].trace is None


async def test_no_trace_is_invented(world: World) -> None:
    champion, challenger = await asked(world)

    assert champion.all(b"traceparent") == challenger.all(b"traceparent") == []
    assert world.offered[0].trace is None


async def closing_under_the_second(connection: Connection) -> None:
    """Answers once; the next request finds the connection closed."""
    await connection.request()
    connection.send(OK)
    await connection.request()
    connection.reset()


async def test_a_request_that_is_sent_again_keeps_its_span(world: World) -> None:
    champion = await world.model(closing_under_the_second, answering())
    challenger = await world.model()
    await world.serve(table(champion.at("3"), shadow_of(challenger.at("4"))))
    caller = await world.caller()
    for _ in range(2):
        await caller.ask(post(b"{}", b"traceparent: " + GIVEN))
    await until(lambda: len(world.offered) == 2)

    assert world.counts.repeats == 1
    first, again = (sent(request).parent_id for request in champion.requests[1:])
    assert first == again == world.offered[-1].champion.span_id.encode()


def logged(world: World, path: Path) -> AccessLog:
    log = world.plane.access_log = AccessLog(1)
    log.adapt(routing_table.AccessLog(1.0, str(path)))
    return log


async def lines_of(log: AccessLog, path: Path) -> list[dict[str, Any]]:
    await log.close(5.0)
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_a_request_and_its_copy_are_logged_under_one_id_and_nothing_secret(world: World, tmp_path: Path) -> None:
    await world.shadowed(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-of: hidden\r\n\r\nhidden"), answering())
    log = logged(world, tmp_path / "access.log")
    caller = await world.caller()
    secrets = (b"authorization: Bearer hidden", b"cookie: a=hidden", b"x-request-id: r-1", b"traceparent: " + GIVEN)
    await caller.ask(post(b'{"hidden": 1}', *secrets, path="/v2/models/fraud/infer?token=hidden"))
    await until(lambda: world.offered)
    lines = await lines_of(log, tmp_path / "access.log")

    assert b"hidden" not in (tmp_path / "access.log").read_bytes()
    request, copy = sorted(lines, key=lambda line: str(line["leg"]))
    assert (request["leg"], copy["leg"]) == ("champion", "shadow")
    for name, value in (("request_id", "r-1"), ("trace_id", TRACE_ID.decode()), ("deployment", "fraud")):
        assert request[name] == copy[name] == value
    assert (request["version"], copy["version"]) == ("3", "4")
    assert (request["status"], request["request_bytes"], request["answer_bytes"]) == (200, 13, 6)
    assert (request["method"], request["path"], request["error"]) == ("POST", "/v2/models/fraud/infer", None)
    assert (copy["status"], copy["answer_bytes"], copy["error"], copy["dropped"]) == (200, 2, None, None)
    assert request["duration_ms"] == pytest.approx(request["overhead_ms"] + request["upstream_ms"], abs=0.01)


async def test_a_champion_that_is_away_is_logged_with_its_reason(world: World, tmp_path: Path) -> None:
    champion = await world.stand()
    to = msgspec.structs.replace(champion.at("3"), port=1)
    world.plane.swap(table(to, serial=2))
    log = logged(world, tmp_path / "access.log")
    caller = await world.caller()
    answer = await caller.ask(post())
    (line,) = await lines_of(log, tmp_path / "access.log")

    assert (line["status"], line["error"]) == (502, answer.one(b"sidecar-error").decode())
    assert (line["overhead_ms"], line["upstream_ms"]) == (None, None)
