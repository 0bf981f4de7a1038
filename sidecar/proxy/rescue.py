"""The border behind which capture may fail: whatever goes wrong in copies and exchanges ends here, counted and logged.

Invariant: no caller's answer depends on what is called through here (M3). What failed is forgotten whole: an exchange
that might be wrong is worse than one that is missing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sidecar.proxy.gathering import Gathering
from sidecar.wire.answer_head import AnswerHead

if TYPE_CHECKING:
    from sidecar.proxy.forward import Journey
    from sidecar.proxy.plane import Plane
    from sidecar.proxy.served_route import ServedRoute
    from sidecar.records import Leg

log = logging.getLogger("sidecar.proxy.rescue")


class Rescue:
    """What a request's own journey, and its copies, tell to capture."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._failures: int = 0

    def gather(self, journey: Journey, route: ServedRoute, at: float) -> Gathering | None:
        """Opens an exchange and sends its copies; see Mirror.gather."""
        try:
            return self._plane.mirror.gather(
                route, journey.head, journey.request_id, at, journey.tee, journey.trace, journey.canary
            )
        except Exception as fault:  # noqa: BLE001  that is what this place is for
            self._failed(None, fault)
            return None

    def part(self, gathering: Gathering, body: bytes) -> None:
        """A part of the champion's answer."""
        try:
            gathering.champion_part(body)
        except Exception as fault:  # noqa: BLE001
            self._failed(gathering, fault)

    def answered(self, gathering: Gathering, head: AnswerHead, latency_s: float) -> None:
        """The champion's answer is whole."""
        try:
            gathering.champion_answered(head, latency_s)
        except Exception as fault:  # noqa: BLE001
            self._failed(gathering, fault)

    def unanswered(self, gathering: Gathering, kind: str | None, latency_s: float) -> None:
        """There is no whole answer: the champion failed in this way, or (None) the caller left."""
        try:
            if kind is None:
                gathering.caller_left()
            else:
                gathering.champion_failed(kind, latency_s)
        except Exception as fault:  # noqa: BLE001
            self._failed(gathering, fault)

    def shadow_ended(self, gathering: Gathering, leg: Leg) -> None:
        """A copy's leg is over."""
        try:
            gathering.shadow_ended(leg)
        except Exception as fault:  # noqa: BLE001
            self._failed(gathering, fault)

    def _failed(self, gathering: Gathering | None, fault: Exception) -> None:
        self._failures += 1
        self._plane.tally.capture_dropped["failed"] += 1
        if gathering is not None:
            gathering.forget()
        if self._failures & (self._failures - 1) == 0:  # the first, second, fourth, eighth ...
            log.error("capture failed", exc_info=fault, extra={"fields": {"failures": self._failures}})
