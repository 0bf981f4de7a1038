"""Model servers that misbehave: `python -m bench.odd_server stuck:PORT reset:PORT drip:PORT slow:PORT …`.

`stuck` accepts, reads and never answers; `reset` resets the connection at the first byte; `drip` answers one byte a
second; `slow` answers well, some milliseconds after the request's end, with a long body. Loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop

from bench import child
from bench.build import ROOT

SLOW_S, SLOW_BODY = 0.005, b"x" * 131_072
_DRIPPED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 600\r\n\r\n" + b" " * 600
_SLOW = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(SLOW_BODY) + SLOW_BODY
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
# Off with the connection at once, unsent data and all: the peer sees a reset (socket(7), SO_LINGER).
_LINGER = struct.pack("ii", 1, 0)
_BACKLOG = 4096


class Stuck(asyncio.Protocol):
    """Reads, and says nothing."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own are no subclass


class Reset(Stuck):
    """Resets the connection."""

    def data_received(self, _data: bytes) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.transport.abort()


class Drip(Stuck):
    """One byte of an answer a second. All of them drip at once, by one timer."""

    dripping: set[Drip] = set()  # noqa: RUF012  shared on purpose

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    def data_received(self, _data: bytes) -> None:
        self.dripping.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.dripping.discard(self)

    def drip(self) -> None:
        """The next byte."""
        self.transport.write(_DRIPPED[self._at : self._at + 1])
        self._at = (self._at + 1) % len(_DRIPPED)

    @classmethod
    async def run(cls) -> None:
        """Drips for ever."""
        while True:
            await asyncio.sleep(1.0)
            for one in tuple(cls.dripping):
                one.drip()


class Slow(Stuck):
    """Answers each whole request after a while."""

    def __init__(self) -> None:
        super().__init__()
        self._held = b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, end, body = self._held.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(body) >= int(length[1] if length else 0):
            self._held = b""
            asyncio.get_running_loop().call_later(SLOW_S, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_SLOW)


KINDS: dict[str, type[Stuck]] = {"stuck": Stuck, "reset": Reset, "drip": Drip, "slow": Slow}


@contextlib.contextmanager
def running(folder: Path, ports: dict[str, int], core: int) -> Iterator[int]:
    """One process with a server of each kind in `ports`, while the context lasts; gives its process id."""
    folder.mkdir()
    command = [sys.executable, "-m", "bench.odd_server", *(f"{kind}:{port}" for kind, port in ports.items())]
    listening = list(ports.values())
    with child.listening(command, listening, folder=folder, core=core, cwd=ROOT, patience_s=0.0) as server:
        yield server.pid


async def _serve(asked: list[str]) -> None:
    loop = asyncio.get_running_loop()
    for kind, _, port in (one.partition(":") for one in asked):
        await loop.create_server(KINDS[kind], "127.0.0.1", int(port), backlog=_BACKLOG)
    await Drip.run()


def main() -> None:
    """The process; serves until it is killed."""
    uvloop.run(_serve(sys.argv[1:]))


if __name__ == "__main__":
    main()
