"""A canary: whose answer the caller gets, that nobody loses a request by it, and what control hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sidecar.decide.routing_table import CanaryRoute, RoutingTable, Shadow
from sidecar.records import Exchange, ShadowCounts
from tests.proxy.scripted import (
    OK,
    Connection,
    ModelServer,
    Script,
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

BY_THREE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthree"
BY_FOUR = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour"
FIVE_HUNDRED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 3\r\n\r\nbad"
FOUR_HUNDRED = b"HTTP/1.1 422 Unprocessable Entity\r\ncontent-length: 300\r\n\r\nhalf"


async def stand(
    world: World,
    canary: Script | None,
    champion: Script | None = None,
    *others: Shadow,
    weight: float = 1.0,
    shadow: dict[str, Any] | None = None,
    sticky: str = "",
    **bounds: Any,
) -> tuple[ModelServer, ModelServer]:
    """Champion 3, and version 4 that answers a share; `canary` None: nobody listens there."""
    first, second = await world.model(champion or answering(BY_THREE)), await world.model(canary or answering(BY_FOUR))
    four = shadow_of(second.at("4"), **(shadow or {}))
    if canary is None:
        await second.stop()
    made = with_canary(table(first.at("3"), four, *others, **bounds), weight, sticky)
    await world.serve(made)
    return first, second


def with_canary(made: RoutingTable, weight: float, sticky: str = "") -> RoutingTable:
    route = made.routes[0]
    copies = shadow_of(route.champion)
    canary = CanaryRoute(route.shadows[0].to.version, weight, "fraud\n4\n7", copies)
    routes = (msgspec.structs.replace(route, canary=canary, sticky=sticky),)
    return msgspec.structs.replace(made, routes=routes)


async def ask(world: World, *headers: bytes, body: bytes = b"{}") -> tuple[bytes, str]:
    """The answer's body, and which version it says that it is from."""
    caller = await world.caller()
    answer = await caller.ask(post(body, *headers))
    return answer.body, answer.one(b"sidecar-version").decode()


def counts(world: World, champion: str, version: str) -> ShadowCounts:
    (found,) = (each for each in world.counts.shadows if (each.champion, each.version) == (champion, version))
    return found


def seen(exchange: Exchange) -> tuple[str, str, list[tuple[str, str | None, str | None]]]:
    legs = [(leg.version, leg.error, leg.dropped) for leg in (exchange.champion, *exchange.shadows)]
    return exchange.canary, exchange.served.version, legs


async def test_the_canary_answers_and_the_champion_scores_the_same_request_once(world: World) -> None:
    champion, canary = await stand(world, answering(BY_FOUR))
    assert await ask(world, b"authorization: t", b"x-request-id: r1", body=b'{"a":1}') == (b"four", "4")
    await world.quiet()
    assert [request.body for request in (*champion.requests, *canary.requests)] == [b'{"a":1}', b'{"a":1}']
    assert canary.requests[0].one(b"authorization") == b"t"
    assert not any(name == b"sidecar-shadow" for name, _ in canary.requests[0].headers)
    assert champion.requests[0].one(b"sidecar-shadow") == b"3"
    (exchange,) = world.offered
    assert seen(exchange) == ("4", "4", [("3", None, None), ("4", None, None)])
    assert (exchange.champion.answer or exchange.shadows[0].answer).body == b"three"  # type: ignore[union-attr]
    assert exchange.served.answer is not None
    assert exchange.served.answer.body == b"four"
    assert {(each.version, each.code, each.count) for each in world.counts.requests} == {("4", 200, 1)}
    mine, copies = counts(world, "3", "4"), counts(world, "4", "3")
    assert (mine.mirrored, mine.answered, sum(mine.errors.values())) == (1, 1, 0)
    assert (copies.mirrored, copies.answered, sum(copies.dropped.values())) == (1, 1, 0)


def _reset(connection: Connection) -> None:
    connection.reset()


async def gone_at_once(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def gone_midway_through_the_head(connection: Connection) -> None:
    await connection.request()
    connection.send(b"HTTP/1.1 200 O")
    await connection.writer.drain()
    connection.reset()


@pytest.mark.parametrize(
    ("canary", "kind"),
    [
        (None, "connect"),
        (gone_at_once, "reset"),
        (gone_midway_through_the_head, "reset"),
        (answering(FIVE_HUNDRED), "status_5xx"),
        (answering(FOUR_HUNDRED), "status_4xx"),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"), "malformed"),
    ],
)
async def test_a_caller_loses_no_request_by_a_canary_that_fails(world: World, canary: Script | None, kind: str) -> None:
    champion, _ = await stand(world, canary)
    caller = await world.caller()
    for number in range(3):
        answer = await caller.ask(post(b'{"a":%d}' % number))
        assert (answer.status, answer.body, answer.one(b"sidecar-version")) == (200, b"three", b"3")
    await world.quiet()
    # The champion is asked once for each, for the answer itself, and the canary gets no copy of what it has failed.
    assert [request.body for request in champion.requests] == [b'{"a":%d}' % number for number in range(3)]
    assert not any(name == b"sidecar-shadow" for request in champion.requests for name, _ in request.headers)
    mine = counts(world, "3", "4")
    assert (mine.mirrored, {name: n for name, n in mine.errors.items() if n}) == (3, {kind: 3})
    assert counts(world, "4", "3").mirrored == 0
    assert [seen(exchange) for exchange in world.offered] == [("4", "3", [("3", None, None), ("4", kind, None)])] * 3
    assert {(each.version, each.code, each.count) for each in world.counts.requests} == {("3", 200, 3)}


async def test_a_canary_that_never_answers_costs_its_timeout_and_no_request(world: World) -> None:
    champion, canary = await stand(world, silent, shadow={"timeout_s": 5.0})
    caller = await world.caller()
    caller.send(post(b"{}"))
    await until(lambda: canary.requests)
    world.later(3)
    assert not champion.requests
    world.later(3)
    assert (await caller.answer()).body == b"three"
    await world.quiet()
    assert counts(world, "3", "4").errors["timeout"] == 1


async def test_a_connection_to_the_canary_that_comes_too_late_gets_no_request(world: World) -> None:
    champion, canary = await stand(world, answering(BY_FOUR))
    real, waiting = world.loop.create_connection, []

    async def slow(make: Callable[[], Any], host: str, port: int, **rest: Any) -> Any:
        if port == canary.port:
            waiting.append(asyncio.Event())
            await waiting[-1].wait()
        return await real(make, host, port, **rest)

    world.loop.create_connection = slow
    caller = await world.caller()
    caller.send(post(b"{}"))
    await until(lambda: waiting)
    (journey,) = (each._serving for each in world.plane.callers)
    assert journey is not None
    journey.expire("connect")
    assert (await caller.answer()).body == b"three"
    waiting[0].set()
    await until(lambda: canary.connections)
    await world.quiet()
    assert (len(champion.requests), len(canary.requests)) == (1, 0)
    assert (await caller.ask(post(b"{}"))).body == b"four"  # on the connection that came late


async def test_an_answer_that_has_begun_is_cut_and_the_failure_is_the_canarys(world: World) -> None:
    begun = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
    champion, _ = await stand(world, answering_then(begun, _reset))
    caller = await world.caller()
    caller.send(post(b"{}"))
    assert await caller.is_cut()
    await world.quiet()
    assert counts(world, "3", "4").errors["reset"] == 1
    assert [request.one(b"sidecar-shadow") for request in champion.requests] == [b"3"]
    assert [seen(exchange) for exchange in world.offered] == [("4", "3", [("3", None, None), ("4", "reset", None)])]


async def test_a_caller_that_goes_away_says_nothing_of_the_canary(world: World) -> None:
    _, canary = await stand(world, silent)
    caller = await world.caller()
    caller.send(post(b"{}"))
    await until(lambda: canary.requests)
    caller.reset()
    await world.quiet()
    mine = counts(world, "3", "4")
    assert (mine.mirrored, sum(mine.errors.values()), world.offered) == (0, 0, [])


async def test_a_canary_with_an_open_breaker_is_not_asked(world: World) -> None:
    champion, _ = await stand(world, None)
    caller = await world.caller()
    for _ in range(7):
        assert (await caller.ask(post(b"{}"))).body == b"three"
    await world.quiet()
    mine = counts(world, "3", "4")
    # Five failures open it; the others are the champion's requests, and no copy goes out either.
    assert (mine.errors["connect"], mine.dropped["breaker_open"], mine.breaker) == (5, 2, "open")
    assert len(champion.requests) == 7


async def test_the_share_is_sticky_by_request_id_and_grows_without_changing_sides(world: World) -> None:
    _champion, _canary = await stand(world, answering(BY_FOUR), weight=0.25)
    caller = await world.caller()

    async def asked() -> set[int]:
        mine = set()
        for number in range(400):
            answer = await caller.ask(post(b"{}", b"x-request-id: req-%d" % number))
            if answer.one(b"sidecar-version") == b"4":
                mine.add(number)
        return mine

    first = await asked()
    assert 60 < len(first) < 140
    assert await asked() == first
    world.plane.swap(with_canary(world.plane.table, 0.5))
    wider = await asked()
    assert first < wider
    assert 150 < len(wider) < 250
    await world.quiet()


async def test_the_configured_header_decides_where_a_caller_has_one(world: World) -> None:
    await stand(world, answering(BY_FOUR), weight=0.5, sticky="x-user")
    caller = await world.caller()
    sides = {}
    for user in range(40):
        versions = set()
        for turn in range(3):
            lines = b"x-user: u%d" % user, b"x-request-id: %d-%d" % (user, turn)
            versions.add((await caller.ask(post(b"{}", *lines))).one(b"sidecar-version"))
        assert len(versions) == 1
        sides[user] = versions.pop()
    assert set(sides.values()) == {b"3", b"4"}
    await world.quiet()


@pytest.mark.parametrize("state", ["control_up", "control_reads", "draining", "capture", "shadow"])
async def test_nobody_is_asked_whom_nobody_would_judge(world: World, state: str) -> None:
    champion, canary = await stand(world, answering(BY_FOUR))
    plane = world.plane
    if state in ("capture", "shadow"):
        setattr(plane.sacrifices, state, True)
    else:
        setattr(plane, state, state == "draining")
    assert (await ask(world))[0] == b"three"
    await world.quiet()
    asked = [
        request for request in canary.requests if not any(name == b"sidecar-shadow" for name, _ in request.headers)
    ]
    assert (len(champion.requests), asked) == (1, [])


async def test_only_what_is_copied_goes_to_a_canary(world: World) -> None:
    champion, canary = await stand(world, answering(BY_FOUR))
    caller = await world.caller()
    head = b"GET /v2/models/fraud/infer HTTP/1.1\r\nhost: a\r\n\r\n"
    assert (await caller.ask(head)).body == b"three"
    assert (await caller.ask(post(b"{}", b"sidecar-shadow: 9"))).body == b"three"
    sequence = b'{"parameters":{"sequence_id":7},"inputs":[]}'
    assert (await caller.ask(post(sequence))).body == b"three"
    await world.quiet()
    assert (len(champion.requests), len(canary.requests)) == (3, 0)


async def test_a_body_in_pieces_is_waited_for_and_a_large_one_is_the_champions(world: World) -> None:
    champion, canary = await stand(world, answering(BY_FOUR), mirror_body_bytes=300_000)
    caller = await world.caller()
    whole = post(b"x" * 290_000)
    await caller.send_slowly(*(whole[at : at + 9_000] for at in range(0, len(whole), 9_000)))
    assert (await caller.answer()).body == b"four"
    await caller.send_slowly(*(chunked_post(b"ab", b"c")[at : at + 7] for at in range(0, 300, 7)))
    assert (await caller.answer()).body == b"four"
    large = chunked_post(*([b"y" * 50_000] * 12))
    await caller.send_slowly(*(large[at : at + 30_000] for at in range(0, len(large), 30_000)))
    assert (await caller.answer()).body == b"three"
    await world.quiet()
    assert [len(request.body) for request in canary.requests] == [290_000, 3]
    assert [len(request.body) for request in champion.requests] == [290_000, 3, 600_000]


async def test_a_body_in_pieces_goes_to_the_champion_where_the_canary_is_down(world: World) -> None:
    champion, _ = await stand(world, None)
    caller = await world.caller()
    whole = post(b"x" * 90_000)
    await caller.send_slowly(*(whole[at : at + 9_000] for at in range(0, len(whole), 9_000)))
    assert (await caller.answer()).body == b"three"
    await world.quiet()
    assert [len(request.body) for request in champion.requests] == [90_000]


async def test_other_challengers_get_their_copies_once_whoever_answers(world: World) -> None:
    five = await world.model(answering(OK))
    for canary in (answering(BY_FOUR), answering(FIVE_HUNDRED)):
        five.requests.clear()
        world.offered.clear()
        await stand(world, canary, None, shadow_of(five.at("5")))
        await ask(world)
        await until(lambda: world.offered)
        await world.quiet()
        assert len(five.requests) == 1
        (exchange,) = world.offered
        assert sorted(leg.version for leg in exchange.shadows) == ["4", "5"]
        world.server.close()
        for caller in world.callers:
            caller.reset()
        await until(lambda: not world.plane.callers)


async def test_where_the_champion_gets_no_copy_the_answer_is_told_all_the_same(world: World) -> None:
    champion, _canary = await stand(world, answering(BY_FOUR))
    await champion.stop()
    assert await ask(world) == (b"four", "4")
    await world.quiet()
    assert [seen(exchange) for exchange in world.offered] == [
        ("4", "4", [("3", None, "connect_error"), ("4", None, None)])
    ]
    assert counts(world, "4", "3").dropped["connect_error"] == 1


async def test_a_table_without_the_canary_sends_the_next_request_to_the_champion(world: World) -> None:
    _champion, canary = await stand(world, answering(BY_FOUR))
    caller = await world.caller()
    assert (await caller.ask(post(b"{}"))).body == b"four"
    route = msgspec.structs.replace(world.plane.table.routes[0], canary=None)
    world.plane.swap(msgspec.structs.replace(world.plane.table, routes=(route,)))
    assert (await caller.ask(post(b"{}"))).body == b"three"
    await world.quiet()
    assert canary.requests[-1].one(b"sidecar-shadow") == b"4"
