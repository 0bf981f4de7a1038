"""The generator behind `bench.open_loop`: `python -m bench.generator URL BODIES RATE SECONDS`, one line of JSON.

uvloop and raw protocols. A timer of the kernel with nanoseconds (timerfd_create(2)) wakes it when the next request is
due, since the loop's own timers have milliseconds. A request waits for a free connection only if all are busy.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import sys
from collections import deque
from pathlib import Path
from time import clock_gettime_ns
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.open_loop import Latencies, LoadFailed, moments, summed

CONNECTIONS = 64
WARM_UP_S = 0.5
_END_S = 10.0
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_MONOTONIC, _NONBLOCK, _ABSOLUTE = 1, os.O_NONBLOCK, 1
_NS_PER_S = 1_000_000_000


class _Times(ctypes.Structure):
    """struct itimerspec: interval, then value, each seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Alarm:
    """A descriptor that becomes readable at the nanosecond it was set to."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._library.timerfd_create(_MONOTONIC, _NONBLOCK)
        if self.descriptor < 0:
            raise LoadFailed(f"no timer: {os.strerror(ctypes.get_errno())}")

    def set(self, at_ns: int) -> None:
        """Readable at this moment of the monotonic clock; a moment that has passed is now."""
        seconds, rest_ns = divmod(at_ns, _NS_PER_S)
        times = _Times(0, 0, seconds, rest_ns)
        if self._library.timerfd_settime(self.descriptor, _ABSOLUTE, ctypes.byref(times), None) < 0:
            raise LoadFailed(f"the timer cannot be set: {os.strerror(ctypes.get_errno())}")


class Connection(asyncio.Protocol):
    """One kept connection to the proxy, with at most one request on it."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._held = b""
        self._due_ns: int | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own are no subclass
        self._generator.opened(self)

    def send(self, request: bytes, due_ns: int) -> None:
        """Sends a request that was due at `due_ns`."""
        self._due_ns, self._held = due_ns, b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        held = self._held = self._held + data if self._held else data
        end = held.find(b"\r\n\r\n")
        if end < 0 or self._due_ns is None:
            return
        length = _LENGTH.search(held, 0, end)
        if length is None:
            self.transport.abort()
        elif len(held) >= end + 4 + int(length[1]):
            due_ns, self._due_ns = self._due_ns, None
            self._generator.answered(due_ns, good=held.startswith(b"HTTP/1.1 200"))
            self._generator.freed(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        due_ns, self._due_ns = self._due_ns, None
        self._generator.lost(self, due_ns)


class Generator:
    """Sends each request when it is due and keeps the books."""

    def __init__(self, url: str, bodies: list[bytes], due_s: list[float]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        self._requests = [b"%scontent-length: %d\r\n\r\n%s" % (head.encode(), len(body), body) for body in bodies]
        self._due_s = due_s
        self._due_ns: list[int] = []
        self._counted_ns = self._counted = 0
        self._at = 0
        self._free: deque[Connection] = deque()
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._alarm = Alarm()
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self.latencies_s: list[float] = []
        self.lateness_s: list[float] = []
        self.failed = 0

    async def run(self) -> None:
        """All of it, from the first connection to the last answer."""
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Connection(self), self._host, self._port)
        begin_ns = clock_gettime_ns(_MONOTONIC) + _NS_PER_S // 100
        self._due_ns = [begin_ns + round(at_s * _NS_PER_S) for at_s in self._due_s]
        self._counted_ns = begin_ns + round(WARM_UP_S * _NS_PER_S)
        self._counted = sum(1 for due_ns in self._due_ns if due_ns >= self._counted_ns)
        loop.add_reader(self._alarm.descriptor, self._wake)
        self._alarm.set(self._due_ns[0])
        try:
            await asyncio.wait_for(self._ended.wait(), self._due_s[-1] + _END_S)
        except TimeoutError:
            self.failed = self._counted - len(self.latencies_s)
        finally:
            loop.remove_reader(self._alarm.descriptor)
            os.close(self._alarm.descriptor)
            self._ended.set()  # who is lost now is not replaced
            for connection in tuple(self._open):
                connection.transport.abort()
            await asyncio.gather(*self._connecting, return_exceptions=True)

    def opened(self, connection: Connection) -> None:
        """A connection is there; too late perhaps."""
        if self._ended.is_set():
            connection.transport.abort()
        else:
            self._open.add(connection)
            self.freed(connection)

    def freed(self, connection: Connection) -> None:
        """A connection has nothing to do."""
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def answered(self, due_ns: int, *, good: bool) -> None:
        """The answer to a request came."""
        if due_ns >= self._counted_ns:
            if good:
                self.latencies_s.append((clock_gettime_ns(_MONOTONIC) - due_ns) / _NS_PER_S)
            else:
                self.failed += 1
        self._end_if_done()

    def lost(self, connection: Connection, due_ns: int | None) -> None:
        """A connection is gone, with a request or without; another takes its place."""
        self._open.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if due_ns is not None and due_ns >= self._counted_ns:
            self.failed += 1
        self._end_if_done()
        if self._ended.is_set():
            return
        task = asyncio.get_running_loop().create_task(self._connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Connection(self), self._host, self._port)
        except OSError:
            await asyncio.sleep(0.01)

    def _wake(self) -> None:
        os.read(self._alarm.descriptor, 8)
        now_ns = clock_gettime_ns(_MONOTONIC)
        while self._at < len(self._due_ns) and self._due_ns[self._at] <= now_ns:
            due_ns = self._due_ns[self._at]
            request = self._requests[self._at % len(self._requests)]
            self._at += 1
            self.lateness_s.append((now_ns - due_ns) / _NS_PER_S)
            if self._free:
                self._free.popleft().send(request, due_ns)
            else:
                self._waiting.append((request, due_ns))
        if self._at < len(self._due_ns):
            self._alarm.set(self._due_ns[self._at])

    def _end_if_done(self) -> None:
        if self._due_ns and self._at == len(self._due_ns) and len(self.latencies_s) + self.failed >= self._counted:
            self._ended.set()


async def generate(url: str, bodies: list[bytes], rate_per_s: float, seconds: float) -> Latencies:
    """One run; raises LoadFailed when nothing was answered."""
    generator = Generator(url, bodies, moments(rate_per_s, WARM_UP_S + seconds))
    await generator.run()
    if not generator.latencies_s:
        raise LoadFailed(f"nothing was answered, {generator.failed} failed")
    return summed(generator.latencies_s, generator.lateness_s, generator.failed)


def main() -> int:
    """The process; 1 with a sentence when there is nothing to tell."""
    url, bodies, rate_per_s, seconds = sys.argv[1:]
    requests = msgspec.msgpack.decode(Path(bodies).read_bytes(), type=list[bytes])
    try:
        found = uvloop.run(generate(url, requests, float(rate_per_s), float(seconds)))
    except (LoadFailed, OSError) as error:
        print(error)
        return 1
    print(msgspec.json.encode(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
