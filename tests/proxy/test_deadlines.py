"""Whatever takes too long ends: time is moved, nobody waits for it."""

from __future__ import annotations

import asyncio

from tests.proxy.scripted import OK, Connection, World, answering, post, silent, until


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
