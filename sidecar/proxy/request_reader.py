"""A caller's bytes cut into requests: heads judged, bodies passed on, limits kept. Knows no sockets and no time.

Invariant: what waits to be understood (a head, or the framing between two parts of a body, trailers too) is bounded
in bytes, however it was split. After a refusal nothing more is understood: `refusal` stays, and feeding does nothing.
Parsing is httptools' work, judging a head `wire`'s. Used by `listener`, one for each connection.
"""

from __future__ import annotations

from typing import Final

import httptools

from sidecar.decide.routing_table import Bounds
from sidecar.wire import refusal
from sidecar.wire.borders import RequestBorders, undecided_after
from sidecar.wire.refusal import Refusal
from sidecar.wire.request_head import Headers, Refused, RequestHead, given_id

# No request begins to be understood behind so much at once: it bounds how many pipelined ones can wait.
SLICE_BYTES: Final = 32_768
# What a head has beside its target and its headers: a method, a version, line ends.
LINE_BYTES = 64


class RequestListener:
    """Who is told of requests, in the order of the wire."""

    def request_arrived(self, head: RequestHead) -> None:
        """A head is whole and makes sense."""

    def body_arrived(self, part: bytes) -> None:
        """A part of that request's body."""

    def request_ended(self) -> None:
        """That request is whole."""


class RequestReader:
    """Reads one connection's requests.

    Attributes:
        refusal: why nothing more is read; `refused_id` is that request's id where its head could be read.
        in_head: a head has begun and is not whole.
        upgrading: the last request asks for another protocol; `rest` is what came behind it, and nothing more is read.
    """

    def __init__(self, told: RequestListener) -> None:
        self._told = told
        self._parser = httptools.HttpRequestParser(self)
        self._bounds: Bounds
        self._borders = RequestBorders()
        self._target = b""
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._undecided = 0  # bytes since the last part of a body, or of a head since it began
        self._in_request = False
        self._upgrade_ignored = False
        self.upgrading = False
        self.rest = b""
        self.in_head = False
        self.refusal: Refusal | None = None
        self.refused_id: bytes | None = None
        self.refused_head = False  # the refused request is a HEAD: its answer has no body

    def feed(self, data: bytes, bounds: Bounds) -> bytes:
        """Reads some bytes; returns what is left for later, since so many requests at once are enough."""
        self._bounds = bounds
        at = 0
        while at < min(len(data), SLICE_BYTES) and self.refusal is None and not self.upgrading:
            at = self._feed_part(data, at)
        if not self.upgrading:
            return data[at:]
        self.rest += data[at:]
        return b""

    def _feed_part(self, data: bytes, at: int) -> int:
        """Feeds the parser what comes next: a head, or a body, or as much of it as is here. Where that ended."""
        try:
            end = self._borders.part(data, at)
        except Refused as refused:
            self.refuse(refused.why)
            return len(data)
        part = data if at == 0 and end == len(data) else data[at:end]
        self._undecided = len(part) if self.between else self._undecided + len(part)
        while part and self.refusal is None:
            part = self._feed(part)
        self._tell_body()
        bounds = self._bounds
        if self._undecided > bounds.header_bytes + bounds.target_bytes + LINE_BYTES and not self.between:
            self.refuse(refusal.HEADERS_TOO_LARGE)
        return end

    @property
    def between(self) -> bool:
        """True where the next byte begins a request."""
        return not (self.in_head or self._in_request or self.upgrading or self.refusal is not None)

    @property
    def fresh(self) -> bool:
        """True where a request may begin, and nothing came before it, not even an empty line."""
        return self.between and self._borders.fresh

    def refuse(self, why: Refusal) -> None:
        """Nothing more is read. The first reason stands."""
        if self.refusal is None:
            self.refusal = why
            self.refused_id = given_id(self._headers)

    def _feed(self, data: bytes) -> bytes:
        """Feeds the parser; what it returns is to be fed again."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._upgrade_ignored:
                return self._without_upgrade() + data[upgrade.args[0] :]
            if not self.upgrading:
                self.refuse(refusal.CONNECT)
        except httptools.HttpParserError:
            self.refuse(refusal.MALFORMED)
        return b""

    def _without_upgrade(self) -> bytes:
        """RFC 9110 7.8: an Upgrade may be ignored. The parser stopped at it, so the head is read again without it."""
        method, version = self._parser.get_method(), self._parser.get_http_version()
        lines = [b"%s %s HTTP/%s\r\n" % (method, self._target, version.encode())]
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"connection":
                tokens = [token for token in value.split(b",") if token.strip().lower() != b"upgrade"]
                lines.append(b"%s: %s\r\n" % (name, b",".join(tokens)))
            elif lower != b"upgrade":
                lines.append(b"%s: %s\r\n" % (name, value))
        self._parser = httptools.HttpRequestParser(self)
        return b"".join((*lines, b"\r\n"))

    # --- httptools -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.in_head = True
        self._target = b""
        self._headers = []

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # else a trailer, which is dropped
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.refusal is not None:
            return
        parser, bounds = self._parser, self._bounds
        method = parser.get_method()
        self.refused_head = method == b"HEAD"
        size = sum([len(name) + len(value) + 4 for name, value in self._headers])
        if len(self._target) > bounds.target_bytes:
            self.refuse(refusal.TARGET_TOO_LONG)
        elif len(self._headers) > bounds.headers or size > bounds.header_bytes:
            self.refuse(refusal.HEADERS_TOO_LARGE)
        else:
            self._judge(method)

    def on_body(self, part: bytes) -> None:
        self._undecided = undecided_after(self._undecided, len(part))
        self._body.append(part)

    def on_message_complete(self) -> None:
        self._tell_body()
        if self.refusal is None and self._in_request:
            self._in_request = False
            self._told.request_ended()

    def _tell_body(self) -> None:
        """What came of a body in one read, as one part: one that comes in crumbs must not cost a write for each."""
        parts = self._body
        if parts and self.refusal is None:
            self._body = []
            self._told.body_arrived(parts[0] if len(parts) == 1 else b"".join(parts))

    def _judge(self, method: bytes) -> None:
        parser = self._parser
        try:
            head = RequestHead(
                method, self._target, parser.get_http_version(), self._headers, keep_alive=parser.should_keep_alive()
            )
        except Refused as refused:
            self.refuse(refused.why)
            return
        self.upgrading = parser.should_upgrade() and head.upgrade != b""
        self._upgrade_ignored = parser.should_upgrade() and not self.upgrading
        if self._upgrade_ignored:
            return
        self.in_head = False
        self._in_request = True
        self._undecided = 0
        self._borders.body_follows(head.length, head.chunked)
        self._told.request_arrived(head)
