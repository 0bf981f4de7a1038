"""A caller's connection: its requests served one at a time and in order, within limits and deadlines.

Cutting bytes into requests is RequestReader's work, serving one a Journey's. A caller that sends faster than it can
be served, or does not read its answers, is not read: what a connection holds is bounded. After a refusal nothing
more of this connection is understood.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

from sidecar.proxy.forward import Journey
from sidecar.proxy.known_requests import Asked
from sidecar.proxy.request_reader import RequestListener, RequestReader
from sidecar.proxy.resetting import reset
from sidecar.wire import refusal
from sidecar.wire.answer_head import own_lines
from sidecar.wire.body_rate import allowed_s
from sidecar.wire.refusal import Refusal, write_refusal
from sidecar.wire.request_head import RequestHead

if TYPE_CHECKING:
    from sidecar.proxy.plane import Plane

NEVER = float("inf")
# How long a caller whose request was refused midway may go on sending before its connection is cut.
LINGER_S: Final = 2.0
# So much of an answer may wait for a caller that does not read, before its model server is made to wait.
UNREAD_BYTES: Final = 65_536
# A worker that stops lets a connection without a request yet have this long to begin: its request may be on its way.
BEGIN_S: Final = 1.0
# So many callers above limits.connections are told that there is no room; more are cut without a word.
POLITELY_REFUSED: Final = 128


class Caller(RequestListener):
    """One connection from a client; an asyncio protocol in all but name, since a compiled class has no such base."""

    # The reasons for which nothing is read from it.
    PIPELINED: Final = 1
    CHAMPION: Final = 2

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._reader = RequestReader(self)
        self._unread = b""  # came, and waits until the requests before it are served
        self._waiting: deque[Journey] = deque()
        self._serving: Journey | None = None
        self._arriving: Journey | None = None
        self._advancing = False
        self._deaf = False  # whatever still comes is of no interest
        self._lost = False
        self._eof = False
        self._full = False  # the caller does not read what was written
        self._paused: int = 0
        self._tunnel: asyncio.Transport | None = None
        self._stage = "idle"
        self._started = 0.0
        self._transport: asyncio.Transport
        self.deadline = NEVER

    # --- asyncio ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        plane = self._plane
        room = plane.bounds.connections - len(plane.callers)
        if room <= -POLITELY_REFUSED:
            self._cut()
            return
        plane.callers.add(self)
        if room <= 0:
            self._refuse(refusal.OVERLOADED)
        else:
            self.wait("idle", BEGIN_S if plane.draining else plane.bounds.idle_client_s)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._tunnel is not None:
            self._tunnel.write(data)
            self.tunnel_used()
            return
        self._started = perf_counter()
        if self._serving is None and not self._unread and not self._waiting and self._reader.fresh and not self._full:
            known = self._plane.known_requests.whole(data)
            if known is not None:
                self._serve_known(known, data)
                return
        self._unread += data
        self._advance()

    def _serve_known(self, known: Asked, data: bytes) -> None:
        """Most requests: whole in one read, and with a head that came before. The parser would say nothing new."""
        journey = Journey(self._plane, self, known, self._started)
        if len(data) > known.size:
            journey.add_body(data[known.size :])
        journey.end_body()
        self._serving = journey
        journey.begin()

    def eof_received(self) -> bool:
        # A caller may close its half and still wait for its answers.
        if self._stage == "linger":
            self._close()
        elif self._tunnel is not None:
            if self._tunnel.can_write_eof():
                self._tunnel.write_eof()
        elif not self._eof:
            self._eof = True
            self._advance()
        return self._transport.can_write_eof()  # TLS has no half-close

    def connection_lost(self, _error: Exception | None) -> None:
        self._plane.callers.discard(self)
        self.deadline = NEVER
        self._lost = True
        self._hear_no_more()
        if self._serving is not None:
            self._serving.caller_lost()

    def pause_writing(self) -> None:
        self._full = True
        if self._serving is not None:
            self._serving.receiving_paused(True)
            self.wait("reading", self._plane.bounds.between_bytes_s)

    def resume_writing(self) -> None:
        self._full = False
        if self._serving is not None:
            self._serving.receiving_paused(False)
            self.wait("between", self._plane.bounds.between_bytes_s)
            self.tunnel_used()
        self._advance()

    # --- told by the reader ----------------------------------------------------------------------------------

    def request_arrived(self, head: RequestHead) -> None:
        asked = Asked(head, 0, head.request_id, head.trace)
        journey = self._arriving = Journey(self._plane, self, asked, self._started)
        journey.tee.expect(head.length)
        if head.length is not None and head.length > self._plane.bounds.body_bytes:
            journey.break_off(refusal.TOO_LARGE)
        self._waiting.append(journey)

    def body_arrived(self, part: bytes) -> None:
        if self._arriving is not None:
            self._arriving.add_body(part)

    def request_ended(self) -> None:
        journey, self._arriving = self._arriving, None
        if journey is not None:
            journey.end_body()

    # --- one at a time, in order -----------------------------------------------------------------------------

    def _advance(self) -> None:
        """Serves and reads on as far as it goes now. A loop, since a request may be over before `begin` returns."""
        if self._advancing:
            return
        self._advancing = True
        while not self._deaf:
            if self._serving is None and self._waiting and not self._full:
                self._serving = self._waiting.popleft()
                self._serving.begin()
            elif self._unread and not self._waiting and self._reader.refusal is None and not self._reader.upgrading:
                self._read()
            else:
                break
        self._advancing = False
        if not self._deaf:
            self._settle()

    def _read(self) -> None:
        reader, data = self._reader, self._unread
        fresh = reader.between
        rest = reader.feed(data, self._plane.bounds)
        self._unread = b"" if self._deaf else rest
        if reader.refusal is not None and self._arriving is not None:
            self._arriving.break_off(reader.refusal)
        elif fresh and not self._unread and reader.between and len(self._waiting) == 1 and self._waiting[0].why is None:
            self._plane.known_requests.remember(data, self._waiting[0].head)

    def _settle(self) -> None:
        """Nothing more can be done now: what is waited for?"""
        reader, bounds = self._reader, self._plane.bounds
        if self._serving is None and not self._waiting:
            if reader.refusal is not None:
                if not self._full:
                    self._refuse(reader.refusal)
            elif self._eof:
                self._close()
            elif self._plane.closing and not self._begins():
                self._plane.count_closed()
                self._close()
            elif reader.in_head and self._stage == "idle":
                self.wait("headers", BEGIN_S if self._plane.draining else bounds.headers_s)
        elif self._eof and self._arriving is not None and not self._unread:
            reader.refuse(refusal.MALFORMED)  # its body will never be whole
            self._arriving.break_off(refusal.MALFORMED)
        if not self._deaf:
            self.hold(self.PIPELINED, bool(self._waiting or self._unread) or reader.refusal is not None)

    def journey_ended(self, close: bool, cut: bool) -> None:
        """The request being served is answered, or cannot be."""
        ended, self._serving = self._serving, None
        if self._lost:
            return
        unread = bool(self._waiting or self._unread or self._paused)
        self.hold(self.CHAMPION, False)
        if close and ended is not None and ended.head.keep_alive:
            self._plane.count_closed()
        if cut:
            self._cut()
        elif close and (unread or (ended is not None and not ended.body_ended)):
            self._linger()
        elif close:
            self._close()
        else:
            self.wait("idle", self._plane.idle_client_s)
            if not self._advancing and (unread or self._eof or self._plane.closing or not self._reader.between):
                self._advance()

    def _refuse(self, why: Refusal) -> None:
        """A request of which there is no Journey: its head makes no sense, or there is no room."""
        plane, reader = self._plane, self._reader
        plane.tally.refused(why.reason)
        plane.ended(None, False, why.status, 0.0)
        own = own_lines(reader.refused_id or plane.mint_id(), None, "")
        self.send(write_refusal(why, own, close=True, body=not reader.refused_head))
        self._linger()

    # --- how a connection ends -------------------------------------------------------------------------------

    def _linger(self) -> None:
        """Closing with unread bytes would reset the connection, and the caller would lose the answer with it."""
        if self._eof:
            self._close()
            return
        self._hear_no_more()
        if not self._transport.is_closing():
            self._transport.resume_reading()
            if not self._transport.can_write_eof():  # TLS has no half-close
                self._close()
                return
            self._transport.write_eof()
        self.wait("linger", LINGER_S)

    def _close(self) -> None:
        """What was written still goes out, if the caller takes it in time."""
        self._hear_no_more()
        self._transport.close()
        self.wait("closing", self._plane.bounds.between_bytes_s)

    def _cut(self) -> None:
        """Ends the connection so that it cannot look like the end of an answer."""
        self._hear_no_more()
        reset(self._transport)

    def _hear_no_more(self) -> None:
        self._deaf = True
        self._arriving = None
        self._unread = b""
        while self._waiting:
            self._waiting.popleft().forget()
        self._paused = 0

    # --- used by the journey ---------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Writes to the caller."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def hold(self, why: int, held: bool) -> None:
        """Reads no more from the caller while any reason to wait stands."""
        was = self._paused
        self._paused = was | why if held else was & ~why
        if was != self._paused and not (was and self._paused) and not self._transport.is_closing():
            if self._paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def open_tunnel(self, to: asyncio.Transport) -> None:
        """From now on every byte goes to the champion as it is, those too that came already."""
        self._tunnel = to
        came = self._reader.rest + self._unread
        self._unread = b""
        if came:
            to.write(came)
        self.hold(self.PIPELINED, False)
        if self._eof and to.can_write_eof():
            to.write_eof()
        self.tunnel_used()

    @property
    def tunnelling(self) -> bool:
        """Whether it speaks another protocol with the champion."""
        return self._tunnel is not None and self._serving is not None

    def tunnel_used(self) -> None:
        """If there is a tunnel, it may idle anew; but not for a caller who does not read."""
        if self._tunnel is not None and not self._full:
            self.wait("tunnel", self._plane.bounds.idle_client_s)

    def wait(self, stage: str, seconds: float) -> None:
        """What is waited for now, and how long."""
        self._stage = stage
        self.deadline = self._plane.now() + seconds

    def look_at_rate(self, now: float) -> None:
        """A body that drips is let go before its time, unless it is the champion that takes no more of it."""
        journey, bounds = self._serving, self._plane.bounds
        if journey is None or self._stage != "body" or self._paused & self.CHAMPION:
            return
        taken_s = now - (self.deadline - bounds.body_s)
        if taken_s > allowed_s(journey.tee.size, bounds.body_bytes_per_s, bounds.body_s):
            journey.expire("body")

    def expire(self) -> None:
        """The deadline of the present stage passed."""
        if self._stage == "headers":
            self._reader.refuse(refusal.DRAINING if self._plane.draining else refusal.HEADERS_TIMEOUT)
            self._advance()
        elif self._stage == "idle":
            self._close()
        elif self._serving is None or self._stage == "reading":
            self._cut()
        else:
            # A body that is late because the champion takes no more of it is not the caller's fault.
            blocked = self._stage == "body" and bool(self._paused & self.CHAMPION)
            self._serving.expire("answer" if blocked else self._stage)

    def drain(self) -> None:
        """No connection lives on: an idle one closes now, a busy one after its answer, a new one if none comes soon."""
        if self._serving is None and self._begins():
            self.wait(self._stage, BEGIN_S)
        else:
            self._advance()

    def _begins(self) -> bool:
        """Whether its first request is still to come, or a head is half here."""
        return self._started == 0.0 or self._reader.in_head
