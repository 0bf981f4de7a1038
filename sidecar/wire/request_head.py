"""What a request's head means: its framing, target and identity, and the header lines that go on.

Stricter than the parser in front of it (llhttp): whatever could be understood in two ways is refused before a byte
goes on. Header lines are kept byte-exact, in order, with their multiplicity. Called once per request by `proxy`.
"""

# ruff: noqa: SLF001  the table of meanings stands beside its class, at the end of this file

from __future__ import annotations

import re
from collections.abc import Callable

from sidecar.wire import refusal
from sidecar.wire.copy_head import CopyHead
from sidecar.wire.header_lines import rewrite, without
from sidecar.wire.hop_by_hop import HOP_BY_HOP, asks_upgrade, named_by_connection
from sidecar.wire.one_server import json_bytes
from sidecar.wire.refusal import Refusal
from sidecar.wire.trace_context import TraceContext, parse

Headers = list[tuple[bytes, bytes]]
REQUEST_ID_BYTES = 256
MOST_DIGITS = 40  # of a length: more are zeros, or more than anybody sends
# What differs with each request stands in its line as one of these until it is sent. No header's value can hold them.
_ID_SLOT = b"\0id\0"
_TRACE_SLOT = b"\0trace\0"
_BLANK = b" \t"  # RFC 9110 5.6.3: optional around a value and no part of it; the parser leaves what trails
# RFC 3986 3.2.2 and 3.2.3 without user information: a literal address or a name, and a port.
_AUTHORITY = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[0-9A-Za-z\-._~!$&'()*+,;=:]+\]|"
    rb"(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)
_SLASH_OR_QUERY = re.compile(rb"[/?]")


class Refused(Exception):
    """This request is answered by the sidecar itself."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why.says)
        self.why = why


class RequestHead:
    """A request's head, understood. `length` is None without a body of known length; `lines` go to the champion.

    `request_id` and `trace` are the caller's. They differ with each request, the rest seldom: so a head may serve
    again with others in their place.
    `json_bytes` is how much of the body is JSON before raw tensors begin, -1 where nothing says so.
    `upgrade` is the protocol that is asked for, where it could be granted.
    `host` is None for an HTTP/1.0 request that names none; then the one who forwards gives an authority.
    """

    __slots__ = (
        "_asks_upgrade",
        "_block",
        "_block_path",
        "_copy_block",
        "_copy_block_for",
        "_odd_length",
        "_traceparents",
        "asks_continue",
        "chunked",
        "content_encoding",
        "content_type",
        "host",
        "http10",
        "is_shadow",
        "json_bytes",
        "keep_alive",
        "length",
        "lines",
        "method",
        "named",
        "path",
        "request_id",
        "target",
        "trace",
        "upgrade",
    )

    def __init__(self, method: bytes, target: bytes, version: str, headers: Headers, *, keep_alive: bool) -> None:
        self.method = method
        self.http10 = version == "1.0"
        self.keep_alive = keep_alive
        self.length: int | None = None
        self._odd_length = False
        self._asks_upgrade = False
        self.chunked = False
        self.asks_continue = False
        self.is_shadow = False
        self.host: bytes | None = None
        self.named: frozenset[bytes] = frozenset()
        self.request_id: bytes | None = None
        self.content_type = ""
        self.content_encoding = ""
        self.json_bytes: int = -1
        self.trace: TraceContext | None = None
        self._traceparents: int = 0
        self.upgrade = b""
        self._block: bytes | None = None
        self._block_path: str | None = None
        self._copy_block: bytes | None = None
        self._copy_block_for: CopyHead | None = None
        if not self.http10 and version != "1.1":
            raise Refused(refusal.BAD_VERSION)
        if method == b"CONNECT":
            raise Refused(refusal.CONNECT)
        self._read(headers)
        self._aim(target)

    def _read(self, headers: Headers) -> None:
        """One pass over the headers: keeps what is end-to-end, notes what has a meaning here."""
        lines: list[bytes] = []
        for name, value in headers:
            note = _MEANING.get(name.lower())
            if note is None or note(self, value):
                lines += (name, b": ", value, b"\r\n")
        if self.chunked and self.length is not None:
            raise Refused(refusal.BAD_FRAMING)
        if self.host is None and not self.http10:
            raise Refused(refusal.BAD_HOST)
        self.lines = without(lines, self.named) if self.named else lines
        if self.request_id is not None:
            rewrite(self.lines, b"x-request-id", _ID_SLOT)
        if self.trace is not None:
            rewrite(self.lines, b"traceparent", _TRACE_SLOT)
        if self._odd_length and self.length is not None:
            rewrite(self.lines, b"content-length", b"%d" % self.length)  # some read "010" as octal
        wanted = {protocol.strip(_BLANK) for protocol in self.upgrade.lower().split(b",")} - {b"h2c", b""}
        ignored = self.http10 or self.chunked or bool(self.length) or not wanted
        if self.upgrade and (ignored or not self._asks_upgrade):
            # RFC 9110 7.8 lets an upgrade be ignored; clients ask for HTTP/2 by the way and do not depend on it.
            self.upgrade = b""

    # Each of these notes one header's meaning and tells whether the header goes on.

    def _drop(self, _value: bytes) -> bool:
        return False

    def _connection(self, value: bytes) -> bool:
        self.named |= named_by_connection(value)
        self._asks_upgrade = self._asks_upgrade or asks_upgrade(value)
        return False

    def _transfer_encoding(self, value: bytes) -> bool:
        # RFC 9112 6.1: a coding that we do not know cannot be framed; a second one is smuggling. No blank is taken
        # off either: "chunked " is what servers disagree about.
        if self.chunked or self.http10 or value.lower() != b"chunked":
            raise Refused(refusal.BAD_FRAMING)
        self.chunked = True
        return False

    def _content_length(self, value: bytes) -> bool:
        digits = value.rstrip(_BLANK)
        if self.length is not None or not digits.isdigit() or len(digits) > MOST_DIGITS:
            raise Refused(refusal.BAD_FRAMING)
        self.length = int(digits)
        self._odd_length = len(value) > 1 and value != b"%d" % self.length
        return True

    def _upgrade(self, value: bytes) -> bool:
        self.upgrade += (b", " if self.upgrade else b"") + value.strip(_BLANK)
        return False

    def _framing_lookalike(self, _value: bytes) -> bool:
        # CGI-like servers read `Content_Length` as `Content-Length`: a second length that only they see.
        raise Refused(refusal.BAD_FRAMING)

    def _host(self, value: bytes) -> bool:
        host = value.rstrip(_BLANK)
        if self.host is not None or _AUTHORITY.fullmatch(host) is None:
            raise Refused(refusal.BAD_HOST)
        self.host = host
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

    def _request_id(self, value: bytes) -> bool:
        # The model server sees the one id that everything is joined by: a second or an unusable one stays here.
        if self.request_id is not None or not usable_id(value):
            return False
        self.request_id = value.rstrip(_BLANK)
        return True

    def _expect(self, value: bytes) -> bool:
        # RFC 9110 10.1.1: met here, hop by hop; HTTP/1.0 has no such thing.
        if not self.http10:
            if value.rstrip(_BLANK).lower() != b"100-continue":
                raise Refused(refusal.BAD_EXPECTATION)
            self.asks_continue = True
        return False

    def _traceparent(self, value: bytes) -> bool:
        # A second one makes neither valid: then both go on as they came.
        self._traceparents += 1
        self.trace = parse(value) if self._traceparents == 1 else None
        return True

    def _shadow(self, _value: bytes) -> bool:
        self.is_shadow = True
        return True

    def _aim(self, target: bytes) -> None:
        """Finds the path to route by. The target goes on byte-exact, an absolute one in origin form (RFC 9112 3.2)."""
        if target[:1] != b"/":
            if target == b"*" and self.method == b"OPTIONS":
                self.target = self.path = target
                return
            scheme, slashes, rest = target.partition(b"://")
            if not slashes or scheme.lower() not in (b"http", b"https"):
                raise Refused(refusal.BAD_TARGET)
            border = _SLASH_OR_QUERY.search(rest)
            authority = rest if border is None else rest[: border.start()]
            if not authority or _AUTHORITY.fullmatch(authority) is None:
                raise Refused(refusal.BAD_HOST)
            if self.host is None:
                self.host = authority
                self.lines += (b"host", b": ", authority, b"\r\n")
            elif authority.lower() != self.host.lower():
                raise Refused(refusal.BAD_HOST)
            target = rest[len(authority) :]
            if target[:1] != b"/":
                # RFC 9112 3.2.4: OPTIONS of nothing but an authority is about the whole server.
                whole_server = self.method == b"OPTIONS" and not target
                target = b"*" if whole_server else b"/" + target
        if b"#" in target:
            raise Refused(refusal.BAD_TARGET)
        self.target = target
        self.path = target.partition(b"?")[0]

    def target_at(self, path: str | None) -> bytes:
        """The target to ask for at a destination: the caller's own, or its query behind that destination's path."""
        if path is None:
            return self.target
        return path.encode() + self.target[len(self.path) :]

    def champion_bytes(self, path: str | None, authority: str, request_id: bytes, traceparent: bytes = b"") -> bytes:
        """The head as it goes to the champion at `authority`, which is its Host if the caller named none.

        Args:
            path: the one to ask for there; None for the caller's own.
            authority: see above.
            request_id: goes where the caller's stood, else to the end; `traceparent` likewise, if there is one.
            traceparent: see there.
        """
        block = self._block
        if block is None or self._block_path != path:
            block = self._block = self._start(path, authority, self.lines)
            self._block_path = path
        return self._with(block, request_id, traceparent)

    def copy_bytes(self, copy: CopyHead, request_id: bytes, traceparent: bytes = b"") -> bytes:
        """The head of a copy: marked, with the challenger's own headers, and without the caller's credentials."""
        block = self._copy_block
        if block is None or self._copy_block_for is not copy:
            lines = without(self.lines, copy.left_out)
            block = self._copy_block = self._start(copy.path, copy.authority, lines, host=copy.host) + copy.own
            self._copy_block_for = copy
        return self._with(block, request_id, traceparent)

    def _with(self, block: bytes, request_id: bytes, traceparent: bytes) -> bytes:
        """The head with what is this request's own."""
        own = b""
        if self.request_id is None:
            own = b"x-request-id: %s\r\n" % request_id
        else:
            block = block.replace(_ID_SLOT, request_id, 1)
        if self.trace is not None:
            block = block.replace(_TRACE_SLOT, traceparent, 1)
        elif traceparent:
            own = b"%straceparent: %s\r\n" % (own, traceparent)
        return b"%s%s\r\n" % (block, own)

    def asking_upgrade(self, start: bytes) -> bytes:
        """The head to the champion with the caller's wish to speak another protocol."""
        return b"%sconnection: upgrade\r\nupgrade: %s\r\n\r\n" % (start[:-2], self.upgrade)

    @property
    def plain(self) -> bool:
        """True where an answer of known length needs no further thought, and the connection lives on after it.

        A client that asked for another protocol, and did not get it, might speak it all the same.
        """
        return self.keep_alive and not self.http10 and not self.upgrade

    def _start(self, path: str | None, authority: str, lines: list[bytes], *, host: bool = False) -> bytes:
        """Everything but the lines that differ with each request; remembered, since a head may come again."""
        parts = [b"%s %s HTTP/1.1\r\n" % (self.method, self.target_at(path)), *lines]
        if self.host is None and not host:
            parts.append(b"host: %s\r\n" % authority.encode())
        if self.chunked:
            parts.append(b"transfer-encoding: chunked\r\n")
        return b"".join(parts)

    def value_of(self, name: bytes) -> bytes | None:
        """The first value of an end-to-end header, by its lower-case name; None too for what differs each time."""
        lines = self.lines
        for at in range(0, len(lines), 4):
            if lines[at].lower() == name:
                value = lines[at + 2].rstrip(_BLANK)
                return None if value in (_ID_SLOT, _TRACE_SLOT) else value
        return None


_MEANING: dict[bytes, Callable[[RequestHead, bytes], bool]] = {
    **dict.fromkeys(HOP_BY_HOP, RequestHead._drop),
    b"connection": RequestHead._connection,
    b"upgrade": RequestHead._upgrade,
    b"transfer-encoding": RequestHead._transfer_encoding,
    b"content-length": RequestHead._content_length,
    b"host": RequestHead._host,
    b"content-type": RequestHead._content_type,
    b"content-encoding": RequestHead._content_encoding,
    b"inference-header-content-length": RequestHead._json_bytes,
    b"x-request-id": RequestHead._request_id,
    b"expect": RequestHead._expect,
    b"sidecar-shadow": RequestHead._shadow,
    b"traceparent": RequestHead._traceparent,
    b"content_length": RequestHead._framing_lookalike,
    b"transfer_encoding": RequestHead._framing_lookalike,
}


def usable_id(value: bytes) -> bool:
    """Whether a caller's request id can be the one that a request is known by."""
    return 0 < len(value.rstrip(_BLANK)) <= REQUEST_ID_BYTES


def given_id(headers: Headers) -> bytes | None:
    """The caller's request id among the headers of a head that is refused."""
    for name, value in headers:
        if name.lower() == b"x-request-id" and usable_id(value):
            return value.rstrip(_BLANK)
    return None
