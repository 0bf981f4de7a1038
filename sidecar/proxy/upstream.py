"""A connection to a model server, and the pool of those that idle.

One leg at a time uses a connection; the connection parses the answer and tells the leg about each read at most once.
It knows nothing of callers, champions or challengers: a leg is whatever has the three methods of `Leg`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, cast

import httptools

from sidecar.decide.routing_table import Bounds, Destination
from sidecar.wire.answer_head import AnswerHead, MalformedAnswer
from sidecar.wire.request_head import Headers

# Heads that a pool remembers; a header that always differs only makes it forget them now and then.
UNDERSTOOD_HEADS = 128


class Leg(Protocol):
    """What a connection tells the one who uses it."""

    to_head: bool

    def connected(self, upstream: Upstream) -> None:
        """A connection is ready; write to it."""

    def answered(self, head: AnswerHead, parts: list[bytes], *, complete: bool) -> None:
        """One read brought (more of) the answer. Once complete, the connection serves others."""

    def failed(self, kind: str, *, reused: bool, answer_begun: bool) -> None:
        """No (further) answer will come: connect, reset, malformed. The connection is gone."""

    def sending_paused(self, *, paused: bool) -> None:
        """The model server takes no more of the request for now, or takes more again."""


class Upstream(asyncio.Protocol):
    """One connection to a model server."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._leg: Leg | None = None
        self._reason = b""
        self._headers: Headers = []
        self._complete = False
        self._broken = False
        self.transport: asyncio.Transport
        self._head: AnswerHead | None = None
        self._parts: list[bytes] = []
        self._heard = False  # anything at all of an answer
        self._undecided = 0  # bytes since the last part of a body, or since the request
        self.sending = False  # the leg still sends: after an answer that came early, no reuse
        self.reused = False
        self.idle_since = 0.0

    # --- used by a leg -------------------------------------------------------------------------------------

    def take(self, leg: Leg) -> None:
        """Gives the connection to a leg for one request."""
        self._leg = leg
        self.sending = False
        self._complete = False
        self._head = None
        self._parts = []
        self._heard = False
        self._undecided = 0

    def decline(self) -> None:
        """The leg was over before this connection was made; it may serve others, nothing was sent."""
        self._leg = None
        self._pool.give_back(self)

    def abandon(self) -> None:
        """The leg wants no more of this answer: nothing can be reused after a half-read one."""
        self._leg = None
        self.transport.abort()

    # --- asyncio -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._leg is None:
            # RFC 9112 9.2: bytes that nobody asked for; whatever they are, they must not become an answer.
            self.transport.abort()
            return
        self._heard = True
        self._undecided += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken = True
        except httptools.HttpParserError:
            # A complete answer followed by garbage is an answer; the connection is not used again.
            self._broken = True
        if self._complete:
            self._tell()
        elif self._broken or self._undecided > self._pool.undecided_bytes:
            self._fail("malformed")
        else:
            self._tell()

    def eof_received(self) -> None:
        head = self._head
        if self._leg is not None and head is not None and not self._complete and head.ends_with_connection:
            self._complete = self._broken = True
            self._tell()

    def connection_lost(self, _error: Exception | None) -> None:
        self._pool.forget(self)
        self._fail("reset")

    def pause_writing(self) -> None:
        if self._leg is not None:
            self._leg.sending_paused(paused=True)

    def resume_writing(self) -> None:
        if self._leg is not None:
            self._leg.sending_paused(paused=False)

    # --- httptools -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            self._broken = True
        self._reason = b""
        self._headers = []

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._complete or self._leg is None or 100 <= status < 200:
            # Interim answers are dropped (RFC 9110 15.2 lets a proxy do so for those it asked for itself); 101 is
            # an upgrade that was never asked for.
            self._broken = self._broken or status == 101
            return
        to_head = self._leg.to_head
        try:
            self._head = self._pool.understand(
                status,
                self._reason,
                self._parser.get_http_version(),
                tuple(self._headers),
                to_head,
                self._parser.should_keep_alive(),
            )
        except MalformedAnswer:
            self._broken = True
            return
        if to_head:
            # The parser cannot know that no body follows; a fresh one reads the next answer.
            self._complete = True
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, part: bytes) -> None:
        self._undecided = 0
        if self._complete:
            self._broken = True
        else:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        if self._head is not None:
            self._complete = True

    # --- one read, told once -------------------------------------------------------------------------------

    def _tell(self) -> None:
        leg, head = self._leg, self._head
        if leg is None or head is None:
            return
        parts, self._parts = self._parts, []
        if self._complete:
            self._leg = None
            # Given back before the leg is told, so that the caller's next request finds it.
            if self._broken or self.sending or not head.keep_alive or self.transport.is_closing():
                self.transport.close()
            else:
                self._pool.give_back(self)
        leg.answered(head, parts, complete=self._complete)

    def _fail(self, kind: str) -> None:
        leg, self._leg = self._leg, None
        if leg is not None:
            self.transport.abort()
            leg.failed(kind, reused=self.reused, answer_begun=self._heard)


class Pool:
    """Connections to one destination: those that idle, and the making of new ones."""

    def __init__(self, loop: asyncio.AbstractEventLoop, to: Destination, bounds: Bounds) -> None:
        self._loop = loop
        self._to = to
        self._idle_s = bounds.idle_upstream_s
        self._connect_s = bounds.connect_s
        # A head, or the framing between two parts of a body, may not be endless.
        self.undecided_bytes = bounds.header_bytes
        self._idle: deque[Upstream] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._understood: dict[tuple[object, ...], AnswerHead] = {}

    def understand(
        self,
        status: int,
        reason: bytes,
        version: str,
        headers: tuple[tuple[bytes, bytes], ...],
        to_head: bool,
        keep_alive: bool,
    ) -> AnswerHead:
        """What an answer's head means. A model server sends few different ones: each is understood once.

        Raises MalformedAnswer.
        """
        key = (status, reason, version, headers, to_head, keep_alive)
        head = self._understood.get(key)
        if head is None:
            head = AnswerHead(status, reason, version, headers, to_head=to_head, keep_alive=keep_alive)
            if len(self._understood) >= UNDERSTOOD_HEADS:
                self._understood.clear()
            self._understood[key] = head
        return head

    def serve(self, leg: Leg, *, fresh: bool = False) -> None:
        """Calls `leg.connected` with a connection: at once if one idles, else when it is made; or `leg.failed`."""
        oldest = self._loop.time() - self._idle_s
        while self._idle and not fresh:
            upstream = self._idle.pop()
            if upstream.idle_since < oldest or upstream.transport.is_closing():
                upstream.transport.close()
                continue
            upstream.reused = True
            upstream.take(leg)
            leg.connected(upstream)
            return
        task = self._loop.create_task(self._connect(leg), name=f"connect {self._to.version}")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, leg: Leg) -> None:
        to = self._to
        try:
            # Else an address that swallows packets would gather attempts for minutes.
            async with asyncio.timeout(self._connect_s):
                if to.unix:
                    _, upstream = await self._loop.create_unix_connection(lambda: Upstream(self), to.unix)
                else:
                    _, upstream = await self._loop.create_connection(lambda: Upstream(self), to.host, to.port)
        except (OSError, UnicodeError):  # TimeoutError is the one, a name that is no host name the other
            leg.failed("connect", reused=False, answer_begun=False)
            return
        upstream.take(leg)
        leg.connected(upstream)

    def give_back(self, upstream: Upstream) -> None:
        """A connection whose answer is complete may serve the next leg."""
        if self._closed:
            upstream.transport.close()
            return
        upstream.idle_since = self._loop.time()
        self._idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """A connection is gone."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def tick(self, now: float) -> None:
        """Closes what has idled too long: a model server must never be the first to close (RELIABILITY 3)."""
        while self._idle and self._idle[0].idle_since < now - self._idle_s:
            self._idle.popleft().transport.close()

    def close(self) -> None:
        """The routing table names this destination no more: legs under way end, then their connections close."""
        self._closed = True
        while self._idle:
            self._idle.popleft().transport.close()
