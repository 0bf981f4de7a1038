"""Control's end of the link: takes in what workers offer and hands each frame to whom it concerns.

The one place behind which observation may fail: an exchange that an observer cannot digest is counted and forgotten,
never raised. Reading is the only back-pressure: while control is busy the socket fills, and the worker drops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from sidecar.decide.routing_table import RoutingTable
from sidecar.records import Acknowledged, Exchange, Hello, Offered, WorkerCounts, WorkerFrame
from sidecar.wire.frames import BrokenFrame, FrameReader, frame

log = logging.getLogger("sidecar.control.intake")


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
        self._acknowledged = asyncio.Condition()
        self._waiting: set[asyncio.Task[None]] = set()
        self.failures = 0

    async def open(self) -> None:
        """Listens; a file left by a control that died is taken over."""
        with contextlib.suppress(FileNotFoundError):
            Path(self._path).unlink()  # noqa: ASYNC240  once, at the start
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: WorkerLink(self), self._path)

    async def close(self) -> None:
        """Lets the workers go; they count what they drop from now on."""
        if self._server is not None:
            self._server.close()
        for worker in list(self._workers):
            worker.close()

    def publish(self, table: RoutingTable, encoded: bytes) -> None:
        """Sends a table to every worker, and to those that come later."""
        self._serial = table.serial
        self._table = frame(encoded)
        for worker in self._workers:
            worker.send(self._table)

    def acknowledged(self) -> bool:
        """True once at least one worker is here and every one routes by the present table."""
        return bool(self._workers) and all(serial >= self._serial for serial in self._workers.values())

    async def wait_acknowledged(self, within_s: float) -> bool:
        """Waits until every connected worker routes by the present table."""
        try:
            async with asyncio.timeout(within_s), self._acknowledged:
                await self._acknowledged.wait_for(self.acknowledged)
        except TimeoutError:
            return False
        return True

    # --- told by a worker's connection -----------------------------------------------------------------------

    def joined(self, worker: WorkerLink) -> None:
        """A worker is here."""
        self._workers[worker] = -1
        if self._table is not None:
            worker.send(self._table)

    def left(self, worker: WorkerLink) -> None:
        """A worker is gone."""
        self._workers.pop(worker, None)
        self._on_left(worker.name)
        self._announce()

    def take(self, worker: WorkerLink, received: WorkerFrame) -> None:
        """One frame."""
        match received:
            case Offered(exchange):
                self._observe(exchange)
            case WorkerCounts():
                self._on_counts(received)
            case Acknowledged(serial=serial):
                self._workers[worker] = serial
                self._announce()
            case Hello(name, pid):
                worker.name = name
                log.info("worker joined", extra={"fields": {"worker": name, "pid": pid}})

    def _observe(self, exchange: Exchange) -> None:
        try:
            self._on_exchange(exchange)
        except Exception:
            # Observation may fail, serving may not: named, counted, and no value of the payload in the log.
            self.failures += 1
            if self.failures & (self.failures - 1) == 0:
                log.exception("observation failed", extra={"fields": {"failures": self.failures}})

    def _announce(self) -> None:
        async def announce() -> None:
            async with self._acknowledged:
                self._acknowledged.notify_all()

        task = asyncio.get_running_loop().create_task(announce(), name="acknowledged")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)


class WorkerLink(asyncio.Protocol):
    """One worker's connection."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._reader = FrameReader()
        self._decode = msgspec.msgpack.Decoder(WorkerFrame).decode
        self._transport: asyncio.Transport | None = None
        self.name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio."""
        self._transport = cast("asyncio.Transport", transport)
        self._intake.joined(self)

    def data_received(self, data: bytes) -> None:
        """From asyncio."""
        try:
            for content in self._reader.feed(data):
                self._intake.take(self, cast("WorkerFrame", self._decode(content)))
        except (BrokenFrame, msgspec.DecodeError):
            log.exception("a worker sent what is no frame")
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        """From asyncio."""
        self._intake.left(self)

    def send(self, data: bytes) -> None:
        """Writes to the worker."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Ends the connection; the worker comes again."""
        if self._transport is not None:
            self._transport.abort()
