"""What the plane forwards is read again by h11, an independent reader, and must mean what the caller said."""

from __future__ import annotations

import asyncio

import h11
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proxy.scripted import OK, Connection, World

TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
MEANT = frozenset(
    b"host connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length expect "
    b"x-request-id content_length transfer_encoding".split()
)
NAME = TOKEN.filter(lambda name: name.lower() not in MEANT)
VALUE = st.binary(max_size=30).map(lambda value: bytes(b for b in value if b >= 32 and b != 127).strip(b" "))
TARGET = st.text("abcXYZ019/-._~!$&'()*+,;=:@%?", max_size=40).map(lambda text: b"/" + text.encode())
METHOD = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"])
BODY = st.one_of(
    st.none(), st.binary(max_size=200), st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=5)
)
Body = None | bytes | list[bytes]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(METHOD, TARGET, st.lists(st.tuples(NAME, VALUE), max_size=8), BODY, st.integers(1, 200))
def test_what_is_forwarded_means_what_was_said(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], body: Body, split: int
) -> None:
    import uvloop

    uvloop.run(_check(method, target, headers, body, split))


async def _check(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], body: Body, split: int) -> None:
    seen = bytearray()

    async def script(connection: Connection) -> None:
        while data := await connection.reader.read(65536):
            seen.extend(data)
            if _whole(seen):
                break
        connection.send(OK)
        await connection.gone()

    world = World()
    await world.stand(script)
    try:
        lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: a", *(b"%s: %s" % header for header in headers)]
        framing: list[bytes] = []
        content = b""
        if isinstance(body, bytes):
            framing, content = [b"Content-Length: %d" % len(body)], body
        elif body is not None:
            framing = [b"Transfer-Encoding: chunked"]
            content = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in body) + b"0\r\n\r\n"
        data = b"\r\n".join([*lines, *framing, b"x-request-id: i"]) + b"\r\n\r\n" + content
        caller = await world.caller()
        await caller.send_slowly(data[:split], data[split:])
        assert (await caller.answer()).status == 200
    finally:
        await world.stop()
    events = _events(seen)
    request = events[0]
    assert isinstance(request, h11.Request)
    assert (request.method, request.target, request.http_version) == (method, target, b"1.1")
    expected = [(b"Host", b"a"), *headers]
    if isinstance(body, bytes):
        expected.append((b"Content-Length", b"%d" % len(body)))
    expected.append((b"x-request-id", b"i"))
    if isinstance(body, list):
        expected.append((b"transfer-encoding", b"chunked"))
    assert request.headers.raw_items() == expected
    read = b"".join(bytes(event.data) for event in events if isinstance(event, h11.Data))
    assert read == (b"".join(body) if isinstance(body, list) else body or b"")


def _events(seen: bytes | bytearray) -> list[h11.Event]:
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(bytes(seen))
    events: list[h11.Event] = []
    while True:
        event = reader.next_event()
        if not isinstance(event, h11.Event):
            return events
        events.append(event)
        if isinstance(event, h11.EndOfMessage):
            assert reader.trailing_data == (b"", False)
            return events


def _whole(seen: bytes | bytearray) -> bool:
    return any(isinstance(event, h11.EndOfMessage) for event in _events(seen))


async def test_the_reader_sees_where_two_requests_are_one_too_many() -> None:
    await asyncio.sleep(0)
    assert not _whole(b"GET / HTTP/1.1\r\nHost: a\r\n")
