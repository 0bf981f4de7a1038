"""What the worker emits to a champion is read again by h11, httptools, waitress and Node, who must agree on it.

Whatever comes in: where it makes sense, they agree on what the caller said; where somebody tampered with it, they
still agree with each other, so that no server behind us sees another number of requests than we did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proxy.generated import FRAMINGS, HEADERS, HOP, METHODS, PLACES, TAMPERINGS, TARGETS, tampered
from tests.proxy.relay import Relayed, relay, split
from tests.proxy.rereading import Headers, Node, Request, h11_requests, httptools_requests, waitress_requests

OURS = (b"x-request-id", b"transfer-encoding")
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
LIKE = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a caller says, and what every server should understand of it."""

    data: bytes
    meant: Request


@st.composite
def requests(draw: st.DrawFn) -> Said:
    method, target, framing = draw(METHODS), draw(TARGETS), draw(FRAMINGS)
    before, hop, behind = draw(HEADERS), draw(HOP), draw(HEADERS)
    first = ((b"Host", b"a"), *before, *framing.lines)
    lines = b"".join(b"%s: %s\r\n" % header for header in (*first, *hop, *behind))
    data = b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, target, lines, framing.data)
    return Said(data, Request(method, target, end_to_end((*first, *behind)), framing.content))


def end_to_end(headers: Headers) -> Headers:
    return tuple(header for header in headers if header[0].lower() not in OURS)


def agreed(relayed: Relayed, node: Node) -> list[Request]:
    """What all four readers see, in order."""
    seen: list[Request] = []
    for stream, cut in relayed.streams:
        # A stream that was not cut can be used again: the next request must be the next for everybody.
        by_all = read_by_all(stream if cut else stream + NEXT, node)
        if not cut:
            assert by_all.pop().target == b"/next"
        seen += by_all
    return [Request(one.method, one.target, end_to_end(one.headers), one.body) for one in seen]


def read_by_all(stream: bytes, node: Node) -> list[Request]:
    by_h11 = h11_requests(stream)
    assert httptools_requests(stream) == by_h11, "httptools and h11"
    assert node.requests(stream) == by_h11, "Node and h11"
    assert waitress_requests(stream) == [request.folded() for request in by_h11], "waitress and h11"
    return by_h11


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.close()


@settings(LIKE, max_examples=200)
@given(st.lists(requests(), min_size=1, max_size=4), PLACES)
def test_four_readers_see_what_was_said(node: Node, said: list[Said], places: list[int]) -> None:
    data = b"".join(one.data for one in said)
    relayed = asyncio.run(relay(split(data, places)))
    assert agreed(relayed, node) == [one.meant for one in said]
    assert relayed.heard.count(b"HTTP/1.1 200 OK\r\n") == len(said)


@settings(LIKE, max_examples=400)
@given(st.lists(requests(), min_size=1, max_size=3), TAMPERINGS, PLACES)
def test_four_readers_agree_whatever_was_tampered_with(
    node: Node, said: list[Said], tamperings: list[tuple[int, int, bytes]], places: list[int]
) -> None:
    data = tampered(b"".join(one.data for one in said), tamperings)
    relayed = asyncio.run(relay(split(data, places)))
    seen = agreed(relayed, node)
    assert relayed.heard.count(b"HTTP/1.1 200 OK\r\n") == len(seen)  # every one of them was one for us, too


def test_the_readers_are_no_yes_men(node: Node) -> None:
    ambiguous = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET "
    assert waitress_requests(ambiguous) != node.requests(ambiguous)
    cut = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabc"
    for read in (h11_requests, httptools_requests, waitress_requests, node.requests):
        assert read(cut) == []
        assert [request.body for request in read(cut + b"d")] == [b"abcd"]
