"""The worker's end of the link to control: offers exchanges and counters, receives routing tables.

Never waited for. What is offered is bounded in bytes; above it, or with control away, an exchange is dropped and
counted. The link is tried again once a second for as long as the worker lives.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, cast

import msgspec

from sidecar.decide.routing_table import RoutingTable
from sidecar.records import Acknowledged, Draining, Exchange, Hello, Offered, WorkerFrame
from sidecar.wire.frames import BrokenFrame, FrameReader, frame

if TYPE_CHECKING:
    from sidecar.proxy.plane import Plane

# Offered exchanges are written together: after this long, or as soon as this many bytes wait.
BATCH_S: Final = 0.02
BATCH_BYTES: Final = 65_536
# A control that takes nothing of what waits for it, for so many ticks of a second, judges nobody: it hangs.
UNREAD_TICKS: Final = 10


class Link(asyncio.Protocol):
    """One worker's connection to control."""

    def __init__(self, loop: asyncio.AbstractEventLoop, plane: Plane, path: str, worker: str) -> None:
        self._loop = loop
        self._plane = plane
        self._path = path
        self._worker = worker
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(RoutingTable).decode
        self._reader = FrameReader()
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._batch_exchanges = 0
        self._flush_due: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._written = 0
        self._taken = 0
        self._unread = 0
        self._connecting: asyncio.Task[None] | None = None

    # --- outwards --------------------------------------------------------------------------------------------

    def offer(self, exchange: Exchange) -> None:
        """Hands over a finished exchange, or drops and counts it."""
        transport = self._transport
        if transport is None:
            self._plane.tally.capture_dropped["control_down"] += 1
            return
        if self.pending_bytes > self._plane.bounds.capture_bytes:
            self._plane.tally.capture_dropped["bytes_full"] += 1
            return
        self._batch_exchanges += 1
        self._put(Offered(exchange))

    @property
    def pending_bytes(self) -> int:
        """What was offered and has not left this process."""
        return self._batch_bytes + (self._transport.get_write_buffer_size() if self._transport else 0)

    def _put(self, content: WorkerFrame) -> None:
        data = frame(self._encode(content))
        self._batch.append(data)
        self._batch_bytes += len(data)
        if self._batch_bytes >= BATCH_BYTES:
            self.flush()
        elif self._flush_due is None:
            self._flush_due = self._loop.call_later(BATCH_S, self.flush)

    def flush(self) -> None:
        """Writes what waits."""
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None
        if self._transport is not None and self._batch:
            self._transport.write(b"".join(self._batch))
            self._written += self._batch_bytes
        self._batch.clear()
        self._batch_bytes = 0
        self._batch_exchanges = 0

    def tick(self) -> None:
        """Once a second: the counters, or another try to connect."""
        plane = self._plane
        if self._transport is not None:
            waits = self._transport.get_write_buffer_size()
            taken = self._written - waits
            self._unread = self._unread + 1 if waits and taken == self._taken else 0
            self._taken = taken
            plane.control_reads = self._unread < UNREAD_TICKS
            if self.pending_bytes > plane.bounds.capture_bytes:
                return  # control does not read; the counts are cumulative, so a later frame tells them all
            self._put(plane.tally.read(len(plane.callers), plane.mirror.held_bytes))
            self.flush()
        elif self._connecting is None or self._connecting.done():
            self._connecting = self._loop.create_task(self._connect(), name="link")

    def draining(self) -> None:
        """Tells control, so that whoever asks whether traffic may come hears no."""
        if self._transport is not None:
            self._put(Draining(self._worker))
            self.flush()

    async def _connect(self) -> None:
        try:
            await self._loop.create_unix_connection(lambda: self, self._path)
        except OSError:
            return  # control is away; the next tick tries again

    # --- asyncio ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        transport.set_write_buffer_limits(high=2 * self._plane.bounds.capture_bytes)
        self._transport = transport
        self._reader = FrameReader()
        self._plane.control_up = self._plane.control_reads = True
        self._written = self._taken = self._unread = 0
        self._put(Hello(self._worker, os.getpid()))
        self._put(Acknowledged(self._worker, self._plane.table.serial))
        self.tick()

    def data_received(self, data: bytes) -> None:
        try:
            for content in self._reader.feed(data):
                table = self._decode(content)
                self._plane.swap(table)
                self._put(Acknowledged(self._worker, table.serial))
                self.flush()
        except (BrokenFrame, msgspec.DecodeError):
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._plane.control_up = False
        self._plane.tally.capture_dropped["control_down"] += self._batch_exchanges
        self._batch.clear()
        self._batch_bytes = 0
        self._batch_exchanges = 0

    async def close(self, within_s: float) -> None:
        """Sends the last counters and waits until they left, at most `within_s`."""
        if self._transport is not None:
            self.tick()
        deadline = self._loop.time() + within_s
        while self._transport is not None and self.pending_bytes and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        if self._transport is not None:
            self._transport.close()
