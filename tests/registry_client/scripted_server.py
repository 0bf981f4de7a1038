"""A server that answers byte by byte what a test says, right or wrong, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))


@dataclass(frozen=True)
class Says:
    """`data`, then the end of the connection; or silence until the client leaves; or `again` over and over."""

    data: bytes
    silent: bool = False
    again: bytes = b""


@dataclass
class Script:
    """`answer` decides; it may be replaced at any time."""

    answer: Callable[[Asked], Says]
    port: int = 0
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def says(
    body: bytes | str | dict[str, Any] = b"", status: int = 200, media_type: str = "application/json", **headers: str
) -> Says:
    """A whole answer of one length."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    lines = {"Content-Type": media_type, "Content-Length": str(len(data)), "Connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return Says(f"HTTP/1.1 {status} Some\r\n{head}\r\n".encode() + data)


def one_after_another(*answers: Says) -> Callable[[Asked], Says]:
    """Each answer once, the last one for ever."""
    left = list(answers)
    return lambda _asked: left.pop(0) if len(left) > 1 else left[0]


@contextlib.asynccontextmanager
async def scripted(answer: Callable[[Asked], Says] | Says, tls: ssl.SSLContext | None = None) -> AsyncIterator[Script]:
    script = Script(answer if callable(answer) else one_after_another(answer))
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                asked = await _request(reader)
                script.asked.append(asked)
                said = script.answer(asked)
                writer.write(said.data)
                while said.again:
                    writer.write(said.again)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                if said.silent:
                    await reader.read()
                await writer.drain()
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()  # does nothing to one that is closed
            serving.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        left = [task for task in serving if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed in the loop's next round


async def _request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = bytearray()
        while size := int((await reader.readline()).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return Asked(method, target, headers, bytes(body))
    return Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
