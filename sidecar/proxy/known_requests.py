"""The request heads that one worker understood before: a caller sends few different ones, again and again.

What differs with each request, the values of its id and its trace, is cut out before a head is looked up.
Invariant: what is remembered was read by the strict parser and judged, began with its method, ended with the first
empty line, and kept its connection alive; so the same bytes mean the same, and need not be read again. Forgotten with
every routing table, since limits and routes may change.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.wire.request_head import RequestHead
from sidecar.wire.trace_context import TraceContext, parse

# So many heads, each of at most so many bytes; one more header that always differs makes it forget them now and then.
KNOWN_HEADS: Final = 256
KNOWN_HEAD_BYTES: Final = 4_096
# Ways to spell a header's name that are looked for; nearly all callers of a service spell alike.
SPELLINGS: Final = 3

# An id that no parser would read in another way.
_PLAIN_ID: Final = re.compile(rb"[\x21-\x7e]{1,256}")


class Asked:
    """One request's head: what it means, its `size` in bytes, and what is its own: `request_id` and `trace`, if any."""

    __slots__ = ("head", "request_id", "size", "trace")

    def __init__(self, head: RequestHead, size: int, request_id: bytes | None, trace: TraceContext | None) -> None:
        self.head = head
        self.size = size
        self.request_id = request_id
        self.trace = trace


class KnownRequests:
    """Heads by their bytes."""

    def __init__(self) -> None:
        self._most_bytes: int = KNOWN_HEAD_BYTES
        self._heads: dict[bytes, RequestHead] = {}
        self._cut_heads: dict[bytes, RequestHead] = {}
        self._id_lines: list[bytes] = []  # as in b"\r\nX-Request-Id: "
        self._trace_lines: list[bytes] = []

    def whole(self, data: bytes) -> Asked | None:
        """What begins `data`, if its head is known and `data` is exactly that one request, body and all."""
        size = data.find(b"\r\n\r\n") + 4
        if size < 4 or size > self._most_bytes:
            return None
        key = data[:size]
        known: Asked | None = None
        head = self._heads.get(key)
        if head is not None:
            known = Asked(head, size, None, None)
        elif self._id_lines or self._trace_lines:
            known = self._without_its_own(key)
        if known is None:
            return None
        length = known.head.length
        return known if size + (0 if length is None else length) == len(data) else None

    def _without_its_own(self, key: bytes) -> Asked | None:
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
                key = key[: at + len(line)] + key[end:]
                break
        for line in self._trace_lines:
            at = key.find(line)
            if at > 0:
                end = key.find(b"\r\n", at + 2)
                trace = parse(key[at + len(line) : end])
                if trace is None:
                    return None
                key = key[: at + len(line)] + key[end:]
                break
        head = self._cut_heads.get(key)
        return None if head is None else Asked(head, size, request_id, trace)

    def remember(self, data: bytes, head: RequestHead | None) -> None:
        """The parser read `data` as exactly one request with this head, and it may come again."""
        if head is None or head.chunked or head.asks_continue or not head.plain:
            return
        size = data.find(b"\r\n\r\n") + 4
        if size > self._most_bytes or size + (head.length or 0) != len(data) or not data[:1].isalpha():
            return
        key, heads = data[:size], self._heads
        if head.request_id is not None or head.trace is not None:
            key, heads = self._cut(key, head), self._cut_heads
        if not key:
            return
        if len(heads) >= KNOWN_HEADS:
            heads.clear()
        heads[key] = head

    def _cut(self, key: bytes, head: RequestHead) -> bytes:
        """The head without the values of its id and its trace; nothing where one stands there twice, or oddly.

        One that means nothing is odd: as it stands it goes on, or not, with this request alone.
        """
        for name, lines, meant in (
            (b"x-request-id", self._id_lines, head.request_id is not None),
            (b"traceparent", self._trace_lines, head.trace is not None),
        ):
            lower = key.lower()
            at = lower.find(b"\r\n%s: " % name)
            if lower.count(b"\r\n%s:" % name) != meant or meant != (at > 0):
                return b""
            if at > 0:
                line = key[at : at + len(name) + 4]
                if line not in lines:
                    if len(lines) >= SPELLINGS:
                        return b""
                    lines.append(line)
                key = key[: at + len(line)] + key[key.find(b"\r\n", at + 2) :]
        return key

    def forget(self, header_bytes: int) -> None:
        """Another routing table stands: judge and resolve everything anew. No head is as long as its limit."""
        self._most_bytes = min(KNOWN_HEAD_BYTES, header_bytes)
        self._heads.clear()
        self._cut_heads.clear()
