"""What a request's head means: its framing, target and identity, and the header lines that go on.

Stricter than the parser in front of it (llhttp): whatever could be understood in two ways is refused before a byte
goes on. Header lines are kept byte-exact, in order, with their multiplicity. Called once per request by `proxy`.
"""

# ruff: noqa: SLF001  the table of meanings stands beside its class, at the end of this file

from __future__ import annotations

from collections.abc import Callable

from sidecar.wire import refusal
from sidecar.wire.hop_by_hop import CREDENTIALS, HOP_BY_HOP, named_by_connection
from sidecar.wire.refusal import Refusal

Headers = list[tuple[bytes, bytes]]
REQUEST_ID_BYTES = 256
_BLANK = b" \t"  # RFC 9110 5.6.3: optional around a value and no part of it; the parser leaves what trails
# RFC 3986 3.2.2 and 3.2.3 without user information: what a host and its port are made of.
_HOST_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%:[]"


class Refused(Exception):
    """This request is answered by the sidecar itself."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why.says)
        self.why = why


class RequestHead:
    """A request's head, understood. `length` is None without a body of known length; `lines` go to the champion.

    `host` is None for an HTTP/1.0 request that names none; then the one who forwards gives an authority.
    """

    __slots__ = (
        "asks_continue",
        "chunked",
        "content_encoding",
        "content_type",
        "has_credentials",
        "host",
        "http10",
        "id_given",
        "is_shadow",
        "keep_alive",
        "length",
        "lines",
        "method",
        "named",
        "path",
        "request_id",
        "target",
    )

    def __init__(self, method: bytes, target: bytes, version: str, headers: Headers, *, keep_alive: bool) -> None:
        self.method = method
        self.http10 = version == "1.0"
        self.keep_alive = keep_alive
        self.length: int | None = None
        self.chunked = False
        self.asks_continue = False
        self.is_shadow = False
        self.has_credentials = False
        self.host: bytes | None = None
        self.named: frozenset[bytes] = frozenset()
        self.request_id: bytes | None = None
        self.id_given = False
        self.content_type = b""
        self.content_encoding = b""
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

    # Each of these notes one header's meaning and tells whether the header goes on.

    def _drop(self, _value: bytes) -> bool:
        return False

    def _connection(self, value: bytes) -> bool:
        self.named |= named_by_connection(value)
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
        if self.length is not None or not digits.isdigit():
            raise Refused(refusal.BAD_FRAMING)
        self.length = int(digits)
        return True

    def _framing_lookalike(self, _value: bytes) -> bool:
        # CGI-like servers read `Content_Length` as `Content-Length`: a second length that only they see.
        raise Refused(refusal.BAD_FRAMING)

    def _host(self, value: bytes) -> bool:
        host = value.rstrip(_BLANK)
        if self.host is not None or host.translate(None, _HOST_BYTES):
            raise Refused(refusal.BAD_HOST)
        self.host = host
        return True

    def _content_type(self, value: bytes) -> bool:
        self.content_type = value
        return True

    def _content_encoding(self, value: bytes) -> bool:
        self.content_encoding = value
        return True

    def _request_id(self, value: bytes) -> bool:
        # The model server sees the one id that everything is joined by: a second or an unusable one stays here.
        if self.id_given or not usable_id(value):
            return False
        self.request_id = value.rstrip(_BLANK)
        self.id_given = True
        return True

    def _expect(self, value: bytes) -> bool:
        # RFC 9110 10.1.1: met here, hop by hop; HTTP/1.0 has no such thing.
        if not self.http10:
            if value.rstrip(_BLANK).lower() != b"100-continue":
                raise Refused(refusal.BAD_EXPECTATION)
            self.asks_continue = True
        return False

    def _shadow(self, _value: bytes) -> bool:
        self.is_shadow = True
        return True

    def _credential(self, _value: bytes) -> bool:
        self.has_credentials = True
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
            authority, slash, path = rest.partition(b"/")
            if not authority or authority.translate(None, _HOST_BYTES):
                raise Refused(refusal.BAD_HOST)
            if self.host is None:
                self.host = authority
                self.lines += (b"host", b": ", authority, b"\r\n")
            elif authority.lower() != self.host.lower():
                raise Refused(refusal.BAD_HOST)
            target = slash + path if slash else b"/"
        if b"#" in target:
            raise Refused(refusal.BAD_TARGET)
        self.target = target
        self.path = target.partition(b"?")[0]

    def target_at(self, path: str | None) -> bytes:
        """The target to ask for at a destination: the caller's own, or its query behind that destination's path."""
        if path is None:
            return self.target
        return path.encode() + self.target[len(self.path) :]

    def champion_bytes(self, path: str | None, authority: str, request_id: bytes) -> bytes:
        """The head as it goes to the champion at `authority`, which is its Host if the caller named none."""
        return self._bytes(path, authority, request_id, self.lines, b"")

    def shadow_bytes(self, path: str | None, authority: str, request_id: bytes, version: str) -> bytes:
        """The head of a copy: marked, and without the caller's credentials."""
        lines = without(self.lines, CREDENTIALS) if self.has_credentials else self.lines
        return self._bytes(path, authority, request_id, lines, b"sidecar-shadow: %s\r\n" % version.encode())

    def _bytes(self, path: str | None, authority: str, request_id: bytes, lines: list[bytes], mark: bytes) -> bytes:
        minted = b"" if self.id_given else b"x-request-id: %s\r\n" % request_id
        if self.host is None:
            minted += b"host: %s\r\n" % authority.encode()
        framing = b"transfer-encoding: chunked\r\n" if self.chunked else b""
        start = b"%s %s HTTP/1.1\r\n" % (self.method, self.target_at(path))
        return b"".join((start, *lines, minted, mark, framing, b"\r\n"))


_MEANING: dict[bytes, Callable[[RequestHead, bytes], bool]] = {
    **dict.fromkeys(HOP_BY_HOP, RequestHead._drop),
    **dict.fromkeys(CREDENTIALS, RequestHead._credential),
    b"connection": RequestHead._connection,
    b"transfer-encoding": RequestHead._transfer_encoding,
    b"content-length": RequestHead._content_length,
    b"host": RequestHead._host,
    b"content-type": RequestHead._content_type,
    b"content-encoding": RequestHead._content_encoding,
    b"x-request-id": RequestHead._request_id,
    b"expect": RequestHead._expect,
    b"sidecar-shadow": RequestHead._shadow,
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


def without(lines: list[bytes], names: frozenset[bytes]) -> list[bytes]:
    """Header lines (name, colon, value, end, ...) without those whose lower-case name is in `names`."""
    kept: list[bytes] = []
    for at in range(0, len(lines), 4):
        if lines[at].lower() not in names:
            kept += lines[at : at + 4]
    return kept
