"""Challengers that answer without reading what they were asked: nothing of it may stay here (M2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.proxy.scripted import Connection, Script, World, answering, post, until

BODY = b"x" * 16_000_000  # more than the kernel's buffers take
BOUNDS: dict[str, Any] = {"body_bytes": 20_000_000, "mirror_body_bytes": 20_000_000, "mirror_bytes": 90_000_000}


def answering_unread(answer: bytes) -> Script:
    """Answers before a request was read, reads nothing, and keeps the connection."""

    async def script(connection: Connection) -> None:
        await connection.reader.readexactly(1)
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        connection.send(answer)
        await asyncio.Event().wait()

    return script


@pytest.mark.parametrize("end", [b"", b"connection: close\r\n"], ids=["lives on", "is the last"])
async def test_what_a_challenger_does_not_read_is_not_held_after_its_answer(world: World, end: bytes) -> None:
    answer = b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n%s\r\nno" % end
    _, challenger = await world.shadowed(
        answering(), answering_unread(answer), shadow={"copy_bytes": 90_000_000}, **BOUNDS
    )
    made: list[Any] = []
    connect = world.loop.create_connection

    async def connecting(make: Any, host: str, port: int, **more: Any) -> Any:
        transport, protocol = await connect(make, host, port, **more)
        if port == challenger.port:
            made.append(transport)
        return transport, protocol

    world.loop.create_connection = connecting
    await (await world.caller()).ask(post(BODY))
    await until(lambda: world.copies[1] == 1)
    await world.quiet()
    assert world.copies == (1, 1, {"status_4xx": 1}, {})
    assert [transport.get_write_buffer_size() for transport in made] == [0]
    assert [transport.is_closing() for transport in made] == [True]
