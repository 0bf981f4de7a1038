"""A canary as this worker sees it: which requests it answers, and what becomes of one that it does not answer.

Keeps: a caller loses nothing by it. It is asked for whole requests that are kept and may be sent again, and only while
somebody can judge it; whatever it fails to answer usably (a status below 400), the champion is asked for, as long as
nothing of its answer has gone out. The failure is the canary's. The champion is asked once for each request: for the
answer, or for a copy once the canary has given one.
Made by the plane with each routing table (`Canary`), and by a Journey for each request that it gets (`CanaryTry`).
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING
from zlib import crc32

from sidecar.decide.routing_table import canary_point
from sidecar.proxy.gathering import answer_of, error_of
from sidecar.proxy.leg import ConnectionUser
from sidecar.records import Answer, Leg
from sidecar.wire.one_server import one_server_only

if TYPE_CHECKING:
    from sidecar.proxy.challenger import Challenger
    from sidecar.proxy.forward import Journey
    from sidecar.proxy.plane import Plane
    from sidecar.proxy.served_route import ServedRoute
    from sidecar.proxy.tally import CopyCounts
    from sidecar.proxy.upstream import Upstream
    from sidecar.wire.answer_head import AnswerHead


class Canary:
    """One of a route's challengers, and the two ways to serve the route: `main` by the champion, `own` by itself.

    `champion` is where copies go of what the canary has answered; `step_since` names its step.
    """

    def __init__(
        self,
        main: ServedRoute,
        own: ServedRoute,
        challenger: Challenger,
        champion: Challenger,
        weight: float,
        salt: str,
        step_since: float,
    ) -> None:
        self.main = main
        self.own = own
        self.challenger = challenger
        self.champion = champion
        self.step_since: float = step_since
        self._below: float = weight * 4_294_967_296.0
        self._salt_sum: int = crc32(salt.encode())

    def trying(self, plane: Plane, journey: Journey) -> CanaryTry | None:
        """The try of a request that is here whole, if it is the canary's; None if the champion answers it."""
        head, main = journey.head, self.main
        key = journey.request_id
        if main.sticky:
            key = head.value_of(main.sticky) or key
        if canary_point(key, self._salt_sum) >= self._below:
            return None
        sacrifices = plane.sacrifices
        if not (plane.control_up and plane.control_reads) or plane.draining or sacrifices.capture or sacrifices.shadow:
            return None  # nobody would judge it
        if journey.tee.missing is not None:
            return None
        sign = main.tensors
        if sign is not None and sign in head.path and one_server_only(journey.tee.whole(), head.json_bytes):
            return None
        now = plane.now()
        return CanaryTry(plane, journey, self) if self.challenger.takes_callers(now) else None


class CanaryTry(ConnectionUser):
    """One request at the canary.

    Attributes:
        serves: its answer is what the caller gets, as far as is known.
        leg: how it ended, once it has; None too where that says nothing of the canary.
        left: why it is not the one that the caller was answered by, for the log; None where it is.
    """

    __slots__ = ("_counts", "_epoch", "_journey", "_over", "_plane", "canary", "left", "leg", "serves")

    def __init__(self, plane: Plane, journey: Journey, canary: Canary) -> None:
        super().__init__()
        self._plane = plane
        self._journey = journey
        self._counts: CopyCounts = canary.challenger.counts
        self._epoch: int = canary.challenger.breaker.epoch
        self._over = False
        self.canary = canary
        self.serves = True
        self.leg: Leg | None = None
        self.left: str | None = None
        canary.challenger.begin(0)

    @property
    def answer_s(self) -> float:
        """How long its answer is waited for before the champion is asked."""
        return min(self._plane.answer_s, self.canary.challenger.timeout_s)

    # --- told by its connection -------------------------------------------------------------------------------

    def connected(self, upstream: Upstream) -> None:
        if self.serves and not self._over:
            self._journey.connected(upstream)
        else:
            upstream.decline()

    def answered(self, head: AnswerHead, body: bytes, complete: bool) -> None:
        kind = None if self._journey.answer_begun else error_of(head.status)
        if kind is None:
            self._journey.answered(head, body, complete)
        else:
            self._fall_back(kind, answer_of(head, b""), complete)

    def failed(self, kind: str, reused: bool, answer_begun: bool) -> None:
        journey = self._journey
        if not self.serves or self._over:
            return
        if journey.answer_begun:
            journey.failed(kind, reused, answer_begun)
        elif kind == "exhausted" or (kind == "reset" and reused and not answer_begun):
            self._fall_back("", None, True)  # for want of our own room, or on a connection that was stale
        else:
            self._fall_back(kind, None, True)

    def sending_paused(self, paused: bool) -> None:
        self._journey.sending_paused(paused)

    def informed(self, head: AnswerHead) -> None:
        self._journey.informed(head)

    # --- told by its journey ----------------------------------------------------------------------------------

    def expire(self, stage: str) -> bool:
        """A deadline passed: True where the champion is asked now."""
        if not self.serves or self._journey.answer_begun or stage == "body":
            return False
        self._fall_back("connect" if stage == "connect" else "timeout", None, False)
        return True

    def cut(self, kind: str, latency_s: float) -> None:
        """Its answer began and did not come to its end."""
        self.left = kind
        self._fail(kind, None, latency_s)

    def finish(self, *, well: bool) -> None:
        """The request is over; not `well` where the caller went away."""
        if self._over:
            return
        self._end()
        challenger = self.canary.challenger
        if well:
            self._counts.mirrored += 1
            self._counts.answered += 1
            challenger.well(self._epoch, self._plane.now())
        else:
            challenger.untold(self._epoch)

    # --- how it ends ------------------------------------------------------------------------------------------

    def _fall_back(self, kind: str, answer: Answer | None, done: bool) -> None:
        journey = self._journey
        sent_at = journey.sent_at
        if kind:
            self._fail(kind, answer, perf_counter() - sent_at if sent_at else 0.0)
        else:
            self.finish(well=False)
        self.serves = False
        self.left = kind or "not_sent"
        journey.go_to_champion(self.canary.main, done)

    def _fail(self, kind: str, answer: Answer | None, latency_s: float) -> None:
        if self._over:
            return
        self._end()
        counts, challenger = self._counts, self.canary.challenger
        counts.mirrored += 1
        counts.errors[kind] += 1
        if answer is None:
            challenger.sick(self._epoch, self._plane.now())
        else:
            counts.answered += 1
            challenger.well(self._epoch, self._plane.now())
        self.leg = Leg(challenger.version, answer, kind, None, latency_s)

    def _end(self) -> None:
        self._over = True
        self.canary.challenger.end(0, 0)
