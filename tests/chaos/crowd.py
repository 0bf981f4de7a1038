"""Callers by the hundred: honest ones that are timed, slow ones of three kinds, and those that go away midway.

Each function is a coroutine for `asyncio.run`; all bytes are written by hand, so that every misdeed is exact.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from time import monotonic
from typing import NamedTuple

from tests.process.whole_sidecar import ROW

SLOW_RECEIVE_BYTES = 4096


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class Caller:
    """A kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes) -> Answer:
        """Sends bytes and reads one answer. Raises OSError or IncompleteReadError where it is cut."""
        began = monotonic()
        self.writer.write(data)
        return await self.answer(began)

    async def answer(self, began: float) -> Answer:
        """Reads one answer."""
        start, *lines = (
            (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        )
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        parts = []
        if "content-length" in headers:
            parts.append(await self.reader.readexactly(int(headers["content-length"])))
        elif "transfer-encoding" in headers:
            while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
                parts.append(await self.reader.readexactly(size))
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        return Answer(int(start.split(" ")[1]), headers, b"".join(parts), monotonic() - began)

    def reset(self) -> None:
        """Ends it by RST."""
        with contextlib.suppress(OSError, ValueError):
            now = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.writer.transport.abort()

    async def ended(self) -> None:
        """Waits until the other side ends the connection, in whatever way."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass


async def connect(url: str) -> Caller:
    """A new connection to `http://HOST:PORT` or `unix:/path`."""
    if url.startswith("unix:"):
        return Caller(*await asyncio.open_unix_connection(url.removeprefix("unix:")))
    host, _, port = url.removeprefix("http://").rpartition(":")
    connection = socket.socket()
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    except OSError:
        connection.close()
        raise
    return Caller(*await asyncio.open_connection(sock=connection))


def post(path: str, body: bytes = ROW, request_id: str = "", *lines: str) -> bytes:
    """The bytes of an inference request."""
    head = [f"POST {path} HTTP/1.1", "Host: model.example", f"content-length: {len(body)}", *lines]
    head += [f"x-request-id: {request_id}"] * bool(request_id)
    return "\r\n".join((*head, "", "")).encode() + body


class Visit:
    """What a crowd of honest callers met."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.failed: dict[str, str] = {}

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)

    @property
    def bodies(self) -> set[bytes]:
        return {answer.body for answer in self.answers}

    @property
    def p99_s(self) -> float:
        return self._within_s(0.99)

    @property
    def p90_s(self) -> float:
        """For a crowd so large that this process itself is late now and then."""
        return self._within_s(0.9)

    def _within_s(self, share: float) -> float:
        seconds = sorted(answer.seconds for answer in self.answers)
        return seconds[int(len(seconds) * share)] if seconds else 0.0


async def visit(
    url: str, path: str, ids: Iterable[str], *, callers: int = 8, body: bytes = ROW, lines: tuple[str, ...] = ()
) -> Visit:
    """One request for each id, by so many callers on kept connections, without a pause."""
    seen, waiting = Visit(), list(reversed(list(ids)))

    async def call() -> None:
        caller = await connect(url)
        while waiting:
            request_id = waiting.pop()
            try:
                answer = await asyncio.wait_for(caller.ask(post(path, body, request_id, *lines)), 30)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as fault:
                seen.failed[request_id] = repr(fault)
                caller.reset()
                caller = await connect(url)
                continue
            seen.answers.append(answer)
            if answer.headers.get("connection") == "close":
                caller.reset()
                caller = await connect(url)
        caller.reset()

    await asyncio.gather(*(call() for _ in range(callers)))
    return seen


# --- slow on purpose -------------------------------------------------------------------------------------------


async def slow_head(url: str, path: str) -> float:
    """A header byte now and then, for ever. How many seconds until it was thrown out."""
    caller = await connect(url)
    began = monotonic()
    return await _dripping(caller, f"POST {path} HTTP/1.1\r\nHost: a\r\nx-slow: ".encode(), began)


async def slow_body(url: str, path: str) -> float:
    """A byte of the body now and then, for ever."""
    caller = await connect(url)
    began = monotonic()
    return await _dripping(
        caller, f"POST {path} HTTP/1.1\r\nHost: a\r\ncontent-length: 1000000\r\n\r\n".encode(), began
    )


async def _dripping(caller: Caller, first: bytes, began: float) -> float:
    ended = asyncio.ensure_future(caller.ended())
    caller.writer.write(first)
    while not ended.done():
        await asyncio.wait({ended}, timeout=0.5)
        if not ended.done():
            caller.writer.write(b"x")
    caller.reset()
    return monotonic() - began


async def slow_reader(url: str, path: str) -> float:
    """Asks for a large answer and takes nothing of it. How many seconds until it was thrown out."""
    unix = url.startswith("unix:")
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as raw:
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_RECEIVE_BYTES)
        host, _, port = url.removeprefix("http://").rpartition(":")
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, url.removeprefix("unix:") if unix else (host, int(port)))
        began = monotonic()
        await loop.sock_sendall(raw, post(path))
        while not _hung_up(raw):
            await asyncio.sleep(0.25)
        return monotonic() - began


def _hung_up(raw: socket.socket) -> bool:
    """Whether the other side ended a connection that is not read from: by poll(2), which needs no reading for it."""
    poll = select.poll()
    poll.register(raw, 0)
    return bool(poll.poll(0))


# --- gone midway -----------------------------------------------------------------------------------------------

ABORT_POINTS = 20


async def aborted(url: str, request: bytes, point: int, *, politely: bool) -> None:
    """Goes away at one of twenty points: before, within and behind the request, and within its answer."""
    caller = await connect(url)
    head = request.index(b"\r\n\r\n") + 4
    body = len(request) - head
    within = (head + body * sixth // 6 for sixth in range(1, 6))
    cuts = (0, 1, head // 4, head // 2, head - 2, head, head + 1, *within)
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        if point < len(cuts):
            caller.writer.write(request[: cuts[point]])
            await asyncio.sleep(0)
        else:
            caller.writer.write(request)
            late = point - len(cuts)
            if late < 4:
                await asyncio.sleep((0, 0.001, 0.004, 0.008)[late])
            else:
                # Where an answer is shorter, behind its end.
                await asyncio.wait_for(caller.reader.readexactly((1, 20, 1000, 20_000)[late - 4]), 0.1)
    if politely:
        caller.writer.close()
    else:
        caller.reset()
