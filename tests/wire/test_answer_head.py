from __future__ import annotations

import pytest

from sidecar.wire.answer_head import AnswerHead, MalformedAnswer, own_lines
from sidecar.wire.request_head import Headers


def read(
    headers: Headers, *, status: int = 200, reason: bytes = b"OK", version: str = "1.1", to_head: bool = False
) -> AnswerHead:
    return AnswerHead(status, reason, version, headers, to_head=to_head, keep_alive=True)


CL, TE = b"Content-Length", b"Transfer-Encoding"


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ([(CL, b"1"), (CL, b"1")], {}),
        ([(CL, b"+1")], {}),
        ([(CL, b"")], {}),
        ([(CL, b"1, 1")], {}),
        ([(CL, b"1"), (TE, b"chunked")], {}),
        ([(TE, b"chunked"), (CL, b"1")], {}),
        ([(TE, b"chunked"), (TE, b"chunked")], {}),
        ([(TE, b"gzip")], {}),
        ([(TE, b"gzip, chunked")], {}),
        ([(TE, b"chunked")], {"version": "1.0"}),
        ([], {"version": "2.0"}),
        ([], {"version": "0.9"}),
        ([], {"status": 99}),
        ([], {"status": 600}),
        ([(CL, b"0" * 41)], {}),
        ([], {"reason": b"O\0K"}),
        ([], {"reason": b"O\x7fK"}),
    ],
)
def test_an_answer_that_could_be_understood_in_two_ways_is_malformed(
    headers: Headers, options: dict[str, object]
) -> None:
    with pytest.raises(MalformedAnswer):
        read(headers, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "options", "bodyless", "length", "chunked", "by_end"),
    [
        ([(CL, b"3 ")], {}, False, 3, False, False),
        ([(TE, b"Chunked")], {}, False, None, True, False),
        ([], {}, False, None, False, True),
        ([], {"version": "1.0", "reason": b""}, False, None, False, True),
        ([(CL, b"3")], {"to_head": True}, True, 3, False, False),
        ([(CL, b"3")], {"status": 304}, True, 3, False, False),
        ([(CL, b"3")], {"status": 204}, True, None, False, False),
        ([(TE, b"chunked")], {"status": 204}, True, None, False, False),
        ([], {"status": 103}, True, None, False, False),
    ],
)
def test_how_the_body_ends(
    headers: Headers, options: dict[str, object], bodyless: bool, length: int | None, chunked: bool, by_end: bool
) -> None:
    head = read(headers, **options)  # type: ignore[arg-type]
    assert (head.bodyless, head.length, head.chunked, head.ends_with_connection) == (bodyless, length, chunked, by_end)
    assert (b"content-length" in head.caller_bytes(b"", chunked=False, close=False, http10=False).lower()) == bool(
        length
    )


def test_the_head_goes_back_in_order_without_what_belongs_to_one_hop_or_to_us() -> None:
    head = read(
        [
            (b"Set-Cookie", b"a"), (b"Connection", b"X-Gone, set-cookie2"), (b"X-Gone", b"1"), (b"set-cookie", b"\xff"),
            (b"Keep-Alive", b"1"), (b"X-Request-Id", b"theirs"), (b"Sidecar-Model", b"m"), (b"sidecar-error", b"e"),
            (b"Content-Type", b"a/b"), (b"Content-Encoding", b"br"), (CL, b"0"),
            (b"inference-header-content-length", b"240"),
        ],
        reason=b"F\xfcr uns",
    )  # fmt: skip
    assert head.caller_bytes(own_lines(b"i", "fraud", "3"), chunked=False, close=False, http10=False) == (
        b"HTTP/1.1 200 F\xfcr uns\r\nSet-Cookie: a\r\nset-cookie: \xff\r\nContent-Type: a/b\r\nContent-Encoding: br\r\n"
        b"Content-Length: 0\r\ninference-header-content-length: 240\r\nx-request-id: i\r\nsidecar-model: fraud\r\n"
        b"sidecar-version: 3\r\n\r\n"
    )
    assert (head.content_type, head.content_encoding, head.json_bytes) == ("a/b", "br", 240)


@pytest.mark.parametrize(
    ("chunked", "close", "http10", "end"),
    [
        (True, False, False, b"transfer-encoding: chunked\r\n\r\n"),
        (False, True, False, b"connection: close\r\n\r\n"),
        (False, True, True, b"connection: close\r\n\r\n"),
        (False, False, True, b"connection: keep-alive\r\n\r\n"),
        (False, False, False, b"OK\r\n\r\n"),
    ],
)
def test_framing_and_connection_are_the_callers_own(chunked: bool, close: bool, http10: bool, end: bytes) -> None:
    assert read([]).caller_bytes(b"", chunked=chunked, close=close, http10=http10).endswith(end)


def test_without_a_deployment_only_the_id_is_told() -> None:
    assert own_lines(b"i", None, "") == b"x-request-id: i\r\n"


@pytest.mark.parametrize(
    ("granted", "asked", "is_so"),
    [
        (b"websocket", b"websocket", True),
        (b" WebSocket", b"foo, websocket", True),
        (b"", b"websocket", False),
        (b"", b"", False),
        (b"h2c", b"websocket", False),
        (b"web", b"websocket", False),
    ],
)
def test_an_upgrade_is_granted_by_its_name(granted: bytes, asked: bytes, is_so: bool) -> None:
    head = read([(b"Connection", b"upgrade"), *([(b"Upgrade", granted)] if granted else [])], status=101)
    assert head.grants(asked) == is_so


def test_a_length_is_said_in_one_way_only() -> None:
    assert b"Content-Length: 7\r\n" in read([(CL, b"007")]).block
    assert b"Content-Length: 7\r\n" in read([(CL, b"7 ")]).block
