"""How an answer goes on to its caller: in chunks or as it came, and whether the connection lives on. Pure."""

from __future__ import annotations

from sidecar.wire.answer_head import AnswerHead
from sidecar.wire.request_head import RequestHead


class Reply:
    """`start` is the head as the caller gets it; `chunked`: its body goes in chunks; `close`: it is the last."""

    __slots__ = ("chunked", "close", "start")

    def __init__(self, start: bytes, chunked: bool, close: bool) -> None:
        self.start = start
        self.chunked = chunked
        self.close = close


def reply_to(asked: RequestHead, head: AnswerHead, own: bytes, body_ended: bool, closing: bool) -> Reply:
    """What becomes of an answer.

    `own` are the sidecar's header lines; `body_ended` tells that the request was whole when its answer began,
    `closing` that no connection lives on at present.
    """
    # RFC 9112 9.5: an answer before the request's end goes out at once, and neither connection lives on.
    close = closing or not body_ended or not asked.keep_alive or asked.upgrade != b""
    open_ended = head.chunked or head.ends_with_connection
    in_chunks = open_ended and not head.bodyless and not asked.http10
    close = close or (open_ended and asked.http10 and not head.bodyless)
    # An answer without a body still tells how it would have been framed (RFC 9112 6.3).
    told = in_chunks or (head.chunked and head.bodyless and not asked.http10)
    start = head.caller_bytes(own, chunked=told, close=close, http10=asked.http10 and asked.keep_alive)
    return Reply(start, in_chunks, close)
