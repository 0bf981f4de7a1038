"""The journey of one request, top to bottom: route, send, copy, answer, count.

Runs in callbacks; nothing is awaited and no task is made between the first byte and the last. The caller's
connection tells of the request's body, the champion's connection of the answer; both sides stream as soon as a
message is not there at once. Whatever happens to copies and capture cannot be seen from here.
"""

from __future__ import annotations

from time import perf_counter, time
from typing import TYPE_CHECKING, Final

from sidecar.proxy.choosing import serve
from sidecar.proxy.leg import ConnectionUser
from sidecar.proxy.leg_trace import traceparent
from sidecar.proxy.repeating import may_send_again
from sidecar.proxy.request_line import log_request
from sidecar.proxy.tee import Tee
from sidecar.wire import refusal
from sidecar.wire.chunks import LAST_CHUNK, chunk, framed
from sidecar.wire.refusal import Refusal, write_refusal
from sidecar.wire.reply import reply_to

if TYPE_CHECKING:
    from sidecar.proxy.canary import CanaryTry
    from sidecar.proxy.gathering import Gathering
    from sidecar.proxy.known_requests import Asked
    from sidecar.proxy.listener import Caller
    from sidecar.proxy.plane import Plane
    from sidecar.proxy.served_route import ServedRoute
    from sidecar.proxy.upstream import Upstream
    from sidecar.wire.answer_head import AnswerHead

# What is held of a body before the champion's connection stands; beyond it the caller is made to wait.
UNSENT_BYTES: Final = 262_144


class Journey(ConnectionUser):
    """One request from its head to the answer's last byte.

    Attributes:
        started: when its first byte came, in perf_counter's seconds.
        inside_s: what the sidecar itself took of its time; below zero until that is known.
        why: the reason, if the sidecar answers itself.
        copied: challengers get it too. `sent_at`: when it was sent whole, in the same seconds, `span_id` of that leg.
        canary: its try at a canary, if it is one's; `undecided`: that is seen when it is here whole.
    """

    def __init__(self, plane: Plane, caller: Caller, asked: Asked, started: float) -> None:
        super().__init__()
        self._plane = plane
        self._caller = caller
        self.started: float = started
        self.request_id: bytes = asked.request_id or plane.mint_id()
        self.tee = Tee(plane)
        self.route: ServedRoute | None = None
        self._upstream: Upstream | None = None
        self._gathering: Gathering | None = None
        self.trace = asked.trace
        self.span_id = b""
        self.why: Refusal | None = None
        self._begun = False
        self.copied = False
        self.canary: CanaryTry | None = None
        self.undecided = False
        self.repeated = False
        self.sent_at: float = 0.0
        self.inside_s: float = -1.0
        self._status: int = 0
        self.answer_begun = False
        self.answer_bytes: int = 0
        self._chunked_answer = False
        self._close = False
        self._over = False
        self.head = asked.head
        self.to_head = asked.head.method == b"HEAD"
        self.body_ended = False

    # --- 1. where to -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Chooses the route and asks for a connection to its champion."""
        plane, head = self._plane, self.head
        plane.tally.inflight += 1
        self._begun = True
        route = self.route = plane.route(head.path)
        if self.why is not None:
            self.refuse(self.why)
        elif route is None or route.unserved:
            self.refuse(refusal.NO_ROUTE if route is None else refusal.NO_CHAMPION)
        elif plane.sacrifices.requests:
            plane.tally.sacrificed["requests"] += 1
            self.refuse(refusal.OVERLOADED)
        elif head.upgrade and not route.upgrades:
            self.refuse(refusal.UPGRADE)
        else:
            self.upgrade = head.upgrade
            self.copied = route.mirrored and head.method == b"POST" and not head.is_shadow and not head.upgrade
            if head.asks_continue and not self.body_ended:
                self._caller.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            serve(plane, self._caller, self, route)

    # --- 2. the request's body comes in ----------------------------------------------------------------------

    def add_body(self, part: bytes) -> None:
        """A part of the body, in whatever piece it came."""
        if self.why is not None or self._over:
            return
        tee = self.tee
        tee.add(part)
        if tee.size > self._plane.body_bytes:
            self.break_off(refusal.TOO_LARGE)
        elif self._upstream is None:
            tee.wait(part)
            if self.undecided and tee.missing is not None and self.route is not None:
                serve(self._plane, self._caller, self, self.route)
            if tee.unsent_size > UNSENT_BYTES and not self.undecided:
                self._caller.hold(self._caller.CHAMPION, True)
        elif not self.answer_begun:  # else nobody reads it any more
            self._upstream.transport.write(chunk(part) if self.head.chunked else part)

    def end_body(self) -> None:
        """The body is complete."""
        self.body_ended = True
        if self.undecided and not self._over and self.route is not None:
            serve(self._plane, self._caller, self, self.route)
        elif self._upstream is not None and not self.answer_begun:
            if self.head.chunked:
                self._upstream.transport.write(LAST_CHUNK)
            self._sent()

    def break_off(self, why: Refusal) -> None:
        """The rest of the body is too long or makes no sense; before its turn, a request waits to be refused."""
        if not self._begun:
            self.why = why
        elif not self.answer_begun:  # else nobody reads the body any more, and the answer may well be whole
            self.refuse(why)

    # --- 3. it goes to the champion --------------------------------------------------------------------------

    def connected(self, upstream: Upstream) -> None:
        """The champion's connection stands: everything that is here goes out in one write."""
        route = self.route
        if self._over or route is None:
            upstream.decline()
            return
        self._upstream = upstream
        head, body = self.head, self.tee.take_unsent()
        self._caller.hold(self._caller.CHAMPION, False)  # before the write, which may hold back again
        start = head.champion_bytes(route.path, route.authority, self.request_id, traceparent(self._plane, self))
        if self.upgrade:
            start = head.asking_upgrade(start)
        if self.body_ended:
            upstream.send(start, body, head.chunked)
            self._sent()
        else:
            upstream.begin_sending()
            upstream.transport.write(start + (chunk(body) if head.chunked else body))
            self._caller.wait("body", self._plane.bounds.body_s)

    def _sent(self) -> None:
        """The whole request is on its way: now, and not before, copies are made."""
        plane, route = self._plane, self.route
        again = self.sent_at > 0.0
        self.sent_at = perf_counter()
        if self._upstream is not None:
            self._upstream.end_sending()
        canary = self.canary
        self._caller.wait("answer", canary.answer_s if canary is not None and canary.serves else plane.answer_s)
        if route is None or again or not self.copied:
            return
        sent_s = self.sent_at - self.started
        self._gathering = plane.rescue.gather(self, route, time() - sent_s)
        if self._gathering is not None and self.trace is not None:
            self._gathering.sent(self.span_id, sent_s)

    def sending_paused(self, paused: bool) -> None:
        """The champion takes the body more slowly than the caller sends it."""
        self._caller.hold(self._caller.CHAMPION, paused)

    def receiving_paused(self, paused: bool) -> None:
        """The caller takes the answer more slowly than the champion sends it."""
        if self._upstream is not None:
            self._upstream.hold(paused)

    # --- 4. the answer comes back ----------------------------------------------------------------------------

    def informed(self, head: AnswerHead) -> None:
        """An interim answer goes on, but for the 100 that was given here, to those who know such answers."""
        if head.status != 100 and not self.head.http10:
            self._caller.send(head.interim_bytes())

    def upgraded(self, head: AnswerHead, rest: bytes) -> None:
        """Both sides speak another protocol from now on, whose bytes are none of ours."""
        upstream = self._upstream
        if upstream is not None:
            self._status, self._close = 101, True
            self._caller.send(head.switching_bytes(self._own_lines()) + rest)
            self._caller.open_tunnel(upstream.transport)

    def tunnelled(self, data: bytes) -> None:
        """Bytes from the champion, whatever they mean."""
        self._caller.send(data)
        self._caller.tunnel_used()

    def answered(self, head: AnswerHead, body: bytes, complete: bool) -> None:
        """One read of the answer: passed on in one write."""
        came_at = perf_counter()
        gathering, rescue = self._gathering, self._plane.rescue
        self.answer_bytes += len(body)
        if complete:
            self._upstream = None  # it serves others already
        else:
            self._caller.wait("between", self._plane.bounds.between_bytes_s)  # before the write, which may block
        if self.answer_begun:
            self._caller.send(chunk(body) if self._chunked_answer else body)
        else:
            self._begin_answer(head, body, complete)
        if gathering is not None:
            rescue.part(gathering, body)
        if not complete:
            return
        if self._chunked_answer:
            self._caller.send(LAST_CHUNK)
        now = perf_counter()
        if self.sent_at and (self.canary is None or self.canary.serves):  # else others' time is in it
            self.inside_s = now - came_at + self.sent_at - self.started
            self._plane.tally.overhead(self.inside_s)
        self._finish(head.status, now)
        if gathering is not None:
            rescue.answered(gathering, head, now - self.sent_at)

    def _begin_answer(self, head: AnswerHead, body: bytes, complete: bool) -> None:
        self.answer_begun = True
        self._status = head.status
        own = self._own_lines()
        if complete and self.body_ended and head.plain and self.head.plain and not self._plane.closing:
            self._caller.send(b"%s%s\r\n%s" % (head.block, own, body))  # what most answers are
            return
        reply = reply_to(self.head, head, own, self.body_ended, self._plane.closing)
        self._close = self._close or reply.close
        if not reply.chunked:
            self._caller.send(reply.start + body)
        elif complete:
            self._caller.send(reply.start + framed(body, chunked=True))
        else:
            self._chunked_answer = True
            self._caller.send(reply.start + chunk(body))

    def _own_lines(self) -> bytes:
        route = self.route
        return b"x-request-id: %s\r\n%s" % (self.request_id, b"" if route is None else route.own_lines)

    # --- 5. it ends, one way or another ----------------------------------------------------------------------

    def failed(self, kind: str, reused: bool, answer_begun: bool) -> None:
        """The champion gave no answer, or no whole one."""
        if self._over:
            return
        self._upstream = None
        if self._status == 101:
            self._finish(101, perf_counter())  # the champion ended the tunnel
        elif may_send_again(self._plane, self, kind, reused, answer_begun):
            self._plane.tally.repeats += 1
            self.repeated = True
            self._send_again(fresh=True)
        else:
            self._fail_gathering(kind)
            self.refuse(refusal.OF_FAILURE[kind])

    def go_to_champion(self, route: ServedRoute, done: bool) -> None:
        """The canary gave no usable answer, and nothing of one went out. `done`: its connection is none of ours."""
        self._leave_upstream(done)
        self.route = route
        self._send_again(fresh=False)

    def _send_again(self, *, fresh: bool) -> None:
        self.tee.send_again()
        self._caller.wait("connect", self._plane.bounds.connect_s)
        if self.route is not None:
            self.route.pool.serve(self, fresh)

    def expire(self, stage: str) -> None:
        """A deadline passed at this stage."""
        if self.canary is not None and self.canary.expire(stage):
            return
        self._leave_upstream()
        if stage == "tunnel":
            self._finish(101, perf_counter())
        elif stage == "body":
            self.refuse(refusal.BODY_TIMEOUT)
        else:
            self._fail_gathering("connect" if stage == "connect" else "timeout")
            self.refuse(refusal.CONNECT_FAILED if stage == "connect" else refusal.ANSWER_TIMEOUT)

    def refuse(self, why: Refusal) -> None:
        """The sidecar answers itself; where an answer has begun, the caller sees it cut, so that it never looks whole.

        With a body still to come, the connection cannot be used again.
        """
        if self._over:
            return
        self._leave_upstream()
        self.why = why
        if self.answer_begun:
            self._finish(self._status, perf_counter(), cut=True)
            return
        self._plane.tally.refused(why.reason)
        self._close = not self.body_ended or not self.head.plain or self._plane.closing
        self._caller.send(write_refusal(why, self._own_lines(), close=self._close, body=not self.to_head))
        self._finish(why.status, perf_counter())

    def caller_lost(self) -> None:
        """The caller went away. A request that was sent whole keeps its copies; its own leg ends."""
        if self._over:
            return
        self._leave_upstream()
        if self._gathering is not None:
            self._plane.rescue.unanswered(self._gathering, None, 0.0)
        self._finish(499 if self._status != 101 else 101, perf_counter())

    def _leave_upstream(self, done: bool = False) -> None:
        if self._upstream is not None and not done:
            self._upstream.abandon()
        self._upstream = None

    def _fail_gathering(self, kind: str) -> None:
        latency_s = perf_counter() - self.sent_at
        if self.canary is not None and self.canary.serves:
            self.canary.cut(kind, latency_s)
        if self._gathering is not None:
            self._plane.rescue.unanswered(self._gathering, kind, latency_s)
            self._gathering = None

    def forget(self) -> None:
        """Its connection ended before its turn came."""
        self._over = True
        self.tee.drop()

    def _finish(self, status: int, now: float, cut: bool = False) -> None:
        self._over = True
        self.tee.drop()
        plane, route = self._plane, self.route
        if self.canary is not None:
            self.canary.finish(well=status not in (101, 499) and not cut and self.why is None)
        plane.tally.inflight -= 1
        plane.ended(route, self.head.is_shadow, status, now - self.started)
        if plane.access_log is not None and plane.access_log.wants(self.request_id):
            log_request(plane.access_log, self, status, now - self.started, cut)
        self._caller.journey_ended(self._close, cut)
