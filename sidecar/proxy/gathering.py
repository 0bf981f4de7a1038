"""An exchange in the making: one request whose legs are still ending. Offered to control when the last one has.

Invariant: every byte it keeps is counted against limits.mirror_bytes, and given back when it ends. An exchange that
cannot be kept whole (an answer too large, no room) is not offered and counted once, under its reason; nobody's
answer and no copy suffers from it. Made by `mirror`, fed by the champion's Journey and by shadow legs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.records import Answer, Exchange, Leg, Trace
from sidecar.wire.answer_head import AnswerHead
from sidecar.wire.request_head import RequestHead
from sidecar.wire.trace_context import TraceContext

if TYPE_CHECKING:
    from sidecar.proxy.canary import CanaryTry
    from sidecar.proxy.plane import Plane
    from sidecar.proxy.served_route import ServedRoute


def answer_of(head: AnswerHead, body: bytes) -> Answer:
    """What control needs of an answer."""
    return Answer(head.status, head.content_type, head.content_encoding, body, head.json_bytes)


def error_of(status: int) -> str | None:
    """The kind of failure that a status means, if it means one."""
    return "status_5xx" if status >= 500 else "status_4xx" if status >= 400 else None


class Gathering:
    """One request, sent whole, and its legs as they end.

    Attributes:
        trace: the trace that the request belongs to, if any.
        canary: who was asked before the champion, if anybody.
    """

    __slots__ = (
        "_champion",
        "_champion_bytes",
        "_champion_parts",
        "_held",
        "_lost",
        "_pending",
        "_plane",
        "_sent_s",
        "_shadows",
        "_span_id",
        "at",
        "body",
        "canary",
        "head",
        "request_id",
        "route",
        "trace",
    )

    def __init__(
        self,
        plane: Plane,
        route: ServedRoute,
        head: RequestHead,
        request_id: bytes,
        at: float,
        body: bytes,
        trace: TraceContext | None,
        canary: CanaryTry | None = None,
    ) -> None:
        self.canary = canary
        self._plane = plane
        self._held: int = len(body)
        self._pending: int = 1
        self._champion: Leg | None = None
        self._champion_parts: list[bytes] = []
        self._champion_bytes: int = 0
        self._shadows: list[Leg] = []
        self._lost: str | None = None  # why this exchange will not be offered
        self.route = route
        self.head = head
        self.request_id = request_id
        self.at: float = at
        self.body = body
        self.trace = trace
        self._span_id = b""
        self._sent_s: float = 0.0
        plane.mirror.held_bytes += self._held

    def sent(self, span_id: bytes, sent_s: float) -> None:
        """The champion's leg has this span's id, and was sent so long after the request began."""
        self._span_id = span_id
        self._sent_s = sent_s

    # --- the champion's leg ----------------------------------------------------------------------------------

    def champion_part(self, part: bytes) -> None:
        """Bytes of the champion's answer, on their way to the caller."""
        if self._lost is not None:
            return
        self._champion_bytes += len(part)
        if self._champion_bytes > self._plane.mirror_body_bytes:
            self.lose("body_too_large")
        elif self.hold(len(part)):
            self._champion_parts.append(part)

    def champion_answered(self, head: AnswerHead, latency_s: float) -> None:
        """The champion's answer is complete."""
        parts = self._champion_parts
        answer = answer_of(head, parts[0] if len(parts) == 1 else b"".join(parts))
        self._served(answer, error_of(head.status), latency_s)

    def champion_failed(self, kind: str, latency_s: float) -> None:
        """The champion gave no answer, or no whole one."""
        self._served(None, kind, latency_s)

    def caller_left(self) -> None:
        """The caller went away and took the champion's leg with it: there is nothing to compare with."""
        self._ended()

    def _served(self, answer: Answer | None, error: str | None, latency_s: float) -> None:
        """The leg that the caller waits for has ended: the champion's, or a canary's, of which it now gets a copy."""
        canary, span_id = self.canary, self._span_id.decode()
        if canary is None or not canary.serves:
            self._champion = Leg(self.route.champion_version, answer, error, None, latency_s, span_id)
        else:
            self._shadows.append(Leg(canary.canary.challenger.version, answer, error, None, latency_s, span_id))
            dropped = self._plane.mirror.copy(self, canary.canary.champion)
            if dropped is not None:
                self._champion = Leg(self.route.champion_version, None, None, dropped, 0.0)
        self._ended()

    # --- the copies' legs ------------------------------------------------------------------------------------

    def expect_shadow(self) -> None:
        """One more leg will end."""
        self._pending += 1

    def hold(self, size: int) -> bool:
        """Makes room for an answer's bytes; False where there is none (any more)."""
        mirror = self._plane.mirror
        if self._pending < 0:
            return False
        if self._lost is None and mirror.held_bytes + size > self._plane.mirror_bytes:
            self.lose("bytes_full")
        if self._lost is not None:
            return False
        self._held += size
        mirror.held_bytes += size
        return True

    def shadow_ended(self, leg: Leg) -> None:
        """A copy's leg is over."""
        if self.canary is not None and leg.version == self.route.champion_version:
            self._champion = leg
        else:
            self._shadows.append(leg)
        self._ended()

    # --- its end ---------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """It failed: what it holds is given back, and nobody hears of it."""
        self._plane.mirror.held_bytes -= self._held
        self._held = 0
        self._pending = -1
        self._champion_parts = []

    def lose(self, reason: str) -> None:
        """It will not be offered, for this reason."""
        self._lost = reason
        self._champion_parts = []

    def _ended(self) -> None:
        self._pending -= 1
        if self._pending != 0:
            return
        self._plane.mirror.held_bytes -= self._held
        self._held = 0
        if self._lost is not None:
            self._plane.tally.capture_dropped[self._lost] += 1
        elif self._champion is not None:
            self._offer(self._champion)

    def _offer(self, champion: Leg) -> None:
        head, canary = self.head, self.canary
        asked_first, step_since = "", 0.0
        if canary is not None:
            if canary.leg is not None and not canary.serves:
                self._shadows.append(canary.leg)
            if canary.serves or canary.leg is not None:
                asked_first, step_since = canary.canary.challenger.version, canary.canary.step_since
        self._plane.offer(
            Exchange(
                self.request_id.decode("latin-1"),
                self.route.deployment,
                self.route.generation,
                self.at,
                head.path.decode("latin-1"),
                head.content_type,
                head.content_encoding,
                self.body,
                True,
                champion,
                tuple(self._shadows),
                self._trace(),
                head.json_bytes,
                asked_first,
                step_since,
            )
        )

    def _trace(self) -> Trace | None:
        """What control exports of the trace, if its beginner wanted it recorded."""
        trace = self.trace
        if trace is None or not trace.sampled:
            return None
        own_id = self._plane.span_ids.mint()
        return Trace(trace.trace_id.decode(), trace.parent_id.decode(), own_id.decode(), self._sent_s)
