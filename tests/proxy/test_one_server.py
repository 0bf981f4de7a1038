"""Binary tensors are captured with the length of their JSON; what only one server may get is not copied."""

from __future__ import annotations

import msgspec
import pytest

from tests.proxy.scripted import INFER, World, answering, post, shadow_of, table

BINARY = (
    b"HTTP/1.1 200 OK\r\ninference-header-content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{}ab\r\n0\r\n\r\n"
)
SEQUENCE = b'{"parameters":{"sequence_id":7},"inputs":[]}'


async def test_the_exchange_knows_how_much_of_each_body_is_json(world: World) -> None:
    await world.shadowed(answering(BINARY), answering())
    caller = await world.caller()
    for _ in range(2):  # the second time the head is known
        answer = await caller.ask(post(b"{}\0\0\0\0", b"Inference-Header-Content-Length: 2"))
        assert answer.body == b"{}ab"
    await world.quiet()
    assert [exchange.json_bytes for exchange in world.offered] == [2, 2]
    for exchange in world.offered:
        assert exchange.champion.answer is not None
        assert exchange.champion.answer.json_bytes == 2
        assert exchange.shadows[0].answer is not None
        assert exchange.shadows[0].answer.json_bytes == -1


async def test_a_sequence_is_served_and_captured_and_its_copy_is_dropped(world: World) -> None:
    champion, challenger = await world.shadowed(answering(), answering())
    caller = await world.caller()
    await caller.ask(post(SEQUENCE))
    await caller.ask(post(b'{"inputs":[{"name":"sequence_id"}]}'))
    await world.quiet()
    assert champion.requests[0].body == SEQUENCE
    assert len(challenger.requests) == 1
    assert [len(exchange.shadows) for exchange in world.offered] == [0, 1]
    assert world.copies == (1, 1, {}, {"stateful": 1})
    assert world.plane.mirror.held_bytes == 0


@pytest.mark.parametrize(
    ("protocol", "match", "path", "copied"),
    [
        ("oip", "/score", "/score", False),
        ("auto", "/score", "/score", True),
        ("auto", INFER, INFER, False),
        ("auto", "/", INFER, False),
        ("auto", "/seldon/", "/seldon" + INFER, False),
        ("auto", "/", "/score", True),
        ("json", INFER, INFER, True),
    ],
)
async def test_it_is_looked_for_only_where_the_words_can_mean_it(
    world: World, protocol: str, match: str, path: str, copied: bool
) -> None:
    champion, challenger = await world.shadowed(answering(), answering())
    routes = table(champion.at("3"), shadow_of(challenger.at("4")), serial=2)
    route = msgspec.structs.replace(routes.routes[0], match=match, prefix=match.endswith("/"), protocol=protocol)
    world.plane.swap(msgspec.structs.replace(routes, routes=(route,)))
    await (await world.caller()).ask(post(SEQUENCE, path=path))
    await world.quiet()
    assert len(challenger.requests) == copied
