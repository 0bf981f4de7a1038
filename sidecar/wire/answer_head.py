"""What an answer's head means: how its body ends, and the header lines that go back to the caller.

Judges a model server's answer as strictly as a caller's request. The sidecar's own headers are put on here; an
upstream's `x-request-id` is replaced, since the caller must get the id that exchanges are joined by.
"""

# ruff: noqa: SLF001  the table of meanings stands beside its class, at the end of this file

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sidecar.wire.header_lines import rewrite, without
from sidecar.wire.hop_by_hop import HOP_BY_HOP, named_by_connection
from sidecar.wire.one_server import json_bytes
from sidecar.wire.request_head import MOST_DIGITS

_OURS = frozenset((b"x-request-id", b"sidecar-model", b"sidecar-version", b"sidecar-error"))
# How long a server keeps an idle connection, where it tells (RFC 2068 19.7.1.1, still in use).
_IDLE = re.compile(rb"(?:^|[\s,])timeout=([0-9]{1,6})(?:[\s,]|$)", re.IGNORECASE)
_CONTROL_BYTES = bytes(byte for byte in (*range(32), 127) if byte != 9)


class MalformedAnswer(Exception):
    """The answer's length cannot be told without doubt; nothing of it may be passed on."""


class AnswerHead:
    """An answer's head, understood.

    `idle_s` is how long the server says it keeps the idle connection; `size` the head's bytes where they are known;
    `json_bytes` how much of the body is JSON before raw tensors begin, -1 where nothing says so.
    Exactly one of: `bodyless`, `length` is known, `chunked`, or neither (the body ends with the connection).
    """

    __slots__ = (
        "_odd_length",
        "block",
        "bodyless",
        "chunked",
        "content_encoding",
        "content_type",
        "idle_s",
        "json_bytes",
        "keep_alive",
        "length",
        "lines",
        "named",
        "reason",
        "size",
        "status",
        "upgrade",
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
        self._odd_length = False
        self.chunked = False
        self.content_type = ""
        self.content_encoding = ""
        self.json_bytes: int = -1
        self.named: frozenset[bytes] = frozenset()
        self.idle_s: float | None = None
        self.size = 0
        self.upgrade = b""
        lines: list[bytes] = []
        for name, value in headers:
            note = _MEANING.get(name.lower())
            if note is None or note(self, value):
                lines += (name, b": ", value, b"\r\n")
        self.lines = without(lines, self.named) if self.named else lines
        self._refuse_ambiguity(version)
        if status == 204 or status < 200:
            # RFC 9112 6.1 and 6.2: neither belongs here, and a caller might wait for what they promise.
            self.lines = without(self.lines, frozenset((b"content-length",)))
            self.length, self.chunked = None, False
        self.block = b"".join((b"HTTP/1.1 %d %s\r\n" % (status, reason), *self.lines))

    def _refuse_ambiguity(self, version: str) -> None:
        """What the parser lets pass and a caller could understand in another way."""
        if self.chunked and (version == "1.0" or self.length is not None):
            raise MalformedAnswer
        if version not in ("1.0", "1.1") or not 100 <= self.status <= 599:
            raise MalformedAnswer
        if len(self.reason.translate(None, _CONTROL_BYTES)) < len(self.reason):
            raise MalformedAnswer
        if self._odd_length and self.length is not None:
            # Some read "010" as octal.
            rewrite(self.lines, b"content-length", b"%d" % self.length)

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

    def _upgrade(self, value: bytes) -> bool:
        self.upgrade = value
        return False

    def _keep_alive(self, value: bytes) -> bool:
        match = _IDLE.search(value)
        if match is not None:
            self.idle_s = float(match[1])
        return False

    def _content_length(self, value: bytes) -> bool:
        digits = value.rstrip(b" \t")
        if self.length is not None or not digits.isdigit() or len(digits) > MOST_DIGITS:
            raise MalformedAnswer
        self.length = int(digits)
        self._odd_length = len(value) > 1 and value != b"%d" % self.length
        return True

    def _content_type(self, value: bytes) -> bool:
        self.content_type = value.decode("latin-1")
        return True

    def _content_encoding(self, value: bytes) -> bool:
        self.content_encoding = value.decode("latin-1")
        return True

    def _json_bytes(self, value: bytes) -> bool:
        self.json_bytes = json_bytes(value)
        return True

    @property
    def plain(self) -> bool:
        """True where the answer needs no further thought: its length is told, and it has a body."""
        return self.length is not None and not self.bodyless

    @property
    def ends_with_connection(self) -> bool:
        """True where only the connection's end tells the body's."""
        return not self.bodyless and self.length is None and not self.chunked

    def caller_bytes(self, own: bytes, *, chunked: bool, close: bool, http10: bool) -> bytes:
        """The head as it goes to the caller; `own` are the sidecar's header lines."""
        framing = b"transfer-encoding: chunked\r\n" if chunked else b""
        connection = b"connection: close\r\n" if close else b"connection: keep-alive\r\n" if http10 else b""
        return b"".join((self.block, own, framing, connection, b"\r\n"))

    def interim_bytes(self) -> bytes:
        """An interim answer (RFC 9110 15.2) as it goes on."""
        return self.block + b"\r\n"

    def grants(self, asked: bytes) -> bool:
        """Whether this 101 changes over to (one of) the protocols that were `asked` for (RFC 9110 7.8)."""
        granted = self.upgrade.strip(b" \t").lower()
        return granted != b"" and granted in [one.strip(b" \t") for one in asked.lower().split(b",")]

    def switching_bytes(self, own: bytes) -> bytes:
        """A 101 as it goes on."""
        return b"%s%sconnection: upgrade\r\nupgrade: %s\r\n\r\n" % (self.block, own, self.upgrade)


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
    b"keep-alive": AnswerHead._keep_alive,
    b"upgrade": AnswerHead._upgrade,
    b"transfer-encoding": AnswerHead._transfer_encoding,
    b"content-length": AnswerHead._content_length,
    b"content-type": AnswerHead._content_type,
    b"content-encoding": AnswerHead._content_encoding,
    b"inference-header-content-length": AnswerHead._json_bytes,
}
