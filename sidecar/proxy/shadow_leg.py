"""One copy on its way: sends, collects the answer up to a cap, and tells the gathering how it ended.

Invariants: a copy is never repeated; it ends exactly once, and then nothing of it is held. Made by the mirror.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from sidecar.proxy.gathering import Gathering, answer_of, error_of
from sidecar.proxy.leg import ConnectionUser
from sidecar.records import Answer, Leg
from sidecar.wire.answer_head import AnswerHead
from sidecar.wire.trace_context import child_value

if TYPE_CHECKING:
    from sidecar.proxy.challenger import Challenger
    from sidecar.proxy.mirror import Mirror
    from sidecar.proxy.tally import CopyCounts
    from sidecar.proxy.upstream import Upstream


# What each chunk of an answer counts for beside its bytes: one in crumbs costs our time, however small it is.
PIECE_BYTES: Final = 256


class ShadowLeg(ConnectionUser):
    """One copy. `deadline` is in the loop's seconds."""

    __slots__ = (
        "_counts",
        "_epoch",
        "_gathering",
        "_granted",
        "_mirror",
        "_parts",
        "_sent_at",
        "_size",
        "_span_id",
        "_upstream",
        "challenger",
        "deadline",
    )

    def __init__(self, mirror: Mirror, gathering: Gathering, challenger: Challenger, now: float) -> None:
        super().__init__()
        self._mirror = mirror
        self._gathering = gathering
        self._counts: CopyCounts = challenger.counts
        self._epoch: int = challenger.breaker.epoch
        self._parts: list[bytes] = []
        self._size: int = 0
        self._granted: int = 0
        self._sent_at: float = 0.0
        self._span_id = b""
        self._upstream: Upstream | None = None
        self.challenger = challenger
        self.deadline: float = now + challenger.timeout_s

    def connected(self, upstream: Upstream) -> None:
        if self not in self._mirror.legs:
            upstream.decline()
            return
        self._upstream = upstream
        gathering = self._gathering
        head, body = gathering.head, gathering.body
        traceparent = b""
        if gathering.trace is not None:
            self._span_id = self._mirror.mint_span_id()
            traceparent = child_value(gathering.trace, self._span_id)
        start = head.copy_bytes(self.challenger.head, gathering.request_id, traceparent)
        self._counts.mirrored += 1
        self._sent_at = perf_counter()
        upstream.send(start, body, head.chunked)

    def sending_paused(self, paused: bool) -> None:
        """Nothing to hold back: the copy was written whole, and its bytes are accounted for."""

    def answered(self, head: AnswerHead, body: bytes, complete: bool) -> None:
        size = len(body)
        limit = self._mirror.answer_bytes
        self._size += size
        pieces = 0 if self._upstream is None or complete else self._upstream.pieces
        fits = self._size + pieces * PIECE_BYTES <= limit
        if not fits or not self.challenger.grant(size, limit):
            if not complete:  # else the connection serves others already
                self._abandon()
            self._end(None, "too_large", ours=fits)
            return
        self._granted += size
        kept = self._gathering.hold(size)
        if not complete:
            if kept:
                self._parts.append(body)
            return
        self._counts.answered += 1
        if self._parts:
            body = b"".join((*self._parts, body))
        self._end(answer_of(head, body if kept else b""), error_of(head.status))

    def failed(self, kind: str, reused: bool, answer_begun: bool) -> None:
        if kind == "connect":
            self._drop("connect_error")
        elif kind == "exhausted":
            self._drop("overload")
        else:
            self._end(None, kind)

    def expire(self, unsent: str = "timeout") -> None:
        """Its time is over; `unsent` is the reason to count if nothing was sent yet."""
        if self._upstream is None:
            self._drop(unsent)
            return
        self._abandon()
        if unsent == "timeout":
            self._end(None, "timeout")
        elif self._leave():
            # Cut by ourselves: that says nothing of the challenger, so it must not become evidence.
            self.challenger.untold(self._epoch)
            self._gathering.lose(unsent)
            self._tell(Leg(self.challenger.version, None, None, unsent, 0.0), 0)

    def _abandon(self) -> None:
        if self._upstream is not None:
            self._upstream.abandon()

    def _drop(self, reason: str) -> None:
        if not self._leave():
            return
        if reason in ("connect_error", "timeout"):
            self.challenger.sick(self._epoch, self._mirror.now())
        else:
            self.challenger.untold(self._epoch)
        self._counts.dropped[reason] += 1
        self._tell(Leg(self.challenger.version, None, None, reason, 0.0), 0)

    def _end(self, answer: Answer | None, error: str | None, ours: bool = False) -> None:
        if not self._leave():
            return
        latency_s = perf_counter() - self._sent_at
        if error is not None:
            self._counts.errors[error] += 1
        if ours:  # for want of our own room: that says nothing of the challenger
            self.challenger.untold(self._epoch)
        elif answer is not None:
            self.challenger.well(self._epoch, self._mirror.now())
        else:
            self.challenger.sick(self._epoch, self._mirror.now())
        status = 0 if answer is None else answer.status
        self._tell(Leg(self.challenger.version, answer, error, None, latency_s, self._span_id.decode()), status)

    def _tell(self, leg: Leg, status: int) -> None:
        gathering, log = self._gathering, self._mirror.access_log
        if log is not None and log.wants(gathering.request_id):
            log.shadow(
                at=gathering.at,
                request_id=gathering.request_id,
                trace_id=b"" if gathering.trace is None else gathering.trace.trace_id,
                deployment=gathering.route.deployment,
                version=leg.version,
                status=status or None,
                error=leg.error,
                dropped=leg.dropped,
                latency_s=None if leg.dropped is not None else leg.latency_s,
                answer_bytes=self._size,
            )
        self._mirror.rescue.shadow_ended(gathering, leg)

    def _leave(self) -> bool:
        """Takes the copy off the books; False if it had ended before."""
        legs = self._mirror.legs
        if self not in legs:
            return False
        legs.remove(self)
        self.challenger.end(len(self._gathering.body), self._granted)
        return True
