"""What a challenger may do to the one who sends it copies: it stalls, breaks off, or floods. One script each."""

from __future__ import annotations

import asyncio
import gzip
import json

from tests.chaos.scripted_backend import Connection, Script

GIB = 1 << 30
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def answer_bytes(version: str, size: int = 0) -> bytes:
    """A V2 answer; `size` pads its body with blanks to that length."""
    output = {"name": "label", "shape": [1], "datatype": "INT64", "data": [1]}
    body = json.dumps({"model_name": "m", "model_version": version, "outputs": [output]}).encode().ljust(size)
    return HEAD % len(body) + body


def healthy(version: str, size: int = 0) -> Script:
    """Answers at once."""
    answer = answer_bytes(version, size)

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(answer)

    return script


# --- stalls ------------------------------------------------------------------------------------------------------


async def never_reads(connection: Connection) -> None:
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every stream's transport reads
    await asyncio.Event().wait()


async def never_answers(connection: Connection) -> None:
    while True:
        await connection.request()


async def drips(connection: Connection) -> None:
    """A byte now and then, for ever: no pause is long, and the answer never ends."""
    await connection.request()
    await connection.send(HEAD % 1_000_000)
    while True:
        await connection.send(b" ")
        await asyncio.sleep(0.1)


async def drips_its_head(connection: Connection) -> None:
    await connection.request()
    for byte in HEAD % 2:
        await connection.send(bytes((byte,)))
        await asyncio.sleep(0.2)


# --- breaks off --------------------------------------------------------------------------------------------------


async def resets_at_once(connection: Connection) -> None:
    connection.reset()


async def resets_in_the_head(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-le")
    connection.reset()


async def resets_in_the_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(answer_bytes("4")[:-10])
    connection.reset()


async def resets_after_the_answer(connection: Connection) -> None:
    await connection.request()
    await connection.send(answer_bytes("4"))
    await asyncio.sleep(0.02)  # else the reset overtakes the answer
    connection.reset()


async def closes_without_an_answer(connection: Connection) -> None:
    await connection.request()


async def talks_garbage(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    await connection.gone()


async def answers_unasked(connection: Connection) -> None:
    """Two answers to each request: the second must never be taken for the next one's."""
    while True:
        await connection.request()
        await connection.send(answer_bytes("4") + answer_bytes("stray"))


async def fails(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.send(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nno")


# --- floods ------------------------------------------------------------------------------------------------------


async def endless_headers(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await connection.send(b"x-filler: %s\r\n" % (b"a" * 200) * 50)


async def endless_interim_answers(connection: Connection) -> None:
    await connection.request()
    while True:
        await connection.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 200)


async def one_gibibyte(connection: Connection) -> None:
    await connection.request()
    await connection.send(HEAD % GIB)
    part = b" " * 65536
    for _ in range(GIB // len(part)):
        await connection.send(part)
    await connection.gone()


async def endless_chunks(connection: Connection) -> None:
    """Two bytes each: almost nothing to keep, and much to do and to remember for whoever takes them one by one."""
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await connection.send(b"2\r\n  \r\n" * 5000)


def gzip_bomb() -> Script:
    """One GiB of blanks in one MiB: honest framing, and a trap for whoever unpacks it."""
    body = gzip.compress(b" " * (GIB // 64), 9) * 64
    answer = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    )

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(answer % len(body) + body)

    return script
