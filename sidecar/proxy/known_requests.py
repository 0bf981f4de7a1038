"""The request heads that one worker understood before: a caller sends few different ones, again and again.

Invariant: what is remembered was read by the strict parser and judged, began with its method, ended with the first
empty line, and kept its connection alive; so the same bytes mean the same, and need not be read again. Forgotten with
every routing table, since limits and routes may change.
"""

from __future__ import annotations

from sidecar.wire.request_head import RequestHead

# So many heads, each of at most so many bytes; one header that always differs only makes it forget them now and then.
KNOWN_HEADS = 256
KNOWN_HEAD_BYTES = 4_096


class KnownRequests:
    """Heads by their bytes."""

    def __init__(self) -> None:
        self._heads: dict[bytes, RequestHead] = {}

    def whole(self, data: bytes) -> RequestHead | None:
        """The head that begins `data`, if it is known and `data` is exactly that one request, body and all."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._heads.get(data[: end + 4])
        if head is None:
            return None
        length = head.length
        if head.size + (0 if length is None else length) != len(data):
            return None
        return head

    def remember(self, data: bytes, head: RequestHead | None) -> None:
        """The parser read `data` as exactly one request with this head."""
        if head is None or head.chunked or head.asks_continue or head.upgrade or not head.plain:
            return
        if head.id_given or head.traceparent is not None:
            return  # it will not come again
        size = data.find(b"\r\n\r\n") + 4
        if size > KNOWN_HEAD_BYTES or size + (head.length or 0) != len(data) or not data[:1].isalpha():
            return
        if len(self._heads) >= KNOWN_HEADS:
            self._heads.clear()
        head.size = size
        self._heads[data[:size]] = head

    def forget(self) -> None:
        """Another routing table stands: judge and resolve everything anew."""
        self._heads.clear()
