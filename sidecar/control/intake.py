"""Control's end of the link: takes in what workers offer and hands each frame to whom it concerns.

The one place behind which observation may fail: an exchange that an observer cannot digest is counted and forgotten,
never raised. A burst is worked off in slices, so that the admin API answers meanwhile; until a worker's frames are
worked off nothing more is read from it. That is the only back-pressure: the socket fills, and the worker drops. A
table's acknowledgement waits behind nothing: while one is awaited the frames before it are read, and kept for later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from sidecar.decide.routing_table import RoutingTable
from sidecar.records import Acknowledged, Draining, Exchange, Hello, Offered, WorkerCounts, WorkerFrame
from sidecar.wire.frames import BrokenFrame, FrameReader, frame

log = logging.getLogger("sidecar.control.intake")

# One slice of work between two looks at everything else. A call to the admin API takes about five of them.
SLICE_FRAMES = 64
SLICE_S = 0.003
# What one worker's frames may be for whose acknowledgement is awaited, before nothing more is read from it.
MOST_AWAITING_BYTES = 4 << 20
_ACKNOWLEDGED = msgspec.msgpack.encode(Acknowledged("", 0))[:5]  # the array's length, and the tag
# A verb makes some forty steps, each of which would wait for a slice. The longest that the workers' frames wait for it.
STAND_BACK_S = 0.25


class Intake:
    """The link's server: every worker's connection, and the table they are to route by."""

    def __init__(
        self,
        path: str,
        on_exchange: Callable[[Exchange], None],
        on_counts: Callable[[WorkerCounts], None],
        on_left: Callable[[str], None],
    ) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._table: bytes | None = None
        self._serial = 0
        self._on_exchange = on_exchange
        self._on_counts = on_counts
        self._on_left = on_left
        self._workers: dict[WorkerLink, int] = {}
        self._busy: deque[WorkerLink] = deque()
        self._slicing = False
        self._back_until = 0.0
        self._later: asyncio.TimerHandle | None = None
        self._draining: set[WorkerLink] = set()
        self._changed = asyncio.Event()
        self.failures = 0

    async def open(self) -> None:
        """Listens; a file left by a control that died is taken over."""
        with contextlib.suppress(FileNotFoundError):
            Path(self._path).unlink()  # noqa: ASYNC240  once, at the start
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: WorkerLink(self), self._path)

    def close(self) -> None:
        """Lets the workers go, who count what they drop from now on, and takes what they had sent."""
        if self._server is not None:
            self._server.close()
        self.go_on()
        for worker in list(self._workers):
            worker.close()
        while self._busy:
            self._take_one()

    def publish(self, table: RoutingTable, encoded: bytes) -> None:
        """Sends a table to every worker, and to those that come later."""
        self._serial = table.serial
        self._table = frame(encoded)
        for worker in self._workers:
            worker.send(self._table)
            worker.read_on()

    def awaits(self, worker: WorkerLink) -> bool:
        """Whether a worker has yet to say that it routes by the present table."""
        return self._table is not None and self._workers.get(worker, self._serial) != self._serial

    def acknowledged(self) -> bool:
        """True once at least one worker is here and every one routes by the present table."""
        return bool(self._workers) and all(serial == self._serial for serial in self._workers.values())

    def ready(self) -> bool:
        """True while traffic may come."""
        return self.acknowledged() and not self._draining

    async def wait_acknowledged(self, within_s: float) -> bool:
        """Waits until every connected worker routes by the present table; at once true where there is none."""
        try:
            async with asyncio.timeout(within_s):
                while self._workers and not self.acknowledged():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def attempt(self, step: Callable[[], None]) -> None:
        """A step of observation, which may fail: named, counted, and no value of a payload in the log."""
        try:
            step()
        except Exception:
            self.failures += 1
            if self.failures & (self.failures - 1) == 0:
                log.exception("observation failed", extra={"fields": {"failures": self.failures}})

    # --- told by a verb --------------------------------------------------------------------------------------

    def stand_back(self) -> None:
        """For a moment no frame is taken: somebody waits for a promotion or rollback."""
        self._back_until = asyncio.get_running_loop().time() + STAND_BACK_S

    def go_on(self) -> None:
        """The moment is over."""
        self._back_until = 0.0
        if self._later is not None:
            self._later.cancel()
            self._slice()

    def acknowledges(self, worker: WorkerLink, serial: int) -> None:
        """A worker routes by the table with that number."""
        if worker in self._workers:
            self._workers[worker] = serial
        self._changed.set()

    # --- told by a worker's connection -----------------------------------------------------------------------

    def joined(self, worker: WorkerLink) -> None:
        """A worker is here."""
        self._workers[worker] = -1
        if self._table is not None:
            worker.send(self._table)

    def left(self, worker: WorkerLink) -> None:
        """A worker's connection is gone; what it sent before is still taken in."""
        self._workers.pop(worker, None)
        self._draining.discard(worker)
        self._changed.set()
        if not worker.waiting:
            self._on_left(worker.name)

    def received(self, worker: WorkerLink) -> None:
        """A worker's frames wait to be taken."""
        if worker not in self._busy:
            self._busy.append(worker)
        if not self._slicing:
            self._slice()

    def _slice(self) -> None:
        """Takes some frames, workers in turn, and comes again if that were not all."""
        loop = asyncio.get_running_loop()
        self._later = None
        if loop.time() < self._back_until:
            self._slicing = True
            self._later = loop.call_at(self._back_until, self._slice)
            for worker in self._busy:
                worker.hold()
            return
        until = loop.time() + SLICE_S
        for _ in range(SLICE_FRAMES):
            if not self._busy or loop.time() >= until:
                break
            self._take_one()
        self._slicing = bool(self._busy)
        for worker in self._busy:
            worker.hold()
        if self._slicing:
            loop.call_soon(self._slice)

    def _take_one(self) -> None:
        worker = self._busy.popleft()
        self._take(worker, worker.next_frame())
        if worker.waiting:
            self._busy.append(worker)
        elif worker in self._workers:
            worker.read_on()
        else:
            self._on_left(worker.name)

    def _take(self, worker: WorkerLink, content: bytes) -> None:
        try:
            received = worker.decode(content)
        except msgspec.DecodeError:
            worker.waiting.clear()
            worker.broken()
            return
        match received:
            case Offered(exchange):
                self.attempt(lambda: self._on_exchange(exchange))
            case WorkerCounts():
                self.attempt(lambda: self._on_counts(received))
            case Draining():
                self._draining.add(worker)
            case Hello(name, pid):
                worker.name = name
                log.info("worker joined", extra={"fields": {"worker": name, "pid": pid}})


class WorkerLink(asyncio.Protocol):
    """One worker's connection. `waiting`: its frames that were not taken yet."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._reader = FrameReader()
        self._waiting_bytes = 0
        self._decode = msgspec.msgpack.Decoder(WorkerFrame).decode
        self._transport: asyncio.Transport | None = None
        self.waiting: deque[bytes] = deque()
        self.name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio."""
        self._transport = cast("asyncio.Transport", transport)
        self._intake.joined(self)

    def data_received(self, data: bytes) -> None:
        """From asyncio."""
        try:
            for content in self._reader.feed(data):
                self._keep(content)
        except (BrokenFrame, msgspec.DecodeError):
            self.broken()
        if self.waiting:
            self._intake.received(self)
        if self._waiting_bytes >= MOST_AWAITING_BYTES:
            self.hold()

    def connection_lost(self, _error: Exception | None) -> None:
        """From asyncio."""
        self._intake.left(self)

    def _keep(self, content: bytes) -> None:
        if content.startswith(_ACKNOWLEDGED):
            self._intake.acknowledges(self, cast("Acknowledged", self.decode(content)).serial)
        else:
            self.waiting.append(content)
            self._waiting_bytes += len(content)

    def next_frame(self) -> bytes:
        """The oldest that waits."""
        content = self.waiting.popleft()
        self._waiting_bytes -= len(content)
        return content

    def decode(self, content: bytes) -> WorkerFrame:
        """A frame's content. Raises msgspec.DecodeError."""
        return cast("WorkerFrame", self._decode(content))

    def hold(self) -> None:
        """Reads nothing more until what waits is taken; where an acknowledgement is awaited, only if that is much."""
        awaited = self._intake.awaits(self) and self._waiting_bytes < MOST_AWAITING_BYTES
        if self._transport is not None and not awaited:
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Reads again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def send(self, data: bytes) -> None:
        """Writes to the worker."""
        if self._transport is not None:
            self._transport.write(data)

    def broken(self) -> None:
        """What came is no frame: nothing after it can be trusted."""
        log.error("a worker sent what is no frame", extra={"fields": {"worker": self.name}})
        self.close()

    def close(self) -> None:
        """Ends the connection; the worker comes again."""
        if self._transport is not None:
            self._transport.abort()
