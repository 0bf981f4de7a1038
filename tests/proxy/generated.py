"""Hypothesis strategies for messages of HTTP/1.1: what makes sense, and what has been tampered with."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

MEANT = frozenset(
    b"host connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length expect date "
    b"x-request-id content_length transfer_encoding sidecar-model sidecar-version sidecar-error sidecar-shadow".split()
)
NAMES = st.one_of(
    st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode),
    st.sampled_from([b"Set-Cookie", b"X-A", b"x-a", b"Authorization", b"Content-Type", b"Accept"]),
).filter(lambda name: name.lower() not in MEANT)
VALUES = st.binary(max_size=30).map(
    lambda value: bytes(b for b in value if (b >= 32 and b != 127) or b == 9).strip(b" \t")
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
# What is one hop's own: taken off, whatever else it says.
HOP = st.sampled_from(
    [
        [],
        [(b"Connection", b"X-Gone, content-length, host, set-cookie"), (b"X-Gone", b"1")],
        [(b"x-gone", b""), (b"Connection", b"keep-alive,,x-gone")],
        [(b"TE", b"trailers"), (b"Trailer", b"X"), (b"Keep-Alive", b"timeout=9"), (b"Proxy-Connection", b"keep-alive")],
    ]
)
TARGETS = st.text("abcXYZ019/-._~!$&'()*+,;=:@%?[]{}|\"<>^`", max_size=40).map(lambda text: b"/" + text.encode())
METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD", b"PROPFIND"])
# Bodies that look like something else.
TRICKS = [
    b"0\r\n\r\n", b"\r\n\r\n", b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"5\r\nabcde\r\n", b"\n", b"\r",
]  # fmt: skip
CONTENTS = st.one_of(st.binary(max_size=60), st.sampled_from(TRICKS))
CHUNKS = st.lists(st.one_of(st.binary(min_size=1, max_size=30), st.sampled_from(TRICKS)), max_size=5)
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b';a="b;c"', b";a;b=c"])
TRAILERS = st.sampled_from([b"", b"X: y\r\n", b"Authorization: t\r\nHost: evil\r\n", b"Set-Cookie: c\r\n"])
PLACES = st.lists(st.integers(1, 600), max_size=8)

HOSTILE = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b"\x0b", b"\x85", b"\xa0", b"\xff", b":", b";", b",", b"0",
    b"1", b"-", b"+", b"_", b"0x", b"chunked", b"HTTP/1.0", b"HTTP/1.1", b" \r\n", b"\r\n ", b"#", b"//b", b"http://b",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n",
    b"Transfer-Encoding: chunked, x\r\n", b"Connection: close\r\n", b"Connection: content-length\r\n", b"Host: b\r\n",
    b"Upgrade: x\r\nConnection: upgrade\r\n", b"Expect: 100-continue\r\n", b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 103 Early\r\n\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n",
]  # fmt: skip
TAMPERINGS = st.lists(
    st.tuples(st.integers(0, 1200), st.sampled_from([0, 0, 0, 1, 2]), st.sampled_from(HOSTILE)), min_size=1, max_size=3
)


@dataclass(frozen=True, slots=True)
class Framing:
    """`lines` to put among the headers, and the bytes of the body."""

    content: bytes
    lines: tuple[tuple[bytes, bytes], ...]
    data: bytes


NOTHING = Framing(b"", (), b"")


def counted(content: bytes) -> Framing:
    return Framing(content, ((b"Content-Length", b"%d" % len(content)),), content)


@st.composite
def in_chunks(draw: st.DrawFn) -> Framing:
    parts = draw(CHUNKS)
    data = b"".join(b"%x%s\r\n%s\r\n" % (len(part), draw(EXTENSIONS), part) for part in parts)
    end = b"0%s\r\n%s\r\n" % (draw(EXTENSIONS), draw(TRAILERS))
    return Framing(b"".join(parts), ((b"Transfer-Encoding", b"chunked"),), data + end)


FRAMINGS = st.one_of(st.just(NOTHING), CONTENTS.map(counted), in_chunks())


def tampered(data: bytes, tamperings: list[tuple[int, int, bytes]]) -> bytes:
    """At each place, so many bytes are taken away and these put in; at every second one, where the next line begins."""
    for place, taken, put in tamperings:
        at = place // 2 % (len(data) + 1)
        if place % 2:
            at = data.find(b"\r\n", at) + 2
        data = data[:at] + put + data[at + taken :]
    return data
