"""What an answer's head means: how its body ends, and the header lines that go back to the caller.

Judges a model server's answer as strictly as a caller's request. The sidecar's own headers are put on here; an
upstream's `x-request-id` is replaced, since the caller must get the id that exchanges are joined by.
"""

# ruff: noqa: SLF001  the table of meanings stands beside its class, at the end of this file

from __future__ import annotations

from collections.abc import Callable, Iterable

from sidecar.wire.hop_by_hop import HOP_BY_HOP, named_by_connection
from sidecar.wire.request_head import without

_OURS = frozenset((b"x-request-id", b"sidecar-model", b"sidecar-version", b"sidecar-error"))
_CONTROL_BYTES = bytes(byte for byte in (*range(32), 127) if byte != 9)


class MalformedAnswer(Exception):
    """The answer's length cannot be told without doubt; nothing of it may be passed on."""


class AnswerHead:
    """An answer's head, understood.

    Exactly one of: `bodyless`, `length` is known, `chunked`, or neither (the body ends with the connection).
    """

    __slots__ = (
        "block",
        "bodyless",
        "chunked",
        "content_encoding",
        "content_type",
        "keep_alive",
        "length",
        "lines",
        "named",
        "reason",
        "status",
    )

    def __init__(
        self,
        status: int,
        reason: bytes,
        version: str,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        to_head: bool,
        keep_alive: bool,
    ) -> None:
        self.status = status
        self.reason = reason
        self.keep_alive = keep_alive
        self.bodyless = to_head or status in (204, 304) or status < 200
        self.length: int | None = None
        self.chunked = False
        self.content_type = b""
        self.content_encoding = b""
        self.named: frozenset[bytes] = frozenset()
        lines: list[bytes] = []
        for name, value in headers:
            note = _MEANING.get(name.lower())
            if note is None or note(self, value):
                lines += (name, b": ", value, b"\r\n")
        self.lines = without(lines, self.named) if self.named else lines
        self._refuse_ambiguity(version)
        if status == 204:
            # RFC 9112 6.1 and 6.2: neither belongs here, and a caller might wait for what they promise.
            self.lines = without(self.lines, frozenset((b"content-length",)))
            self.length, self.chunked = None, False
        self.block = b"".join((b"HTTP/1.1 %d %s\r\n" % (status, reason), *self.lines))

    def _refuse_ambiguity(self, version: str) -> None:
        """What the parser lets pass and a caller could understand in another way."""
        if self.chunked and (version == "1.0" or self.length is not None):
            raise MalformedAnswer
        if version not in ("1.0", "1.1") or self.status < 100:
            raise MalformedAnswer
        if len(self.reason.translate(None, _CONTROL_BYTES)) < len(self.reason):
            raise MalformedAnswer

    # Each of these notes one header's meaning and tells whether the header goes on.

    def _drop(self, _value: bytes) -> bool:
        return False

    def _connection(self, value: bytes) -> bool:
        self.named |= named_by_connection(value)
        return False

    def _transfer_encoding(self, value: bytes) -> bool:
        if self.chunked or value.lower() != b"chunked":
            raise MalformedAnswer
        self.chunked = True
        return False

    def _content_length(self, value: bytes) -> bool:
        digits = value.rstrip(b" \t")
        if self.length is not None or not digits.isdigit():
            raise MalformedAnswer
        self.length = int(digits)
        return True

    def _content_type(self, value: bytes) -> bool:
        self.content_type = value
        return True

    def _content_encoding(self, value: bytes) -> bool:
        self.content_encoding = value
        return True

    @property
    def ends_with_connection(self) -> bool:
        """True where only the connection's end tells the body's."""
        return not self.bodyless and self.length is None and not self.chunked

    def caller_bytes(self, own: bytes, *, chunked: bool, close: bool, http10: bool) -> bytes:
        """The head as it goes to the caller; `own` are the sidecar's header lines."""
        framing = b"transfer-encoding: chunked\r\n" if chunked else b""
        connection = b"connection: close\r\n" if close else b"connection: keep-alive\r\n" if http10 else b""
        return b"".join((self.block, own, framing, connection, b"\r\n"))


def own_lines(request_id: bytes, deployment: str | None, version: str) -> bytes:
    """The sidecar's own header lines, on every answer; without a deployment only the request's id."""
    if deployment is None:
        return b"x-request-id: %s\r\n" % request_id
    return b"x-request-id: %s\r\nsidecar-model: %s\r\nsidecar-version: %s\r\n" % (
        request_id,
        deployment.encode(),
        version.encode(),
    )


_MEANING: dict[bytes, Callable[[AnswerHead, bytes], bool]] = {
    **dict.fromkeys(HOP_BY_HOP | _OURS, AnswerHead._drop),
    b"connection": AnswerHead._connection,
    b"transfer-encoding": AnswerHead._transfer_encoding,
    b"content-length": AnswerHead._content_length,
    b"content-type": AnswerHead._content_type,
    b"content-encoding": AnswerHead._content_encoding,
}
