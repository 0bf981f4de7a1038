from __future__ import annotations

import asyncio

import msgspec
import pytest

from sidecar.decide.routing_table import RoutingTable
from tests.proxy.scripted import INFER, Connection, RawCaller, Script, World, answering, shadow_of, table, until

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
ASK = b"%s " + INFER.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
MUCH = b"x" * 30_000_000


def allowing(made: RoutingTable) -> RoutingTable:
    routes = tuple(msgspec.structs.replace(route, upgrades=True) for route in made.routes)
    return msgspec.structs.replace(made, routes=routes)


def switching(say: bytes, then: asyncio.Event | None = None, last: bytes = b"") -> Script:
    async def script(connection: Connection) -> None:
        await connection.request()
        connection.send(SWITCH + say)
        if then is not None:
            await then.wait()
            connection.send(last)
        await connection.gone()

    return script


async def tunnel(world: World, method: bytes = b"GET") -> RawCaller:
    caller = await world.caller()
    caller.send(ASK % method)
    head = await caller.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return caller


async def test_a_tunnel_whose_caller_read_slowly_lives_on_and_gets_nothing_of_ours(world: World) -> None:
    speak = asyncio.Event()
    champion = await world.model(switching(MUCH, speak, b"bye"))
    await world.serve(allowing(table(champion.at("3"))))
    caller = await tunnel(world)
    (served,) = world.plane.callers
    await until(lambda: served._full)
    assert len(await caller.reader.readexactly(len(MUCH))) == len(MUCH)
    await until(lambda: not served._full)
    served.pause_writing()  # once more, by the transport's rules, at the very last byte
    served.resume_writing()
    world.later(40)  # longer than an answer may pause, less than a tunnel may idle
    speak.set()
    assert await caller.reader.readexactly(3) == b"bye"


async def test_a_tunnels_caller_that_reads_nothing_is_cut_in_time(world: World) -> None:
    champion = await world.model(switching(MUCH))
    await world.serve(allowing(table(champion.at("3"))))
    caller = await tunnel(world)
    (served,) = world.plane.callers
    await until(lambda: served._full)
    world.later(31)
    await world.quiet()
    assert await caller.is_cut()
    assert world.codes == {101: 1}


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_what_asks_for_a_tunnel_is_never_copied_and_holds_nothing(world: World, method: bytes) -> None:
    challenger = await world.model(answering())
    champion = await world.model(switching(b"hello"))
    await world.serve(allowing(table(champion.at("3"), shadow_of(challenger.at("4")))))
    caller = await tunnel(world, method)
    assert await caller.reader.readexactly(5) == b"hello"
    caller.close()
    await world.quiet()
    assert (challenger.requests, world.copies, world.offered) == ([], (0, 0, {}, {}), [])
