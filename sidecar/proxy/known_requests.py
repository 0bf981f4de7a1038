"""The request heads that one worker understood before: a caller sends few different ones, again and again.

What differs with each request, its id and its trace, is cut out before a head is looked up, and read by itself.
Invariant: what is remembered was read by the strict parser and judged, began with its method, ended with the first
empty line, and kept its connection alive; so the same bytes mean the same, and need not be read again. Forgotten with
every routing table, since limits and routes may change.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.decide.routing_table import Bounds
from sidecar.proxy.request_reader import RequestListener, RequestReader
from sidecar.wire.request_head import RequestHead
from sidecar.wire.trace_context import TraceContext, parse

# So many heads, each of at most so many bytes; one more header that always differs makes it forget them now and then.
KNOWN_HEADS: Final = 256
KNOWN_HEAD_BYTES: Final = 4_096
# Ways to spell a header's name that are looked for; nearly all callers of a service spell alike.
SPELLINGS: Final = 3

# An id that no parser would read in another way.
_PLAIN_ID: Final = re.compile(rb"[\x21-\x7e]{1,256}")
_CUT: Final = (b"x-request-id", b"traceparent")


class KnownRequest:
    """A request whose head is known: what it means, and what is its own. `request_id` and `trace` may be None."""

    __slots__ = ("head", "request_id", "size", "trace")

    def __init__(self, head: RequestHead, size: int) -> None:
        self.head = head
        self.size = size
        self.request_id: bytes | None = None
        self.trace: TraceContext | None = None


class KnownRequests:
    """Heads by their bytes."""

    def __init__(self) -> None:
        self._heads: dict[bytes, RequestHead] = {}
        self._id_lines: list[bytes] = []  # as in b"\r\nX-Request-Id: "
        self._trace_lines: list[bytes] = []

    def whole(self, data: bytes) -> KnownRequest | None:
        """What begins `data`, if its head is known and `data` is exactly that one request, body and all."""
        size = data.find(b"\r\n\r\n") + 4
        if size < 4 or size > KNOWN_HEAD_BYTES:
            return None
        key = data[:size]
        known: KnownRequest | None = None
        head = self._heads.get(key)
        if head is not None:
            known = KnownRequest(head, size)
        elif self._id_lines or self._trace_lines:
            known = self._without_its_own(key)
        if known is None:
            return None
        length = known.head.length
        return known if size + (0 if length is None else length) == len(data) else None

    def _without_its_own(self, key: bytes) -> KnownRequest | None:
        """The same for a head with an id or a trace of its own."""
        size = len(key)
        request_id: bytes | None = None
        trace: TraceContext | None = None
        for line in self._id_lines:
            at = key.find(line)
            if at > 0:
                end = key.find(b"\r\n", at + 2)
                request_id = key[at + len(line) : end]
                if _PLAIN_ID.fullmatch(request_id) is None:
                    return None
                key = key[:at] + key[end:]
                break
        for line in self._trace_lines:
            at = key.find(line)
            if at > 0:
                end = key.find(b"\r\n", at + 2)
                trace = parse(key[at + len(line) : end])
                if trace is None:
                    return None
                key = key[:at] + key[end:]
                break
        head = self._heads.get(key)
        if head is None:
            return None
        known = KnownRequest(head, size)
        known.request_id = request_id
        known.trace = trace
        return known

    def remember(self, data: bytes, bounds: Bounds) -> None:
        """The parser read `data` as exactly one request, and it may come again."""
        size = data.find(b"\r\n\r\n") + 4
        if size > KNOWN_HEAD_BYTES or not data[:1].isalpha():
            return
        key = data[:size]
        for name, lines in zip(_CUT, (self._id_lines, self._trace_lines), strict=True):
            at = key.lower().find(b"\r\n%s: " % name)
            if at > 0:
                line = key[at : at + len(name) + 4]
                if line not in lines and len(lines) < SPELLINGS:
                    lines.append(line)
                key = key[:at] + key[key.find(b"\r\n", at + 2) :]
        head = _read(key, bounds)
        if head is None or head.chunked or head.asks_continue or not head.plain:
            return
        if head.request_id is not None or head.trace is not None or size + (head.length or 0) != len(data):
            return
        if len(self._heads) >= KNOWN_HEADS:
            self._heads.clear()
        self._heads[key] = head

    def forget(self) -> None:
        """Another routing table stands: judge and resolve everything anew."""
        self._heads.clear()


class _Catch(RequestListener):
    """Takes the one head that is read."""

    def __init__(self) -> None:
        self.head: RequestHead | None = None

    def request_arrived(self, head: RequestHead) -> None:
        self.head = head

    def body_arrived(self, part: bytes) -> None:
        """There is none."""

    def request_ended(self) -> None:
        """Or it will never end, without its body."""


def _read(head: bytes, bounds: Bounds) -> RequestHead | None:
    """A head by itself, read as strictly as any."""
    catch = _Catch()
    reader = RequestReader(catch)
    reader.feed(head, bounds)
    return None if reader.refusal is not None else catch.head
