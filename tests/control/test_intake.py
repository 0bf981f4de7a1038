from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.config import Settings
from sidecar.control import intake as taking
from sidecar.control.intake import Intake
from sidecar.decide.routing import routing_table
from sidecar.decide.routing_table import RoutingTable
from sidecar.records import Acknowledged, Exchange, Hello, Offered, WorkerCounts
from sidecar.wire.frames import FrameReader, frame
from tests.control.live_samples import deployment, exchange, shadow_counts, state, worker_counts


def table(serial: int) -> RoutingTable:
    return routing_table(Settings(deployments=(deployment(),)), {"fraud": state()}, serial)


def framed(*contents: Any) -> bytes:
    return b"".join(frame(msgspec.msgpack.encode(content)) for content in contents)


class Heard:
    """What an intake told its owners."""

    def __init__(self, path: Path) -> None:
        self.exchanges: list[Exchange] = []
        self.counts: list[WorkerCounts] = []
        self.left: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.fault: Callable[[], None] = lambda: None
        self.path = str(path / "link.sock")
        self.intake = Intake(self.path, self.exchange, self.counts.append, self.left.append)

    def exchange(self, offered: Exchange) -> None:
        self.fault()
        self.exchanges.append(offered)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        self.writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        self.intake.close()
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await asyncio.sleep(0.01)  # both ends' sockets are given back

    def publish(self, serial: int) -> None:
        made = table(serial)
        self.intake.publish(made, msgspec.msgpack.encode(made))


@pytest.fixture
async def heard(tmp_path: Path) -> AsyncIterator[Heard]:
    listening = Heard(tmp_path)
    await listening.intake.open()
    yield listening
    await listening.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.001)


async def received(reader: asyncio.StreamReader) -> RoutingTable:
    cutter = FrameReader()
    async with asyncio.timeout(30):
        while True:
            for content in cutter.feed(await reader.read(65536)):
                return msgspec.msgpack.decode(content, type=RoutingTable)


async def test_each_frame_goes_to_whom_it_concerns(heard: Heard) -> None:
    _, writer = await heard.connect()
    writer.write(framed(Hello("w0-1", 7), Offered(exchange(1)), worker_counts("w0-1", shadow_counts(3))))
    await until(lambda: bool(heard.counts))
    assert [e.request_id for e in heard.exchanges] == ["id-1"]
    writer.close()
    await until(lambda: heard.left == ["w0-1"])


async def test_a_table_reaches_workers_that_are_here_and_those_that_come(heard: Heard) -> None:
    early, _writer = await heard.connect()
    await until(lambda: bool(heard.intake._workers))
    heard.publish(1)
    assert (await received(early)).serial == 1
    late, _other = await heard.connect()
    assert (await received(late)).serial == 1


async def test_a_table_is_settled_once_every_worker_routes_by_it(heard: Heard) -> None:
    heard.publish(1)
    assert await heard.intake.wait_acknowledged(0.0), "nobody has to be waited for"
    assert not heard.intake.acknowledged(), "but nobody routes either"
    writers = [(await heard.connect())[1] for _ in range(2)]
    await until(lambda: len(heard.intake._workers) == 2)
    waiting = asyncio.create_task(heard.intake.wait_acknowledged(5.0))
    writers[0].write(framed(Acknowledged("w0", 1)))
    writers[1].write(framed(Acknowledged("w1", 9)))  # a table from before control's restart
    await until(lambda: 9 in heard.intake._workers.values())
    assert not waiting.done()
    writers[1].write(framed(Acknowledged("w1", 1)))
    assert await waiting
    assert heard.intake.acknowledged()


async def test_a_worker_that_is_late_is_not_waited_for_longer_than_said(heard: Heard) -> None:
    await heard.connect()
    await until(lambda: bool(heard.intake._workers))
    heard.publish(1)
    assert not await heard.intake.wait_acknowledged(0.01)


async def test_a_worker_that_leaves_is_not_waited_for(heard: Heard) -> None:
    _, writer = await heard.connect()
    await until(lambda: bool(heard.intake._workers))
    heard.publish(1)
    waiting = asyncio.create_task(heard.intake.wait_acknowledged(5.0))
    writer.close()
    assert await waiting


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff\xff\xff", frame(b"\xc1"), frame(b""), frame(msgspec.msgpack.encode(["exchange", 1])), framed(["x"])],
)
async def test_garbage_ends_that_link_only_and_what_came_before_counts(heard: Heard, garbage: bytes) -> None:
    _, writer = await heard.connect()
    bad_reader, bad = await heard.connect()
    bad.write(framed(Hello("bad", 1), Offered(exchange(1))) + garbage + framed(Offered(exchange(2))))
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionResetError):
            assert await bad_reader.read() == b""
    await until(lambda: heard.left == ["bad"])
    writer.write(framed(Offered(exchange(3))))
    await until(lambda: len(heard.exchanges) == 2)
    assert [e.request_id for e in heard.exchanges] == ["id-1", "id-3"]


async def test_an_observer_that_fails_is_counted_and_the_next_exchange_is_observed(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("a secret of the payload")

    _, writer = await heard.connect()
    heard.fault = fails
    writer.write(framed(*(Offered(exchange(number)) for number in range(5))))
    await until(lambda: heard.intake.failures == 5)
    assert len([record for record in caplog.records if "observation failed" in record.message]) == 3, "1, 2, 4, 8 …"
    heard.fault = lambda: None
    writer.write(framed(Offered(exchange(9))))
    await until(lambda: len(heard.exchanges) == 1)


async def test_counts_that_cannot_be_folded_do_not_end_the_link(tmp_path: Path) -> None:
    def fails(_counts: WorkerCounts) -> None:
        raise ValueError

    listening = Heard(tmp_path)
    listening.intake = Intake(listening.path, listening.exchange, fails, listening.left.append)
    await listening.intake.open()
    _, writer = await listening.connect()
    writer.write(framed(worker_counts("w0"), Offered(exchange(1))))
    await until(lambda: bool(listening.exchanges))
    assert (listening.intake.failures, listening.left) == (1, [])
    await listening.close()


async def test_a_burst_is_taken_in_slices_workers_in_turn_and_nothing_more_is_read_meanwhile(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "SLICE_FRAMES", 10)
    monkeypatch.setattr(taking, "SLICE_S", 10.0)
    links = [taking.WorkerLink(heard.intake) for _ in range(2)]
    transports = [_Transport() for _ in links]
    for link, transport in zip(links, transports, strict=True):
        link.connection_made(transport)
    links[0].data_received(framed(*(Offered(exchange(number)) for number in range(25))))
    assert len(heard.exchanges) == 10, "the first slice at once"
    assert [transport.paused for transport in transports] == [True, False]
    links[1].data_received(framed(Offered(exchange(100))))
    assert len(heard.exchanges) == 10, "a slice is due already"
    await asyncio.sleep(0)
    assert len(heard.exchanges) == 20
    assert "id-100" in {e.request_id for e in heard.exchanges}, "the other worker had its turn"
    await asyncio.sleep(0)
    assert len(heard.exchanges) == 26
    assert [transport.paused for transport in transports] == [False, False]
    assert [e.request_id for e in heard.exchanges if e.request_id != "id-100"] == [f"id-{n}" for n in range(25)]


async def test_slices_end_by_time_too(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "SLICE_S", 0.0)
    link = taking.WorkerLink(heard.intake)
    link.connection_made(_Transport())
    link.data_received(framed(Offered(exchange(1))))
    assert heard.exchanges == []
    monkeypatch.setattr(taking, "SLICE_S", 1.0)
    await asyncio.sleep(0)
    assert len(heard.exchanges) == 1


async def test_what_a_worker_sent_before_it_left_is_taken_before_it_is_gone(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "SLICE_FRAMES", 1)
    link = taking.WorkerLink(heard.intake)
    link.connection_made(_Transport())
    link.data_received(framed(Hello("w0", 1), Offered(exchange(1)), worker_counts("w0")))
    link.connection_lost(None)
    assert heard.left == []
    for _ in range(3):
        await asyncio.sleep(0)
    assert (len(heard.exchanges), len(heard.counts), heard.left) == (1, 1, ["w0"])


async def test_closing_takes_what_waits(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "SLICE_FRAMES", 1)
    link = taking.WorkerLink(heard.intake)
    link.connection_made(_Transport())
    link.data_received(framed(*(Offered(exchange(number)) for number in range(5))))
    heard.intake.close()
    assert len(heard.exchanges) == 5


async def test_a_socket_left_by_a_control_that_died_is_taken_over(heard: Heard) -> None:
    again = Intake(heard.path, heard.exchange, heard.counts.append, heard.left.append)
    await again.open()
    _, writer = await heard.connect()
    writer.write(framed(Offered(exchange(1))))
    await until(lambda: bool(heard.exchanges))
    again.close()


async def test_a_link_without_a_transport_bears_everything() -> None:
    link = taking.WorkerLink(Intake("/nowhere", lambda _e: None, lambda _c: None, lambda _n: None))
    link.send(b"x")
    link.hold()
    link.read_on()
    link.close()


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        self.closing = False

    def is_read(self) -> bool:
        return not self.paused

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: Any) -> None:
        pass

    def abort(self) -> None:
        self.closing = True


async def test_while_a_verb_is_carried_out_nothing_is_taken_and_then_all_of_it_in_order(heard: Heard) -> None:
    _, writer = await heard.connect()
    await until(lambda: bool(heard.intake._workers))
    heard.intake.stand_back()
    writer.write(framed(*(Offered(exchange(number)) for number in range(100))))
    await until(lambda: heard.intake._later is not None)
    assert heard.exchanges == []
    heard.intake.go_on()
    await until(lambda: len(heard.exchanges) == 100)
    assert [one.request_id for one in heard.exchanges] == [f"id-{number}" for number in range(100)]
    writer.write(framed(Offered(exchange(100))))
    await until(lambda: len(heard.exchanges) == 101)


async def test_an_acknowledgement_waits_behind_no_frame_and_for_no_verb(heard: Heard) -> None:
    link, transport = taking.WorkerLink(heard.intake), _Transport()
    link.connection_made(transport)
    heard.intake.stand_back()
    link.data_received(framed(*(Offered(exchange(number)) for number in range(100))))
    assert not transport.is_read(), "no table is out yet that it could acknowledge"
    heard.publish(1)
    assert transport.is_read()
    link.data_received(framed(Offered(exchange(100)), Acknowledged("w0", 1), Offered(exchange(101))))
    assert heard.intake.acknowledged()
    assert heard.exchanges == []
    heard.intake.go_on()
    await until(lambda: len(heard.exchanges) == 102)
    assert [one.request_id for one in heard.exchanges] == [f"id-{number}" for number in range(102)]


async def test_who_owes_an_acknowledgement_is_read_on_but_not_without_a_bound(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, transport = taking.WorkerLink(heard.intake), _Transport()
    link.connection_made(transport)
    heard.intake.stand_back()
    heard.publish(1)
    sent = framed(*(Offered(exchange(number)) for number in range(10)))
    link.data_received(sent)
    assert transport.is_read()
    monkeypatch.setattr(taking, "MOST_AWAITING_BYTES", len(sent))
    link.data_received(sent)
    assert not transport.is_read()
    heard.intake.go_on()
    await until(lambda: len(heard.exchanges) == 20)
    assert transport.is_read()


async def test_a_verb_that_takes_long_is_not_waited_for(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "STAND_BACK_S", 0.05)
    _, writer = await heard.connect()
    await until(lambda: bool(heard.intake._workers))
    heard.intake.stand_back()
    writer.write(framed(*(Offered(exchange(number)) for number in range(10))))
    await until(lambda: len(heard.exchanges) == 10)
    assert heard.intake._later is None
    heard.intake.go_on()


async def test_closing_does_not_wait_for_a_verb(heard: Heard) -> None:
    _, writer = await heard.connect()
    await until(lambda: bool(heard.intake._workers))
    heard.intake.stand_back()
    writer.write(framed(*(Offered(exchange(number)) for number in range(10))))
    await until(lambda: heard.intake._later is not None)
    heard.intake.close()
    assert len(heard.exchanges) == 10
