"""The journey of one request, top to bottom: route, send, copy, answer, count.

Runs in callbacks; nothing is awaited and no task is made between the first byte and the last. The caller's
connection tells of the request's body, the champion's connection of the answer; both sides stream as soon as a
message is not there at once. Whatever happens to copies and capture cannot be seen from here.
"""

from __future__ import annotations

from time import perf_counter, time
from typing import TYPE_CHECKING

from sidecar.proxy.tee import Tee
from sidecar.wire import refusal
from sidecar.wire.answer_head import own_lines
from sidecar.wire.chunks import LAST_CHUNK, chunk, framed
from sidecar.wire.refusal import Refusal, write_refusal

if TYPE_CHECKING:
    from sidecar.proxy.gathering import Gathering
    from sidecar.proxy.listener import Caller
    from sidecar.proxy.plane import Plane
    from sidecar.proxy.upstream import Upstream
    from sidecar.wire.answer_head import AnswerHead
    from sidecar.wire.request_head import RequestHead

IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
# What is held of a body before the champion's connection stands; beyond it the caller is made to wait.
UNSENT_BYTES = 262_144
OF_FAILURE = {
    "connect": refusal.CONNECT_FAILED,
    "reset": refusal.UPSTREAM_RESET,
    "malformed": refusal.UPSTREAM_MALFORMED,
}


class Journey:
    """One request from its head to the answer's last byte."""

    __slots__ = (
        "_answer_begun",
        "_at",
        "_begun",
        "_body_size",
        "_caller",
        "_chunked_answer",
        "_close",
        "_gathering",
        "_over",
        "_plane",
        "_refusal",
        "_repeated",
        "_request_id",
        "_route",
        "_sent_at",
        "_started",
        "_status",
        "_tee",
        "_to",
        "_unsent",
        "_unsent_size",
        "_upstream",
        "body_ended",
        "head",
        "to_head",
    )

    def __init__(self, plane: Plane, caller: Caller, head: RequestHead, started: float) -> None:
        self._plane = plane
        self._caller = caller
        self._started = started
        self._at = time()
        self._request_id = head.request_id or plane.mint_id()
        self._tee = Tee(plane)
        self._body_size = 0
        self._unsent: list[bytes] = []
        self._unsent_size = 0
        self._upstream: Upstream | None = None
        self._gathering: Gathering | None = None
        self._refusal: Refusal | None = None
        self._begun = False
        self._repeated = False
        self._sent_at = 0.0
        self._status = 0
        self._answer_begun = False
        self._chunked_answer = False
        self._close = False
        self._over = False
        self.head = head
        self.to_head = head.method == b"HEAD"
        self.body_ended = False

    # --- 1. where to -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Chooses the champion and asks for a connection to it."""
        plane, head = self._plane, self.head
        plane.tally.inflight += 1
        self._begun = True
        self._route = plane.router.find(head.path)
        self._to = self._route.champion if self._route is not None else plane.table.upstream
        if self._refusal is not None:
            self.refuse(self._refusal)
            return
        if self._to is None:
            self.refuse(refusal.NO_ROUTE)
            return
        if head.asks_continue and not self.body_ended:
            self._caller.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._caller.wait("connect", plane.bounds.connect_s)
        plane.champion_pool(self._to).serve(self)

    # --- 2. the request's body comes in ----------------------------------------------------------------------

    def add_body(self, part: bytes) -> None:
        """A part of the body, in whatever piece it came."""
        if self._refusal is not None or self._over:
            return
        self._body_size += len(part)
        if self._body_size > self._plane.bounds.body_bytes:
            self.break_off(refusal.TOO_LARGE)
            return
        self._tee.add(part)
        if self._upstream is not None:
            if not self._answer_begun:  # else nobody reads it any more
                self._upstream.transport.write(chunk(part) if self.head.chunked else part)
            return
        self._unsent.append(part)
        self._unsent_size += len(part)
        if self._unsent_size > UNSENT_BYTES:
            self._caller.hold_back(held=True)

    def end_body(self) -> None:
        """The body is complete."""
        self.body_ended = True
        if self._upstream is not None and not self._answer_begun:
            if self.head.chunked:
                self._upstream.transport.write(LAST_CHUNK)
            self._sent()

    def break_off(self, why: Refusal) -> None:
        """The rest of the body is too long or makes no sense; before its turn, a request waits to be refused."""
        if not self._begun:
            self._refusal = why
        elif not self._answer_begun:  # else nobody reads the body any more, and the answer may well be whole
            self.refuse(why)

    # --- 3. it goes to the champion --------------------------------------------------------------------------

    def connected(self, upstream: Upstream) -> None:
        """The champion's connection stands: everything that is here goes out in one write."""
        if self._over or self._to is None:
            upstream.decline()
            return
        self._upstream = upstream
        head = self.head
        body = b"".join(self._unsent)
        self._unsent = []
        self._unsent_size = 0
        self._caller.hold_back(held=False)  # before the write, which may hold back again
        authority = self._to.authority if head.host is None else ""
        start = head.champion_bytes(self._to.path, authority, self._request_id)
        if self.body_ended:
            upstream.transport.write(start + framed(body, chunked=head.chunked))
            self._sent()
        else:
            upstream.sending = True
            upstream.transport.write(start + (chunk(body) if head.chunked else body))
            self._caller.wait("body", self._plane.bounds.body_s)

    def _sent(self) -> None:
        """The whole request is on its way: now, and not before, copies are made."""
        again, self._sent_at = bool(self._sent_at), perf_counter()
        if self._upstream is not None:
            self._upstream.sending = False
        self._caller.wait("answer", self._plane.bounds.answer_s)
        if self._route is None or again or self.head.is_shadow or self.head.method != b"POST":
            return
        body = self._tee.hand_over()
        self._gathering = self._plane.mirror.gather(
            self._route, self.head, self._request_id, self._at, body, self._tee.missing
        )

    def sending_paused(self, *, paused: bool) -> None:
        """The champion takes the body more slowly than the caller sends it."""
        self._caller.hold_back(held=paused)

    def receiving_paused(self, *, paused: bool) -> None:
        """The caller takes the answer more slowly than the champion sends it."""
        if self._upstream is not None:
            if paused:
                self._upstream.transport.pause_reading()
            else:
                self._upstream.transport.resume_reading()

    # --- 4. the answer comes back ----------------------------------------------------------------------------

    def answered(self, head: AnswerHead, parts: list[bytes], *, complete: bool) -> None:
        """One read of the answer: passed on in one write."""
        came_at = perf_counter()
        if complete:
            self._upstream = None  # it serves others already
        body = b"".join(parts)
        if self._gathering is not None:
            self._gathering.champion_part(body)
        if not complete:
            self._caller.wait("between", self._plane.bounds.between_bytes_s)  # before the write, which may block
        if self._answer_begun:
            self._caller.send(chunk(body) if self._chunked_answer else body)
        else:
            self._begin_answer(head, body, complete=complete)
        if not complete:
            return
        if self._chunked_answer:
            self._caller.send(LAST_CHUNK)
        if self._sent_at:
            inside = perf_counter() - came_at
            self._plane.tally.overhead(inside + self._sent_at - self._started)
        if self._gathering is not None:
            self._gathering.champion_answered(head, perf_counter() - self._sent_at)
        self._finish(head.status)

    def _begin_answer(self, head: AnswerHead, body: bytes, *, complete: bool) -> None:
        caller, asked = self._caller, self.head
        self._answer_begun = True
        self._status = head.status
        # RFC 9112 9.5: an answer before the request's end goes out at once, and neither connection lives on.
        self._close = not self.body_ended
        open_ended = head.chunked or head.ends_with_connection
        self._chunked_answer = open_ended and not head.bodyless and not asked.http10
        self._close = self._close or not asked.keep_alive or self._plane.draining
        self._close = self._close or (open_ended and asked.http10 and not head.bodyless)
        chunked = self._chunked_answer or (head.chunked and head.bodyless and not asked.http10)
        start = head.caller_bytes(
            self._own_lines(), chunked=chunked, close=self._close, http10=asked.http10 and asked.keep_alive
        )
        if not self._chunked_answer:
            caller.send(start + body)
        elif complete:
            caller.send(start + framed(body, chunked=True))
            self._chunked_answer = False  # its end is already written
        else:
            caller.send(start + chunk(body))

    def _own_lines(self) -> bytes:
        route = self._route
        if route is None:
            return own_lines(self._request_id, None, "")
        return own_lines(self._request_id, route.deployment, route.champion.version)

    # --- 5. it ends, one way or another ----------------------------------------------------------------------

    def failed(self, kind: str, *, reused: bool, answer_begun: bool) -> None:
        """The champion gave no answer, or no whole one."""
        if self._over:
            return
        self._upstream = None
        if self._may_repeat(kind, reused=reused, answer_begun=answer_begun):
            self._repeat()
        elif self._answer_begun:
            # Never pretend completeness: the caller sees its connection cut, no final chunk.
            self._fail_gathering(kind)
            self._finish(self._status, cut=True)
        else:
            self._fail_gathering(kind)
            self.refuse(OF_FAILURE[kind])

    def _may_repeat(self, kind: str, *, reused: bool, answer_begun: bool) -> bool:
        """Once, on a fresh connection, if the idle one was closed under our hands and the body is still here.

        RFC 9110 9.2.2 allows it for what is known to be safe to repeat: inference is.
        """
        safe = self.head.method in IDEMPOTENT or (self._route is not None and self.head.method == b"POST")
        stale = kind == "reset" and reused and not answer_begun
        return stale and safe and not self._repeated and self._tee.missing is None

    def _repeat(self) -> None:
        if self._to is None:
            return
        self._plane.tally.repeats += 1
        self._repeated = True
        self._unsent = list(self._tee.parts)
        self._unsent_size = self._body_size
        self._caller.wait("connect", self._plane.bounds.connect_s)
        self._plane.champion_pool(self._to).serve(self, fresh=True)

    def expire(self, stage: str) -> None:
        """A deadline passed at this stage."""
        self._leave_upstream()
        if stage == "body":
            self.refuse(refusal.BODY_TIMEOUT)
            return
        self._fail_gathering("connect" if stage == "connect" else "timeout")
        if self._answer_begun:
            self._finish(self._status, cut=True)
        else:
            self.refuse(refusal.CONNECT_FAILED if stage == "connect" else refusal.ANSWER_TIMEOUT)

    def refuse(self, why: Refusal) -> None:
        """The sidecar answers itself. With a body still to come, the connection cannot be used again."""
        if self._over:
            return
        self._leave_upstream()
        self._plane.tally.refused(why.reason)
        if self._answer_begun:
            self._finish(self._status, cut=True)
            return
        self._close = not self.body_ended or not self.head.keep_alive or self.head.http10 or self._plane.draining
        self._caller.send(write_refusal(why, self._own_lines(), close=self._close, body=not self.to_head))
        self._finish(why.status)

    def caller_lost(self) -> None:
        """The caller went away. A request that was sent whole keeps its copies; its own leg ends."""
        if self._over:
            return
        self._leave_upstream()
        if self._gathering is not None:
            self._gathering.caller_left()
        self._finish(499)

    def _leave_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.abandon()
            self._upstream = None

    def _fail_gathering(self, kind: str) -> None:
        if self._gathering is not None:
            self._gathering.champion_failed(kind, perf_counter() - self._sent_at)
            self._gathering = None

    def forget(self) -> None:
        """Its connection ended before its turn came."""
        self._over = True
        self._tee.drop()

    def _finish(self, status: int, *, cut: bool = False) -> None:
        self._over = True
        self._tee.drop()
        plane = self._plane
        plane.tally.inflight -= 1
        duration_s = perf_counter() - self._started
        if self._route is not None:
            plane.tally.request(self._route.deployment, self._route.champion.version, status, duration_s)
        else:
            plane.tally.request("", "", status, duration_s)
        self._caller.journey_ended(close=self._close, cut=cut)
