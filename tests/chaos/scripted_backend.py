"""Model servers that follow a script for each connection, on one loop in a thread of its own.

What a script does is real bytes on real sockets; what came is recorded: requests, connections ever and at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

import uvloop

T = TypeVar("T")


class Request(NamedTuple):
    """One request as it came off the wire."""

    start: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    def value(self, name: bytes) -> bytes:
        """The first value; empty where there is none."""
        return next(iter(self.all(name)), b"")

    @property
    def id(self) -> str:
        return self.value(b"x-request-id").decode()

    @property
    def is_copy(self) -> bool:
        return bool(self.all(b"sidecar-shadow"))


class Connection:
    """One connection as its script sees it. `number` counts the backend's connections from 0."""

    def __init__(self, backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.backend = backend
        self.number = backend.connections
        self.reader = reader
        self.writer = writer

    async def head(self) -> Request:
        """The next request without its body. Raises IncompleteReadError at the connection's end."""
        start, *lines = (await self.reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n").split(b"\r\n")
        return Request(start, [(name, value) for name, _, value in (line.partition(b": ") for line in lines)], b"")

    async def body(self, head: Request) -> bytes:
        """All of its body."""
        if length := head.value(b"content-length"):
            return await self.reader.readexactly(int(length))
        parts = []
        if head.all(b"transfer-encoding"):
            while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
                parts.append(await self.reader.readexactly(size))
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        return b"".join(parts)

    async def request(self) -> Request:
        """The next request, whole; it is recorded, its body too if the backend keeps bodies."""
        head = await self.head()
        request = head._replace(body=await self.body(head))
        if self.backend.record:
            self.backend.requests.append(request if self.backend.keep_bodies else head)
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Ends it by RST."""
        over = self.writer.transport.get_extra_info("socket")
        if over is not None:  # else it has ended by itself
            with contextlib.suppress(OSError, ValueError):
                over.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Waits until the other side ended the connection."""
        while await self.reader.read(65536):
            pass


Script = Callable[[Connection], Awaitable[None]]


class Backend:
    """A listening port whose every connection runs `script`. Make it by `Stage.backend`."""

    def __init__(
        self, stage: Stage, script: Script, *, keep_bodies: bool, receive_bytes: int | None, record: bool
    ) -> None:
        self.script = script
        self.record = record
        self.keep_bodies = keep_bodies
        self.requests: list[Request] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self._stage = stage
        self._tasks: set[asyncio.Task[Any]] = set()
        self._living: set[Connection] = set()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_bytes is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._listener.bind(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = stage.run(self._listen(self._listener))

    async def _listen(self, listener: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(self._serve, sock=listener, backlog=1024)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(self, reader, writer)
        self._living.add(connection)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self.script(connection)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, RuntimeError):
            pass  # RuntimeError: uvloop's word for reading on where the connection has ended
        finally:
            self.open -= 1
            self._living.discard(connection)
            self._tasks.discard(task)
            writer.close()

    @property
    def ids(self) -> list[str]:
        """The ids of all requests, in order."""
        return [request.id for request in list(self.requests)]

    def cut_all(self) -> None:
        """Resets every connection that is open."""
        self._stage.run(self._cut_all())

    async def _cut_all(self) -> None:
        for connection in list(self._living):
            connection.reset()

    def go_down(self) -> None:
        """Resets all connections and refuses new ones."""
        self._stage.run(self._close())
        self.cut_all()

    async def _close(self) -> None:
        self._server.close()

    def come_back(self) -> None:
        """Listens on the same port again."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self._server = self._stage.run(self._listen(listener))

    def close(self) -> None:
        self._stage.run(self._end())

    async def _end(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Stage:
    """The thread that all backends of a test live in."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="backends")
        self._thread.start()
        self._backends: list[Backend] = []
        self._reserved: list[socket.socket] = []

    def backend(
        self, script: Script, *, keep_bodies: bool = False, receive_bytes: int | None = None, record: bool = True
    ) -> Backend:
        made = Backend(self, script, keep_bodies=keep_bodies, receive_bytes=receive_bytes, record=record)
        self._backends.append(made)
        return made

    def refusing(self) -> str:
        """A URL where nobody listens, and nobody else can meanwhile."""
        return self._reserve()

    def unaccepting(self) -> str:
        """A URL whose backlog is full: connecting neither succeeds nor fails."""
        url = self._reserve()
        self._reserved[-1].listen(0)
        address = self._reserved[-1].getsockname()
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(address)
            self._reserved.append(caller)
        return url

    def _reserve(self) -> str:
        reserved = socket.socket()
        reserved.bind(("127.0.0.1", 0))
        self._reserved.append(reserved)
        return f"http://127.0.0.1:{reserved.getsockname()[1]}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something on the loop and waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        for backend in self._backends:
            backend.close()
        for reserved in self._reserved:
            reserved.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
