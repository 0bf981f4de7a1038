"""An exchange in the making: one request whose legs are still ending. Offered to control when the last one has.

Invariant: every byte it keeps is counted against limits.mirror_bytes, and given back when it ends. An exchange that
cannot be kept whole (an answer too large, no room) is not offered and counted once, under its reason; nobody's
answer and no copy suffers from it. Made by `mirror`, fed by the champion's Journey and by shadow legs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.decide.routing_table import Route
from sidecar.records import Answer, Exchange, Leg
from sidecar.wire.answer_head import AnswerHead
from sidecar.wire.request_head import RequestHead

if TYPE_CHECKING:
    from sidecar.proxy.plane import Plane


def answer_of(head: AnswerHead, body: bytes) -> Answer:
    """What control needs of an answer."""
    return Answer(head.status, head.content_type.decode("latin-1"), head.content_encoding.decode("latin-1"), body)


def error_of(status: int) -> str | None:
    """The kind of failure that a status means, if it means one."""
    return "status_5xx" if status >= 500 else "status_4xx" if status >= 400 else None


class Gathering:
    """One request, sent whole, and its legs as they end."""

    __slots__ = (
        "_champion",
        "_champion_bytes",
        "_champion_parts",
        "_held",
        "_lost",
        "_pending",
        "_plane",
        "_shadows",
        "at",
        "body",
        "head",
        "request_id",
        "route",
    )

    def __init__(
        self, plane: Plane, route: Route, head: RequestHead, request_id: bytes, at: float, body: bytes
    ) -> None:
        self._plane = plane
        self._held = len(body)
        self._pending = 1
        self._champion: Leg | None = None
        self._champion_parts: list[bytes] = []
        self._champion_bytes = 0
        self._shadows: list[Leg] = []
        self._lost: str | None = None  # why this exchange will not be offered
        self.route = route
        self.head = head
        self.request_id = request_id
        self.at = at
        self.body = body
        plane.mirror.held_bytes += self._held

    # --- the champion's leg ----------------------------------------------------------------------------------

    def champion_part(self, part: bytes) -> None:
        """Bytes of the champion's answer, on their way to the caller."""
        if self._lost is not None:
            return
        self._champion_bytes += len(part)
        if self._champion_bytes > self._plane.bounds.mirror_body_bytes:
            self._lose("body_too_large")
        elif self.hold(len(part)):
            self._champion_parts.append(part)

    def champion_answered(self, head: AnswerHead, latency_s: float) -> None:
        """The champion's answer is complete."""
        answer = answer_of(head, b"".join(self._champion_parts))
        self._champion = Leg(self.route.champion.version, answer, error_of(head.status), None, latency_s)
        self._ended()

    def champion_failed(self, kind: str, latency_s: float) -> None:
        """The champion gave no answer, or no whole one."""
        self._champion = Leg(self.route.champion.version, None, kind, None, latency_s)
        self._ended()

    def caller_left(self) -> None:
        """The caller went away and took the champion's leg with it: there is nothing to compare with."""
        self._ended()

    # --- the copies' legs ------------------------------------------------------------------------------------

    def expect_shadow(self) -> None:
        """One more leg will end."""
        self._pending += 1

    def hold(self, size: int) -> bool:
        """Makes room for an answer's bytes; False where there is none (any more)."""
        mirror = self._plane.mirror
        if self._lost is None and mirror.held_bytes + size > self._plane.bounds.mirror_bytes:
            self._lose("bytes_full")
        if self._lost is not None:
            return False
        self._held += size
        mirror.held_bytes += size
        return True

    def shadow_ended(self, leg: Leg) -> None:
        """A copy's leg is over."""
        self._shadows.append(leg)
        self._ended()

    # --- its end ---------------------------------------------------------------------------------------------

    def _lose(self, reason: str) -> None:
        self._lost = reason
        self._champion_parts = []

    def _ended(self) -> None:
        self._pending -= 1
        if self._pending:
            return
        self._plane.mirror.held_bytes -= self._held
        if self._lost is not None:
            self._plane.tally.capture_dropped[self._lost] += 1
        elif self._champion is not None:
            self._offer(self._champion)

    def _offer(self, champion: Leg) -> None:
        head = self.head
        self._plane.offer(
            Exchange(
                request_id=self.request_id.decode("latin-1"),
                deployment=self.route.deployment,
                generation=self.route.generation,
                at=self.at,
                path=head.path.decode("latin-1"),
                content_type=head.content_type.decode("latin-1"),
                content_encoding=head.content_encoding.decode("latin-1"),
                body=self.body,
                body_complete=True,
                champion=champion,
                shadows=tuple(self._shadows),
            )
        )
