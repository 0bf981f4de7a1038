"""Messages read off a wire, strictly and byte by byte."""

from __future__ import annotations

import asyncio


class Message:
    """One message off the wire, byte-exact."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body
        self.start, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        self.headers = [(line.partition(b": ")[0], line.partition(b": ")[2]) for line in lines]

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name: bytes) -> bytes:
        (value,) = self.all(name)
        return value


async def read_message(reader: asyncio.StreamReader, *, bodyless: bool = False, answer: bool = False) -> Message:
    """Reads one message strictly; raises IncompleteReadError where it is cut."""
    head = await reader.readuntil(b"\r\n\r\n")
    message = Message(head, b"")
    lengths, codings = message.all(b"content-length"), message.all(b"transfer-encoding")
    assert len(lengths) + len(codings) <= 1, head
    if bodyless or (answer and message.status in (100, 204, 304)):
        return message
    if lengths:
        message.body = await reader.readexactly(int(lengths[0]))
    elif codings:
        assert codings == [b"chunked"]
        while True:
            size = int((await reader.readuntil(b"\r\n"))[:-2], 16)
            message.body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
            if not size:
                break
    elif answer:
        message.body = await reader.read()
    return message
