"""One proxy worker, wired. Started by the supervisor as `python -m sidecar.app.worker`.

Begins from the last routing table on disk, so it serves whether control is there or not. Loads neither settings nor
numpy, SQL or aiohttp: there are many workers, and a test looks at what they import.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from sidecar.app.listening import BACKLOG
from sidecar.app.stopping import stop_when_told
from sidecar.decide.pressure import FULL_QUEUE, SHADOW_AT, pressure
from sidecar.decide.routing_table import RoutingTable
from sidecar.proxy.access_log import AccessLog
from sidecar.proxy.drain import drain
from sidecar.proxy.link import Link
from sidecar.proxy.listener import Caller
from sidecar.proxy.own_resources import allow_descriptors, descriptors_used, give_back, resident_bytes
from sidecar.proxy.plane import Plane
from sidecar.proxy.tls import HANDSHAKE_S, SHUTDOWN_S, Certificates, Trusts, Unusable
from sidecar.proxy.watchdog import Watchdog
from sidecar.telemetry.logs import configure

log = logging.getLogger("sidecar.worker")


class NoTable(Exception):
    """There is no routing table to begin from. The message is one sentence for people."""


def read_table(path: Path) -> RoutingTable:
    """The last table that control wrote; raises NoTable."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=RoutingTable)
    except OSError as error:
        raise NoTable(f"the routing table {path} cannot be read ({error.strerror}): control writes it anew") from error
    except msgspec.DecodeError as error:
        raise NoTable(f"the routing table {path} is damaged ({error}): control writes it anew") from error


class Worker:
    """The parts of one worker, and what they do by the clock. Raises Unusable: there is a certificate it cannot use."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, name: str, link_path: str, table: RoutingTable, log_fd: int
    ) -> None:
        self._table = table
        self._certificates = None if table.certificate is None else Certificates(table.certificate)
        self._trusts = Trusts()
        self._trusts.obey(table)
        self._plane = Plane(loop, name, table)
        self._plane.tls_of = self._trusts.context
        self._plane.log_to(AccessLog(log_fd))
        self._link = Link(loop, self._plane, link_path, name)
        self._plane.offer = self._link.offer
        self._watchdog = Watchdog(loop, self._tick)

    async def listen(self, listener: socket.socket) -> asyncio.AbstractServer:
        """Serves callers from now on."""
        loop, plane = asyncio.get_running_loop(), self._plane
        caller = cast("Callable[[], asyncio.Protocol]", lambda: Caller(plane))
        self._watchdog.start()
        if listener.family == socket.AF_UNIX:
            return await loop.create_unix_server(caller, sock=listener, backlog=BACKLOG)
        if self._certificates is None:
            return await loop.create_server(caller, sock=listener, backlog=BACKLOG)
        return await loop.create_server(
            caller,
            sock=listener,
            backlog=BACKLOG,
            ssl=self._certificates,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=SHUTDOWN_S,
        )

    async def stop(self, server: asyncio.AbstractServer) -> bool:
        """Drains; True when every request was answered."""
        answered = await drain(self._plane, server, self._link)
        self._watchdog.stop()
        return answered

    def _tick(self, lost_s: float) -> None:
        """Once a second, after `lost_s` in which this process could do nothing."""
        plane = self._plane
        if lost_s > 0.0:
            plane.forgive(lost_s)
        self._renew()
        plane.weigh(self._pressure())
        plane.tick()
        plane.tally.loop_lag_s = self._watchdog.lag_s
        self._link.tick()

    def _pressure(self) -> float:
        plane, lag_s = self._plane, self._watchdog.typical_lag_s
        bounds, held_bytes = plane.bounds, plane.mirror.held_bytes
        pressed = pressure(resident_bytes(), bounds.memory_bytes, held_bytes, bounds.mirror_bytes, lag_s)
        if pressed >= SHADOW_AT:
            give_back()
            pressed = pressure(resident_bytes(), bounds.memory_bytes, held_bytes, bounds.mirror_bytes, lag_s)
        # Who is connected must not suffer for those who come: for want of descriptors only copies are given up.
        return max(pressed, min(FULL_QUEUE, descriptors_used()))

    def _renew(self) -> None:
        """Certificates and authorities: those that a new table names, or the same files with another content."""
        table = self._plane.table
        new = table is not self._table
        self._table = table
        if new:
            self._trusts.obey(table)
        else:
            self._trusts.tick()
        if self._certificates is None or table.certificate is None:
            return  # a socket either speaks TLS or not for as long as it lives
        if new:
            self._certificates.obey(table.certificate)
        else:
            self._certificates.tick()


async def serve(name: str, listen_fd: int, link_path: str, table: RoutingTable, log_fd: int) -> bool:
    """Serves until SIGTERM; True when the drain let every request end."""
    loop = asyncio.get_running_loop()
    # A worker that starts again counts from zero, so it needs another name for its counters.
    worker = Worker(loop, f"{name}-{os.getpid()}", link_path, table, log_fd)
    stopping = asyncio.Event()
    stop_when_told(loop, stopping)
    server = await worker.listen(socket.socket(fileno=listen_fd))
    print("ready", flush=True)  # noqa: T201  the supervisor waits for this line
    await stopping.wait()
    return await worker.stop(server)


def _warn_of_few_descriptors(table: RoutingTable, allowed: int) -> None:
    """Each caller may need a connection to the champion as well, and each copy one to its challenger."""
    copies = sum(shadow.max_inflight for route in table.routes for shadow in route.shadows)
    needed = 2 * table.bounds.connections + copies
    if 0 < allowed < needed:
        fields = {
            "allowed": allowed,
            "needed": needed,
            "says": "raise the limit (ulimit -n), or lower limits.connections",
        }
        log.warning("few file descriptors", extra={"fields": fields})


def main() -> int:
    """The process. 0 when the drain let every request end, 1 when not, 2 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.app.worker")
    parser.add_argument("--name", required=True)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--link", required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--log-fd", type=int, default=1)
    given = parser.parse_args()
    configure(given.name)
    try:
        table = read_table(given.table)
        _warn_of_few_descriptors(table, allow_descriptors())
        answered = uvloop.run(serve(given.name, given.listen_fd, given.link, table, given.log_fd))
    except (NoTable, Unusable) as error:
        print(f"sidecar: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0 if answered else 1


if __name__ == "__main__":
    sys.exit(main())
