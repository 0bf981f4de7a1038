from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.borders import AnswerBorders, HeadEnd, RequestBorders, undecided_after
from sidecar.wire.request_head import Refused

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
COUNTED = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3;a=b\r\n\r\n\r\r\n00A\r\n0123456789\r\n0;x\r\nX: y\r\nZ: 0\r\n\r\n"


def parts(borders: RequestBorders, *pieces: bytes) -> list[bytes]:
    """What the parser gets, with the pieces of one head or body joined again."""
    joined: list[bytes] = []
    whole = True
    for piece in pieces:
        at = 0
        while at < len(piece):
            end = borders.part(piece, at)
            assert end > at
            joined = [*joined, piece[at:end]] if whole else [*joined[:-1], joined[-1] + piece[at:end]]
            head = joined[-1]
            whole = False
            if head.endswith(b"\r\n\r\n") and head.lstrip()[:4] in (b"GET ", b"POST"):
                borders.body_follows(5 if b"Content-Length" in head else None, b"chunked" in head)
                whole = True
            elif head in (b"01234", CHUNKS, b"\r\n"):
                whole = True
            at = end
    return joined


STREAMS = [
    [GET],
    [GET, GET, GET],
    [COUNTED, b"01234", GET],
    [CHUNKED, CHUNKS, GET, COUNTED, b"01234"],
    [CHUNKED, CHUNKS, b"\r\n", GET],
]


@pytest.mark.parametrize("stream", STREAMS)
def test_every_head_and_every_body_is_a_part_of_its_own_however_the_stream_is_split(stream: list[bytes]) -> None:
    data = b"".join(stream)
    assert parts(RequestBorders(), data) == stream
    assert parts(RequestBorders(), *(data[at : at + 1] for at in range(len(data)))) == stream
    for at in range(1, len(data)):
        assert parts(RequestBorders(), data[:at], data[at:]) == stream


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6), st.lists(st.integers(1, 60), max_size=20))
def test_chunks_end_where_they_end_whatever_is_in_them(bodies: list[bytes], cuts: list[int]) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in bodies) + b"0\r\n\r\n"
    data = CHUNKED + body + b"GET "
    borders, at, end_of_body = RequestBorders(), 0, 0
    places = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    for begin, end in pairwise(places):
        at = begin
        while at < end:
            reached = borders.part(data[:end], at)
            assert reached > at
            at = reached
            if at == len(CHUNKED):
                borders.body_follows(None, True)
            if at == len(CHUNKED) + len(body):
                end_of_body += 1
    assert end_of_body == 1  # neither passed over nor met twice
    assert at == len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\nGET / HTTP/1.1\r\n",
        b"\rGET / HTTP/1.1\r\n",
        b"\r\r\nGET / HTTP/1.1\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n",
        b"\r\n\nGET / HTTP/1.1\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET /  HTTP/1.1\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"GET / x HTTP/1.1\r\n",
        b" GET / HTTP/1.1\r\n",
        b"GET\t/ HTTP/1.1\r\n",
        b"GET / HTTP/1.1\n",
        b"GET /\r\n",
        b"GET / RTSP/1.0\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET /\xe4 HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"\r\n",
    ],
)
def test_what_may_not_begin_a_request_is_refused_and_never_handed_on(data: bytes) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        handed, refused = hand(pieces)
        if data == b"\r\n":  # alone it is one empty line, which may come before a request
            assert (handed, refused) == (2, False)
        else:
            assert refused
            assert handed < len(data)


def hand(pieces: list[bytes]) -> tuple[int, bool]:
    """How many bytes the parser got, and whether it was refused to get more."""
    borders, handed = RequestBorders(), 0
    for piece in pieces:
        at = 0
        while at < len(piece):
            try:
                end = borders.part(piece, at)
            except Refused:
                return handed, True
            handed += end - at
            at = end
    return handed, False


@pytest.mark.parametrize(
    ("came", "fresh"),
    [
        (b"", True),
        (b"\r", False),
        (b"\r\n", False),
        (b"G", False),
        (GET, True),
        (COUNTED, False),
        (COUNTED + b"01234", True),
    ],
)
def test_a_border_is_fresh_where_nothing_of_the_next_message_came(came: bytes, fresh: bool) -> None:
    borders, at = RequestBorders(), 0
    while at < len(came):
        at = borders.part(came, at)
        if came[:at].endswith(b"\r\n\r\n"):
            borders.body_follows(5 if came.startswith(COUNTED) else None, False)
    assert borders.fresh == fresh


def test_another_version_is_called_by_its_name() -> None:
    with pytest.raises(Refused, match=r"HTTP/1\.0 and HTTP/1\.1"):
        RequestBorders().part(b"GET / HTTP/2.0\r\n", 0)
    with pytest.raises(Refused, match="not valid"):
        RequestBorders().part(b"GET  / HTTP/1.1\r\n", 0)


def test_nonsense_among_chunks_is_left_to_the_parser_and_never_runs_on_forever() -> None:
    borders = RequestBorders()
    assert borders.part(CHUNKED, 0) == len(CHUNKED)
    borders.body_follows(None, True)
    at, nonsense = 0, b"xyz\r\nffffffffffffffff\r\nabc"
    while at < len(nonsense):
        at = borders.part(nonsense, at)
    assert at == len(nonsense)
    assert len(borders._gathered) <= 24


@given(st.binary(max_size=40), st.integers(0, 60))
def test_a_heads_end_is_found_where_it_is(garbage: bytes, split: int) -> None:
    data = garbage + b"\r\n\r\n"
    true_end = data.find(b"\r\n\r\n") + 4
    finder = HeadEnd()
    first, second = data[:split], data[split:]
    found = finder.find(first, 0) if first else -1
    if found < 0:
        found = finder.find(second, 0)
        found = found + len(first) if found >= 0 else -1
    assert found == true_end


HINT = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def test_interim_answers_and_the_final_head_are_parts_of_their_own_however_they_are_split() -> None:
    data = HINT + HINT + ANSWER
    for split in range(len(data)):
        borders, ends = AnswerBorders(), set()
        for begin, piece in ((0, data[:split]), (split, data[split:])):
            at = 0
            while at < len(piece):
                at = borders.part(piece, at)
                ends.add(begin + at)
        assert ends - {split} == {len(HINT), 2 * len(HINT), len(data)} - {split}


@pytest.mark.parametrize("data", [b"\r\nHTTP/1.1 200", b"\nHTTP/1.1", b"RTSP/1.0", b"ICE/1.0", b" HTTP/1.1", b"h"])
def test_what_begins_no_answer_is_told(data: bytes) -> None:
    assert AnswerBorders().part(data, 0) == -1
    borders = AnswerBorders()
    assert borders.part(HINT, 0) == len(HINT)
    assert borders.part(data, 0) == -1


def test_framing_adds_up_only_where_it_is_out_of_proportion() -> None:
    undecided = 0
    for _ in range(1000):  # chunks of one byte
        undecided = undecided_after(undecided + len(b"1\r\nx\r\n"), 1)
    assert undecided == 0
    for _ in range(1000):  # large chunks, each with a fair extension
        undecided = undecided_after(undecided + 1100, 1000)
    assert undecided == 0
    for _ in range(1000):  # chunks of one byte, each with an unfair one
        undecided = undecided_after(undecided + 100, 1)
    assert undecided > 80_000
