"""A connection to a model server: one leg at a time uses it, and is told about each read at most once.

It knows nothing of callers, champions or challengers. Invariant: nothing of an answer whose length could be doubted
is ever passed on, and a connection that is not provably at the end of an answer is not used again.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, cast

import httptools

from sidecar.proxy.last_words import left_in, spare_of
from sidecar.wire.answer_head import AnswerHead, MalformedAnswer
from sidecar.wire.borders import AnswerBorders, undecided_after
from sidecar.wire.chunks import framed
from sidecar.wire.request_head import Headers

if TYPE_CHECKING:
    from sidecar.proxy.leg import ConnectionUser
    from sidecar.proxy.pool import Pool

# More interim answers than this before the final one are no information any more.
INTERIM_ANSWERS: Final = 16
# A larger body is handed to the socket as it is, instead of being joined with its head.
JOINED_BYTES: Final = 16_384


class Upstream:
    """One connection to a model server; an asyncio protocol in all but name, since a compiled class has no such base.

    Attributes:
        sending: the leg still sends its request; after an answer that came early, the connection is not reused.
        reused: it has served another leg before.
        pieces: in how many the answer's body came so far.
        idle_since: when it was given back, in the loop's seconds.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._borders = AnswerBorders()
        self._leg: ConnectionUser | None = None
        self._reason = b""
        self._headers: Headers = []
        self._head: AnswerHead | None = None
        self._parts: list[bytes] = []
        self._complete = False
        self._broken = False
        self._heard = False  # anything at all of an answer
        self._undecided = 0  # bytes since the last part of a body, or since the request
        self._informed = 0
        self._tunnel = False
        self._unsent = False  # much of a request waits for a server that does not read
        self.transport: asyncio.Transport
        self.sending = False
        self.reused = False
        self.pieces: int = 0
        self._spare_fd: int = -1
        self.idle_since = 0.0

    # --- used by a leg -------------------------------------------------------------------------------------

    def take(self, leg: ConnectionUser) -> None:
        """Gives the connection to a leg for one request."""
        self._leg = leg
        self.sending = False
        self._complete = False
        self._heard = False
        self._head = None

    def begin_sending(self) -> None:
        """The request is sent piece by piece from now on."""
        self.sending = True
        self._spare_fd = spare_of(self.transport)

    def end_sending(self) -> None:
        """The whole request is written, though not all of it may have left."""
        self.sending = False

    def _let_go_of_spare(self) -> None:
        if self._spare_fd >= 0:
            os.close(self._spare_fd)
            self._spare_fd = -1

    def send(self, start: bytes, body: bytes, chunked: bool) -> None:
        """Writes a whole request."""
        if chunked:
            self.transport.write(start + framed(body, chunked=True))
        elif len(body) <= JOINED_BYTES:
            self.transport.write(start + body)
        else:
            self._spare_fd = spare_of(self.transport)
            self.transport.writelines((start, body))

    def hold(self, held: bool) -> None:
        """Reads no more of the answer for now, or reads on."""
        if held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def decline(self) -> None:
        """The leg was over before this connection was made; it may serve others, nothing was sent."""
        self._leg = None
        self._pool.give_back(self)

    def abandon(self) -> None:
        """The leg wants no more of this answer: nothing can be reused after a half-read one."""
        self._leg = None
        self.transport.abort()

    def close(self) -> None:
        """Nobody needs it any more. What the server has not taken by now, it might never take."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    # --- asyncio -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has another base

    def data_received(self, data: bytes) -> None:
        leg = self._leg
        if leg is None:
            # RFC 9112 9.2: bytes that nobody asked for; whatever they are, they must not become an answer.
            self.transport.abort()
            return
        if self._tunnel:
            leg.tunnelled(data)
            return
        if self._heard:
            self._parse(data)
            return
        self._heard = True
        head = self._pool.known_answer(data)
        if head is not None and not leg.to_head and not self.sending and not self._unsent and self._spare_fd < 0:
            self._leg = None
            self._pool.give_back(self)
            leg.answered(head, data[head.size :], True)
            return
        self._parts = []
        self._undecided = 0
        self._informed = 0
        self.pieces = 0
        self._parse(data)
        if self._complete and not self._broken and not leg.to_head:
            self._pool.remember(data, self._head)

    def _parse(self, data: bytes) -> None:
        self._undecided += len(data)
        at = self._parse_heads(data) if self._head is None else 0
        if self._head is not None and not self._tunnel and at < len(data) and not self._broken:
            self._feed(data if at == 0 else data[at:])
        if self._tunnel and not self._broken:
            self._upgrade(data[at:])
        elif self._complete:
            self._tell()
        elif self._broken or self._undecided > self._pool.undecided_bytes:
            self._fail("malformed")
        else:
            self._tell()

    def _parse_heads(self, data: bytes) -> int:
        """Reads interim heads and the final one, each by itself; the index of what comes behind."""
        at = 0
        while at < len(data) and self._head is None and not self._broken:
            end = self._borders.part(data, at)
            if end < 0:
                self._broken = True
                break
            self._feed(data[at:end])
            at = end
        return at

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken = self._broken or not self._tunnel
        except httptools.HttpParserError:
            # A complete answer followed by garbage is an answer; the connection is not used again.
            self._broken = True

    def eof_received(self) -> bool:
        head = self._head
        if self._tunnel and self._leg is not None:
            self._leg.failed("reset", self.reused, True)
        elif self._leg is not None and head is not None and not self._complete and head.ends_with_connection:
            self._complete = self._broken = True
            self._tell()
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        self._pool.forget(self)
        if self._spare_fd >= 0:
            # A server that answers early and closes resets us as we write, and that is noticed before its answer is.
            last = left_in(self._spare_fd)
            self._spare_fd = -1
            if last and self._leg is not None:
                self.data_received(last)
        self._fail("reset")

    def pause_writing(self) -> None:
        self._unsent = True
        if self._leg is not None:
            self._leg.sending_paused(True)

    def resume_writing(self) -> None:
        self._unsent = False
        if self._leg is not None:
            self._leg.sending_paused(False)

    # --- httptools -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            self._broken = True
        self._reason = b""
        self._headers = []

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is None:  # else a trailer, which is dropped
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        leg = self._leg
        if self._complete or leg is None:
            return
        parser = self._parser
        status = parser.get_status_code()
        try:
            head = AnswerHead(
                status,
                self._reason,
                parser.get_http_version(),
                self._headers,
                to_head=leg.to_head,
                keep_alive=parser.should_keep_alive(),
            )
        except MalformedAnswer:
            self._broken = True
            return
        if status == 101:
            if leg.upgrade and head.grants(leg.upgrade):
                self._head = head
                self._tunnel = True
            else:
                self._broken = True  # it was never asked for
        elif status < 200:
            self._informed += 1
            self._broken = self._broken or self._informed > INTERIM_ANSWERS
            if not self._broken:
                leg.informed(head)
        else:
            self._head = head
            if leg.to_head:
                # The parser cannot know that no body follows; a fresh one reads the next answer.
                self._complete = True
                self._parser = httptools.HttpResponseParser(self)

    def on_body(self, part: bytes) -> None:
        self._undecided = undecided_after(self._undecided, len(part))
        if self._complete:
            self._broken = True
        else:
            self.pieces += 1
            self._parts.append(part)

    def on_message_complete(self) -> None:
        if self._head is not None and not self._tunnel:
            self._complete = True
            # A trailer may have said close, after the head said nothing of it.
            self._broken = self._broken or not self._parser.should_keep_alive()

    # --- one read, told once -------------------------------------------------------------------------------

    def _tell(self) -> None:
        leg, head = self._leg, self._head
        if leg is None or head is None:
            return
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        if self._complete:
            self._leg = None
            self._let_go_of_spare()
            # Given back before the leg is told, so that the caller's next request finds it.
            done = not (self._broken or self.sending or self._unsent)
            if not done or not head.keep_alive or self.transport.is_closing():
                self.close()
            else:
                self._pool.give_back(self, head.idle_s)
        leg.answered(head, body, self._complete)

    def _upgrade(self, rest: bytes) -> None:
        leg, head = self._leg, self._head
        if leg is not None and head is not None:
            leg.upgraded(head, rest)

    def _fail(self, kind: str) -> None:
        leg, self._leg = self._leg, None
        if leg is not None:
            self.transport.abort()
            leg.failed(kind, self.reused, self._heard)
