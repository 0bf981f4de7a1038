"""One proxy worker, wired. Started by the supervisor as `python -m sidecar.app.worker`.

Begins from the last routing table on disk, so it serves whether control is there or not.
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

from sidecar.app.stopping import stop_when_told
from sidecar.decide.routing_table import RoutingTable
from sidecar.proxy.drain import drain
from sidecar.proxy.link import Link
from sidecar.proxy.listener import Caller
from sidecar.proxy.plane import TICK_S, Plane

BACKLOG = 2048


async def serve(name: str, listen_fd: int, link_path: str, table_path: Path) -> bool:
    """Serves until SIGTERM; True when the drain let every request end."""
    loop = asyncio.get_running_loop()
    table = msgspec.msgpack.decode(table_path.read_bytes(), type=RoutingTable)  # noqa: ASYNC240  before anyone waits
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

    server = await loop.create_server(lambda: Caller(plane), sock=socket.socket(fileno=listen_fd), backlog=BACKLOG)
    tick()
    print("ready", flush=True)  # noqa: T201  the supervisor waits for this line
    await stopping.wait()
    return await drain(plane, server, link)


def main() -> int:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.app.worker")
    parser.add_argument("--name", required=True)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--link", required=True)
    parser.add_argument("--table", type=Path, required=True)
    given = parser.parse_args()
    answered = uvloop.run(serve(given.name, given.listen_fd, given.link, given.table))
    return 0 if answered else 1


if __name__ == "__main__":
    sys.exit(main())
