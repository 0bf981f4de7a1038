"""The mirror: decides for each complete request which challengers get a copy, and keeps the book of copies under way.

Invariants: nobody ever waits for a copy; one immutable body is shared by all legs; what is held is bounded in bytes;
every copy that was due and not sent is counted with its reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.decide.routing_table import copied
from sidecar.proxy.access_log import AccessLog
from sidecar.proxy.gathering import Gathering
from sidecar.proxy.shadow_leg import ShadowLeg
from sidecar.wire.one_server import one_server_only
from sidecar.wire.request_head import RequestHead
from sidecar.wire.trace_context import TraceContext

if TYPE_CHECKING:
    from sidecar.proxy.canary import CanaryTry
    from sidecar.proxy.challenger import Challenger
    from sidecar.proxy.plane import Plane
    from sidecar.proxy.rescue import Rescue
    from sidecar.proxy.served_route import ServedRoute
    from sidecar.proxy.tee import Tee


class Mirror:
    """The copies of one worker.

    Attributes:
        legs: copies under way.
        held_bytes: bodies and answers that are kept for copies and exchanges, in bytes.
    """

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self.legs: set[ShadowLeg] = set()
        self.held_bytes: int = 0

    def now(self) -> float:
        """The loop's monotonic clock, in seconds."""
        return self._plane.now()

    def mint_span_id(self) -> bytes:
        """The id of a copy's span."""
        return self._plane.span_ids.mint()

    @property
    def rescue(self) -> Rescue:
        """The border behind which an exchange may fail."""
        return self._plane.rescue

    @property
    def access_log(self) -> AccessLog | None:
        """Where copies are logged, if anywhere."""
        return self._plane.access_log

    @property
    def answer_bytes(self) -> int:
        """The largest answer that is collected from a challenger."""
        return self._plane.mirror_body_bytes

    def gather(
        self,
        route: ServedRoute,
        head: RequestHead,
        request_id: bytes,
        at: float,
        tee: Tee,
        trace: TraceContext | None,
        canary: CanaryTry | None = None,
    ) -> Gathering | None:
        """Opens the exchange of a request that was sent whole, and sends its copies. `at` as in records.Exchange.

        `canary`: it was asked first, and gets no copy.
        """
        plane = self._plane
        if canary is not None:
            route = canary.canary.main
        reason = tee.missing or self._why_nothing()
        if reason is not None:
            plane.tally.capture_dropped[reason] += 1
            for challenger in self._due(route, head, request_id, canary):
                challenger.counts.dropped[reason] += 1
            if canary is not None:
                canary.canary.champion.counts.dropped[reason] += 1
            return None
        gathering = Gathering(plane, route, head, request_id, at, tee.hand_over(), trace, canary)
        try:
            due = self._due(route, head, request_id, canary)
            sign = route.tensors if due else None
            stateful = sign is not None and sign in head.path and one_server_only(gathering.body, head.json_bytes)
            for challenger in due:
                if stateful:
                    challenger.counts.dropped["stateful"] += 1
                else:
                    self.copy(gathering, challenger)
        except BaseException:
            gathering.forget()  # nobody else knows of it, so nobody would give back what it holds
            raise
        return gathering

    def _due(
        self, route: ServedRoute, head: RequestHead, request_id: bytes, canary: CanaryTry | None
    ) -> list[Challenger]:
        """The challengers whose fraction this request falls into, but for a canary that was asked for the answer."""
        if canary is not None:
            route = canary.canary.own
        if route.all_copied:
            return route.challengers
        key = request_id
        if route.sticky:
            key = head.value_of(route.sticky) or request_id
        return [challenger for challenger in route.challengers if copied(key, challenger.fraction)]

    def _why_nothing(self) -> str | None:
        """Why nothing is mirrored or captured at present, whoever the challenger."""
        plane = self._plane
        if plane.draining:
            return "shutting_down"
        if not plane.control_up:
            return "control_down"
        if plane.sacrifices.capture:
            return "overload"
        return "bytes_full" if self.held_bytes > plane.mirror_bytes else None  # since the table was swapped

    def copy(self, gathering: Gathering, challenger: Challenger) -> str | None:
        """Sends one copy; the reason, counted, where none is sent."""
        plane = self._plane
        size = len(gathering.body)
        now = plane.now()
        reason = "overload" if plane.sacrifices.shadow else challenger.why_not(now, size)
        if reason is not None:
            challenger.counts.dropped[reason] += 1
            return reason
        leg = ShadowLeg(self, gathering, challenger, now)
        challenger.begin(size)
        self.legs.add(leg)
        gathering.expect_shadow()
        challenger.pool.serve(leg)
        return None

    def tick(self, now: float) -> None:
        """Ends the legs whose time is over."""
        for leg in [leg for leg in self.legs if leg.deadline <= now]:
            leg.expire()

    def end_all(self) -> None:
        """The worker stops: what is still under way ends now, counted."""
        for leg in list(self.legs):
            leg.expire("shutting_down")
