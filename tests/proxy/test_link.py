from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.proxy.link import UNREAD_TICKS, Link
from sidecar.records import Acknowledged, Hello, Offered, WorkerCounts, WorkerFrame
from sidecar.wire.frames import FrameReader, frame
from tests.proxy.scripted import World, answering, post, table, until


class Control:
    """Control's end: decodes frames, sends bytes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.frames: list[Any] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self._server: asyncio.Server

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        frames = FrameReader()
        decoder = msgspec.msgpack.Decoder(WorkerFrame)
        try:
            while True:
                await self.reading.wait()
                data = await reader.read(65536)
                if not data:
                    break
                self.frames += [decoder.decode(content) for content in frames.feed(data)]
        except (OSError, asyncio.CancelledError):
            pass
        writer.close()

    async def stop(self) -> None:
        self._server.close()
        self.reading.set()
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()
        for _ in range(5):
            await asyncio.sleep(0)

    def of(self, kind: type) -> list[Any]:
        return [received for received in self.frames if isinstance(received, kind)]


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    control = Control(str(tmp_path / "link.sock"))
    await control.start()
    yield control
    await control.stop()


@pytest.fixture
async def link(world: World, control: Control) -> AsyncIterator[Link]:
    await world.shadowed(answering(), answering())
    world.plane.control_up = False
    link = Link(asyncio.get_running_loop(), world.plane, control.path, "w0")
    world.plane.offer = link.offer
    yield link
    await link.close(0.1)


async def connect(world: World, link: Link) -> None:
    link.tick()
    await until(lambda: world.plane.control_up)


async def test_a_worker_says_who_it_is_what_it_routes_by_and_what_it_counts(
    world: World, control: Control, link: Link
) -> None:
    await connect(world, link)
    await until(lambda: control.of(WorkerCounts))
    hello, acknowledged, counts = control.frames[:3]
    assert isinstance(hello, Hello)
    assert hello.worker == "w0"
    assert hello.pid > 1
    assert acknowledged == Acknowledged("w0", 1)
    assert counts.worker == "w0"
    assert counts.shadows[0].version == "4"


async def test_an_exchange_arrives_as_it_was(world: World, control: Control, link: Link) -> None:
    await connect(world, link)
    await (await world.caller()).ask(post(b"\x00\xff", b"x-request-id: r"))
    await until(lambda: control.of(Offered))
    (offered,) = control.of(Offered)
    assert (offered.exchange.request_id, offered.exchange.body) == ("r", b"\x00\xff")
    assert offered.exchange.champion.answer.body == offered.exchange.shadows[0].answer.body == b"ok"


async def test_what_control_does_not_read_is_bounded_and_counted(world: World, control: Control, link: Link) -> None:
    await connect(world, link)
    control.reading.clear()
    caller = await world.caller()
    for _ in range(60):
        assert (await caller.ask(post(b"x" * 90_000))).status == 200
        await world.quiet()
        link.tick()
        assert link.pending_bytes < 1_000_000 + 100_000
    dropped = world.capture_dropped["bytes_full"]
    assert dropped > 10
    for _ in range(500):
        link.tick()
    assert link.pending_bytes < 1_000_000 + 100_000
    control.reading.set()
    await until(lambda: len(control.of(Offered)) == 60 - dropped)


async def test_without_control_traffic_goes_on_and_the_link_comes_back(
    world: World, control: Control, link: Link
) -> None:
    await connect(world, link)
    await until(lambda: control.writers)  # or it would be accepted after the stop, and stay
    await control.stop()
    await until(lambda: not world.plane.control_up)
    link.tick()  # nobody there
    caller = await world.caller()
    assert (await caller.ask(post())).status == 200
    assert world.copies[3] == {"control_down": 1}
    await control.start()
    await until(lambda: link._connecting is None or link._connecting.done())
    await connect(world, link)
    assert (await caller.ask(post())).status == 200
    await until(lambda: control.of(Offered))


async def test_an_exchange_that_ends_after_control_left_is_counted(world: World, control: Control, link: Link) -> None:
    await connect(world, link)
    await (await world.caller()).ask(post())
    await until(lambda: link._batch_exchanges == 1)
    await until(lambda: control.writers)
    await control.stop()
    await until(lambda: not world.plane.control_up)
    assert world.capture_dropped == {"control_down": 1}
    assert link.pending_bytes == 0


async def test_a_new_table_is_routed_by_and_acknowledged(world: World, control: Control, link: Link) -> None:
    await connect(world, link)
    await until(lambda: control.writers)
    new = table(world.servers[1].at("4"), serial=9)
    data = frame(msgspec.msgpack.encode(new))
    control.writers[0].write(data[:10])
    await asyncio.sleep(0)
    control.writers[0].write(data[10:])
    await until(lambda: Acknowledged("w0", 9) in control.frames)
    assert world.plane.table == new
    assert (await (await world.caller()).ask(post())).one(b"sidecar-version") == b"4"


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", frame(b"\xc1"), frame(msgspec.msgpack.encode([1, 2]))])
async def test_garbage_from_control_ends_the_link_and_nothing_else(
    world: World, control: Control, link: Link, garbage: bytes
) -> None:
    await connect(world, link)
    await until(lambda: control.writers)
    control.writers[0].write(garbage)
    await until(lambda: not world.plane.control_up)
    assert world.plane.table.serial == 1
    assert (await (await world.caller()).ask(post())).status == 200
    await connect(world, link)


async def test_closing_sends_the_last_counts(world: World, control: Control, link: Link) -> None:
    await connect(world, link)
    await (await world.caller()).ask(post())
    await world.quiet()
    await link.close(1.0)
    await until(lambda: control.of(WorkerCounts) and control.of(WorkerCounts)[-1].requests)
    assert control.of(Offered)
    await until(lambda: not world.plane.control_up)


async def test_closing_without_control_does_not_try_to_connect(world: World, control: Control, link: Link) -> None:
    await link.close(0.1)
    assert link._connecting is None


async def test_a_control_that_hangs_is_told_from_one_that_reads(world: World, control: Control, link: Link) -> None:
    await connect(world, link)
    control.reading.clear()
    caller = await world.caller()
    for _ in range(30):  # more than the socket holds
        await caller.ask(post(b"x" * 90_000))
        await world.quiet()
    link.flush()
    for _ in range(UNREAD_TICKS):
        link.tick()
        assert world.plane.control_reads
    for _ in range(2):
        link.tick()
    assert not world.plane.control_reads
    control.reading.set()
    await until(lambda: not link.pending_bytes)
    link.tick()
    assert world.plane.control_reads
