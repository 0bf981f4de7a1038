"""One proxy worker, wired. Started by the supervisor as `python -m sidecar.app.worker`.

Begins from the last routing table on disk, so it serves whether control is there or not. Loads neither settings nor
numpy, SQL or aiohttp: there are many workers, and a test looks at what they import.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path

import msgspec
import uvloop

from sidecar.app.listening import BACKLOG
from sidecar.app.stopping import stop_when_told
from sidecar.decide.routing_table import RoutingTable
from sidecar.proxy.drain import drain
from sidecar.proxy.link import Link
from sidecar.proxy.listener import Caller
from sidecar.proxy.plane import TICK_S, Plane


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


async def serve(name: str, listen_fd: int, link_path: str, table: RoutingTable) -> bool:
    """Serves until SIGTERM; True when the drain let every request end."""
    loop = asyncio.get_running_loop()
    # A worker that starts again counts from zero, so it needs another name for its counters.
    name = f"{name}-{os.getpid()}"
    plane = Plane(loop, name, table)
    link = Link(loop, plane, link_path, name)
    plane.offer = link.offer
    stopping = asyncio.Event()
    stop_when_told(loop, stopping)

    def tick() -> None:
        plane.tick()
        link.tick()
        loop.call_later(TICK_S, tick)

    listener = socket.socket(fileno=listen_fd)
    listen = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
    server = await listen(lambda: Caller(plane), sock=listener, backlog=BACKLOG)
    tick()
    print("ready", flush=True)  # noqa: T201  the supervisor waits for this line
    await stopping.wait()
    return await drain(plane, server, link)


def main() -> int:
    """The process. 0 when the drain let every request end, 1 when not, 2 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.app.worker")
    parser.add_argument("--name", required=True)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--link", required=True)
    parser.add_argument("--table", type=Path, required=True)
    given = parser.parse_args()
    try:
        table = read_table(given.table)
    except NoTable as error:
        print(f"sidecar: {error}", file=sys.stderr)  # noqa: T201
        return 2
    answered = uvloop.run(serve(given.name, given.listen_fd, given.link, table))
    return 0 if answered else 1


if __name__ == "__main__":
    sys.exit(main())
