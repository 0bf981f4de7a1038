"""The mirror: copies of complete requests to challengers.

Invariants: nobody ever waits for a copy; one immutable body is shared by all legs; what is held is bounded in bytes
and each challenger in flight; every copy that was due and not sent is counted with its reason. A shadow leg is never
repeated.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from sidecar.decide.routing_table import Route, Shadow, copied
from sidecar.proxy.gathering import Gathering, answer_of, error_of
from sidecar.records import Answer, Leg, ShadowCounts
from sidecar.wire.answer_head import AnswerHead
from sidecar.wire.chunks import framed
from sidecar.wire.request_head import RequestHead

if TYPE_CHECKING:
    from sidecar.proxy.plane import Plane
    from sidecar.proxy.upstream import Upstream

# A larger body is handed to every copy's connection as it is, instead of being joined with each copy's head.
JOINED_BYTES = 16_384


class ShadowLeg:
    """One copy on its way: connects, sends, collects the answer up to a cap, and tells the gathering how it ended."""

    to_head = False
    __slots__ = (
        "_counts",
        "_gathering",
        "_mirror",
        "_parts",
        "_sent_at",
        "_shadow",
        "_size",
        "_upstream",
        "deadline",
        "granted",
    )

    def __init__(self, mirror: Mirror, gathering: Gathering, shadow: Shadow, counts: ShadowCounts, now: float) -> None:
        self._mirror = mirror
        self._gathering = gathering
        self._shadow = shadow
        self._counts = counts
        self._parts: list[bytes] = []
        self._size = 0
        self.granted = 0
        self._sent_at = 0.0
        self._upstream: Upstream | None = None
        self.deadline = now + shadow.timeout_s

    def connected(self, upstream: Upstream) -> None:
        if self not in self._mirror.legs:
            upstream.decline()
            return
        self._upstream = upstream
        gathering, head, to = self._gathering, self._gathering.head, self._shadow.to
        authority = to.authority if head.host is None else ""
        start = head.shadow_bytes(to.path, authority, gathering.request_id, to.version)
        self._counts.mirrored += 1
        self._sent_at = perf_counter()
        if head.chunked or len(gathering.body) <= JOINED_BYTES:
            upstream.transport.write(start + framed(gathering.body, chunked=head.chunked))
        else:
            upstream.transport.writelines((start, gathering.body))

    def sending_paused(self, *, paused: bool) -> None:
        """Nothing to hold back: the copy was written whole, and its bytes are accounted for."""

    def answered(self, head: AnswerHead, parts: list[bytes], *, complete: bool) -> None:
        size = sum(map(len, parts))
        self._size += size
        fits = self._size <= self._mirror.answer_bytes and self._mirror.grant(self._shadow, size)
        if fits:
            self.granted += size
            if self._gathering.hold(size):
                self._parts += parts
        if not fits:
            if not complete:  # else the connection serves others already
                self._abandon()
            self._end(None, "too_large")
        elif complete:
            self._counts.answered += 1
            self._end(answer_of(head, b"".join(self._parts)), error_of(head.status))

    def failed(self, kind: str, *, reused: bool, answer_begun: bool) -> None:
        if kind == "connect":
            self._drop("connect_error")
        else:
            self._end(None, kind)

    def expire(self, unsent: str = "timeout") -> None:
        """Its time is over; `unsent` is the reason to count if nothing was sent yet."""
        if self._upstream is None:
            self._drop(unsent)
        else:
            self._abandon()
            self._end(None, "timeout")

    def _abandon(self) -> None:
        if self._upstream is not None:
            self._upstream.abandon()

    def _drop(self, reason: str) -> None:
        if self._mirror.remove(self, self._shadow):
            self._counts.dropped[reason] += 1
            self._gathering.shadow_ended(Leg(self._shadow.to.version, None, None, reason, 0.0))

    def _end(self, answer: Answer | None, error: str | None) -> None:
        if self._mirror.remove(self, self._shadow):
            if error is not None:
                self._counts.errors[error] += 1
            latency_s = perf_counter() - self._sent_at
            self._gathering.shadow_ended(Leg(self._shadow.to.version, answer, error, None, latency_s))


class Mirror:
    """Decides for each complete request which challengers get a copy, and keeps the books of those under way."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._inflight: dict[tuple[str, int, str, str], int] = {}
        self._unfinished: dict[tuple[str, int, str, str], int] = {}
        self.legs: set[ShadowLeg] = set()
        self.held_bytes = 0

    @property
    def answer_bytes(self) -> int:
        """The largest answer that is collected from a challenger."""
        return self._plane.bounds.mirror_body_bytes

    def gather(
        self, route: Route, head: RequestHead, request_id: bytes, at: float, body: bytes, missing: str | None
    ) -> Gathering | None:
        """Opens the exchange of a request that was sent whole, and sends its copies.

        `missing` is why the body could not be kept: body_too_large or bytes_full.
        """
        plane = self._plane
        reason = missing or self._why_not(len(body))
        if reason is not None:
            plane.tally.capture_dropped[reason] += 1
            for shadow in route.shadows:
                if copied(request_id, shadow.fraction):
                    plane.tally.shadow(route, shadow).dropped[reason] += 1
            return None
        gathering = Gathering(plane, route, head, request_id, at, body)
        for shadow in route.shadows:
            if copied(request_id, shadow.fraction):
                self._copy(gathering, shadow)
        return gathering

    def _why_not(self, size: int) -> str | None:
        """Why nothing is mirrored at present, whoever the challenger."""
        plane = self._plane
        if plane.draining:
            return "shutting_down"
        if not plane.control_up:
            return "control_down"
        return "bytes_full" if self.held_bytes + size > plane.bounds.mirror_bytes else None

    def _copy(self, gathering: Gathering, shadow: Shadow) -> None:
        plane, counts = self._plane, self._plane.tally.shadow(gathering.route, shadow)
        if not shadow.enabled:
            counts.dropped["disabled"] += 1
            return
        key = _key(shadow)
        inflight = self._inflight.get(key, 0)
        if inflight >= shadow.max_inflight:
            counts.dropped["inflight_limit"] += 1
            return
        self._inflight[key] = inflight + 1
        leg = ShadowLeg(self, gathering, shadow, counts, plane.now())
        self.legs.add(leg)
        gathering.expect_shadow()
        plane.shadow_pool(shadow).serve(leg)

    def grant(self, shadow: Shadow, size: int) -> bool:
        """Room for more of a challenger's unfinished answers: a quarter of mirror_bytes, and at least one answer.

        One challenger that begins large answers and stalls must not cost the others their copies.
        """
        key, most = _key(shadow), max(self._plane.bounds.mirror_bytes // 4, self.answer_bytes)
        held = self._unfinished.get(key, 0) + size
        if held > most:
            return False
        self._unfinished[key] = held
        return True

    def remove(self, leg: ShadowLeg, shadow: Shadow) -> bool:
        """Takes an ended leg off the books; False if it had ended before."""
        if leg not in self.legs:
            return False
        self.legs.remove(leg)
        self._inflight[_key(shadow)] -= 1
        if leg.granted:
            self._unfinished[_key(shadow)] -= leg.granted
        return True

    def tick(self, now: float) -> None:
        """Ends the legs whose time is over."""
        for leg in [leg for leg in self.legs if leg.deadline <= now]:
            leg.expire()

    def end_all(self) -> None:
        """The worker stops: what is still under way ends now, counted."""
        for leg in list(self.legs):
            leg.expire("shutting_down")


def _key(shadow: Shadow) -> tuple[str, int, str, str]:
    return (shadow.to.host, shadow.to.port, shadow.to.unix, shadow.to.version)
