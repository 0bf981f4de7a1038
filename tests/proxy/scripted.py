"""Both ends of the data plane, speaking bytes: a scripted model server, a raw caller, and the plane between them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from sidecar.decide.routing_table import Bounds, Destination, Route, RoutingTable, Shadow
from sidecar.proxy.listener import Caller
from sidecar.proxy.plane import Plane
from sidecar.records import Exchange, WorkerCounts
from tests.proxy.messages import Message, read_message

BOUNDS = Bounds(
    body_bytes=4_000_000, mirror_body_bytes=100_000, header_bytes=4096, target_bytes=1024, headers=32,
    connections=50, mirror_bytes=400_000, capture_bytes=1_000_000, headers_s=10, body_s=60, connect_s=2,
    answer_s=60, between_bytes_s=30, idle_client_s=75, idle_upstream_s=4, drain_s=25,
)  # fmt: skip
INFER = "/v2/models/fraud/infer"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection by RST."""
    if writer.transport.is_closing():
        return
    sock = writer.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Connection:
    """One connection as the script of a model server sees it."""

    def __init__(self, server: ModelServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer

    async def request(self) -> Message:
        message = await read_message(self.reader)
        self.server.requests.append(message)
        return message

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        reset(self.writer)

    async def gone(self) -> None:
        """Waits until the other side ended the connection."""
        while await self.reader.read(65536):
            pass


Script = Callable[[Connection], Awaitable[None]]


def answering(answer: bytes = OK) -> Script:
    """Every request gets these bytes."""

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            connection.send(answer)

    return script


def answering_then(answer: bytes, end: Callable[[Connection], None]) -> Script:
    """One request gets these bytes, then the connection ends."""

    async def script(connection: Connection) -> None:
        await connection.request()
        connection.send(answer)
        await connection.writer.drain()
        end(connection)

    return script


async def silent(connection: Connection) -> None:
    """Reads requests and never answers."""
    while True:
        await connection.request()


class ModelServer:
    """A model server that follows a script for each connection; the last script serves all further ones."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts or (answering(),)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.connections = 0
        self.requests: list[Message] = []
        self.version = ""
        self.port = 0
        self.unix = ""

    async def start(self, unix: str = "") -> ModelServer:
        if unix:
            self.unix = unix
            self._server = await asyncio.start_unix_server(self._serve, unix)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            await script(Connection(self, reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    def deaf(self) -> None:
        """Accepts no more."""
        assert self._server is not None
        self._server.close()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await until(lambda: not self._tasks)

    def at(self, version: str, path: str | None = None) -> Destination:
        self.version = version
        host = "" if self.unix else "127.0.0.1"
        return Destination(version, host, self.port, self.unix, path)


async def until(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Lets the loop run until something is so."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.001)


class ShiftedLoop:
    """The running loop with a clock that a test moves."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.shift_s = 0.0
        self.create_connection: Any = loop.create_connection  # a test may put another in its place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._loop.time() + self.shift_s


class RawCaller:
    """A client that writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def send_slowly(self, *parts: bytes) -> None:
        """Each part in a packet of its own."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def answer(self, *, bodyless: bool = False) -> Message:
        async with asyncio.timeout(20):
            return await read_message(self.reader, bodyless=bodyless, answer=True)

    async def ask(self, data: bytes) -> Message:
        self.send(data)
        return await self.answer()

    async def rest(self) -> bytes:
        """Everything until the connection's orderly end."""
        async with asyncio.timeout(20):
            return await self.reader.read()

    async def is_cut(self) -> bool:
        """True when the connection ends by a reset."""
        try:
            await self.rest()
        except ConnectionResetError:
            return True
        return False

    def reset(self) -> None:
        reset(self.writer)

    def close(self) -> None:
        self.writer.close()


class World:
    """A plane with callers on one side and model servers on the other."""

    def __init__(self) -> None:
        self.loop = ShiftedLoop(asyncio.get_running_loop())
        self.offered: list[Exchange] = []
        self.callers: list[RawCaller] = []
        self.servers: list[ModelServer] = []
        self.plane: Plane
        self.server: asyncio.AbstractServer
        self.port = 0

    async def model(self, *scripts: Script, unix: str = "") -> ModelServer:
        server = await ModelServer(*scripts).start(unix)
        self.servers.append(server)
        return server

    async def serve(self, table: RoutingTable, *, control_up: bool = True) -> None:
        self.plane = Plane(self.loop, "w0", table)  # type: ignore[arg-type]  # the loop, with another clock
        self.plane.offer = self.offered.append
        self.plane.control_up = control_up
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Caller(self.plane), "127.0.0.1", 0)  # type: ignore[arg-type,return-value]
        self.port = self.server.sockets[0].getsockname()[1]

    async def stand(self, *scripts: Script, **bounds: Any) -> ModelServer:
        """The usual: one deployment, its champion following these scripts, no challenger."""
        champion = await self.model(*scripts)
        await self.serve(table(champion.at("3"), **bounds))
        return champion

    async def shadowed(
        self, champion: Script, challenger: Script, *, shadow: dict[str, Any] | None = None, **bounds: Any
    ) -> tuple[ModelServer, ModelServer]:
        """A champion and one challenger."""
        first, second = await self.model(champion), await self.model(challenger)
        await self.serve(table(first.at("3"), shadow_of(second.at("4"), **(shadow or {})), **bounds))
        return first, second

    async def caller(self) -> RawCaller:
        caller = RawCaller(*await asyncio.open_connection("127.0.0.1", self.port))
        self.callers.append(caller)
        return caller

    def later(self, seconds: float) -> None:
        """Time passes, and the tick comes."""
        self.loop.shift_s += seconds
        self.plane.tick()

    @property
    def counts(self) -> WorkerCounts:
        return self.plane.tally.read(len(self.plane.callers), self.plane.mirror.held_bytes)

    @property
    def codes(self) -> dict[int, int]:
        result: dict[int, int] = {}
        for counted in self.counts.requests:
            result[counted.code] = result.get(counted.code, 0) + counted.count
        return result

    @property
    def copies(self) -> tuple[int, int, dict[str, int], dict[str, int]]:
        """Of the only challenger: mirrored, answered, errors, dropped (those that happened)."""
        (counted,) = self.counts.shadows
        errors = {kind: n for kind, n in counted.errors.items() if n}
        dropped = {reason: n for reason, n in counted.dropped.items() if n}
        return counted.mirrored, counted.answered, errors, dropped

    @property
    def capture_dropped(self) -> dict[str, int]:
        return {reason: n for reason, n in self.counts.capture_dropped.items() if n}

    async def quiet(self) -> None:
        """Waits until nothing is under way, and then checks that nothing is held."""
        await until(lambda: not self.plane.mirror.legs and not self.counts.inflight)
        assert self.plane.mirror.held_bytes == 0
        assert not any(challenger.inflight for challenger in self.plane._challengers.values())

    async def stop(self) -> None:
        for caller in self.callers:
            caller.reset()
        try:
            await self._check_nothing_is_left()
        finally:
            for server in self.servers:
                await server.stop()

    async def _check_nothing_is_left(self) -> None:
        if hasattr(self, "server"):
            self.server.close()
            await until(lambda: not self.plane.callers)
            assert self.counts.inflight == 0
            self.plane.close()
            assert self.plane.mirror.held_bytes == 0


def shadow_of(
    to: Destination,
    *,
    fraction: float = 1.0,
    timeout_s: float = 5.0,
    max_inflight: int = 10,
    enabled: bool = True,
    copy_bytes: int = 400_000,
    **more: Any,
) -> Shadow:
    return Shadow(to, fraction, timeout_s, max_inflight, enabled, copy_bytes, **more)


def table(champion: Destination, *shadows: Shadow, serial: int = 1, **bounds: Any) -> RoutingTable:
    route = Route("fraud", INFER, False, "auto", 7, champion, shadows)
    upstream = msgspec.structs.replace(champion, version="", path=None)
    return RoutingTable(serial, (route,), upstream, msgspec.structs.replace(BOUNDS, **bounds))


def post(body: bytes = b"{}", *lines: bytes, path: str = INFER) -> bytes:
    """An inference request."""
    head = (b"POST %s HTTP/1.1" % path.encode(), b"Host: a", b"content-length: %d" % len(body), *lines)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def chunked_post(*parts: bytes) -> bytes:
    """The same, its body in chunks."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"POST %s HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n%s0\r\n\r\n" % (INFER.encode(), body)
