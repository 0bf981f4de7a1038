"""What the worker emits to a caller is read again by h11, httptools and Node, who must agree on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proxy.generated import CONTENTS, HEADERS, HOP, PLACES, TAMPERINGS, counted, in_chunks, tampered
from tests.proxy.relay import Relayed, relay, split
from tests.proxy.rereading import Answer, Headers, Node, h11_answer, httptools_answer

OURS = (b"x-request-id", b"transfer-encoding", b"connection", b"sidecar-error")
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
LIKE = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@dataclass(frozen=True, slots=True)
class Given:
    """What a model server answers to GET (or HEAD), and what every client should understand of it."""

    data: bytes
    ends: bool
    meant: Answer


def end_to_end(headers: Headers) -> Headers:
    return tuple(header for header in headers if header[0].lower() not in OURS)


def lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)


@st.composite
def answers(draw: st.DrawFn, *, to_head: bool = False) -> Given:
    hints = draw(st.lists(st.sampled_from([102, 103]), max_size=2))
    interim = b"".join(b"HTTP/1.1 %d Hint\r\n%s\r\n" % (hint, lines(draw(HEADERS))) for hint in hints)
    headers = draw(HEADERS)
    status = draw(st.sampled_from([200, 201, 404, 422, 500, 599]))
    how = draw(st.sampled_from(["counted", "chunked", "until the end", "bodyless"]))
    version, body = b"1.1", b""
    framed: list[tuple[bytes, bytes]] = []
    if how == "bodyless":
        status, framing = draw(st.sampled_from([204, 304])), counted(b"")
    elif how == "until the end":
        body = draw(CONTENTS)
        framing, version = counted(body), draw(st.sampled_from([b"1.0", b"1.1"]))
    else:
        framing = counted(draw(CONTENTS)) if how == "counted" else draw(in_chunks())
        body, framed = framing.content, list(framing.lines)
    place = draw(st.integers(0, len(headers)))
    headers = [*headers[:place], *framed, *headers[place:]]
    start = b"HTTP/%s %d %s\r\n" % (version, status, draw(st.sampled_from([b"OK", b"", b"F\xfcr uns", b"a  b"])))
    data = interim + start + lines([*headers, *draw(HOP)]) + b"\r\n" + (b"" if to_head else framing.data)
    meant = Answer(status, end_to_end(tuple(headers)), b"" if to_head else body, tuple(hints))
    return Given(data, how == "until the end" and not to_head, meant)


def agreed(relayed: Relayed, node: Node, *, to_head: bool = False) -> Answer | None:
    """What all readers see."""
    by_h11 = h11_answer(relayed.heard, to_head=to_head)
    assert node.answer(relayed.heard, to_head=to_head) == by_h11, "Node and h11"
    if not to_head:
        assert httptools_answer(relayed.heard) == by_h11, "httptools and h11"
    if by_h11 is None:
        return None
    return Answer(by_h11.status, end_to_end(by_h11.headers), by_h11.body, by_h11.interim)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.close()


@settings(LIKE, max_examples=200)
@given(answers(), PLACES)
def test_three_readers_see_what_was_answered(node: Node, given: Given, places: list[int]) -> None:
    relayed = asyncio.run(relay([GET], split(given.data, places), then_ends=given.ends))
    assert agreed(relayed, node) == given.meant
    assert relayed.state == "open"


@settings(LIKE, max_examples=100)
@given(answers(to_head=True), PLACES)
def test_readers_see_what_was_answered_to_head(node: Node, given: Given, places: list[int]) -> None:
    relayed = asyncio.run(relay([HEAD], split(given.data, places)))
    assert agreed(relayed, node, to_head=True) == given.meant


@settings(LIKE, max_examples=400)
@given(answers(), TAMPERINGS, PLACES)
def test_three_readers_agree_whatever_was_tampered_with(
    node: Node, given: Given, tamperings: list[tuple[int, int, bytes]], places: list[int]
) -> None:
    data = tampered(given.data, tamperings)
    relayed = asyncio.run(relay([GET], split(data, places), then_ends=True))
    answer = agreed(relayed, node)
    assert (answer is None) == (relayed.state == "cut")  # whole, or seen to be none


def test_the_readers_are_no_yes_men(node: Node) -> None:
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    for read in (h11_answer, httptools_answer, node.answer):
        answer = read(whole)
        assert answer is not None
        assert answer.body == b"abc"
        assert read(whole[:-1]) is None
        assert read(whole[:-5]) is None
