"""Whether a request that got no answer is sent once more to the same model server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.wire.repeat import may_repeat

if TYPE_CHECKING:
    from sidecar.proxy.forward import Journey
    from sidecar.proxy.plane import Plane


def may_send_again(plane: Plane, journey: Journey, kind: str, reused: bool, answer_begun: bool) -> bool:
    """Once, on a fresh connection, if the idle one was closed under our hands and the body is still here."""
    inference = journey.route is not None and journey.route.mirrored
    whole = not journey.repeated and journey.tee.missing is None
    return whole and may_repeat(kind, reused, answer_begun, journey.head.method, inference) and plane.repeats.spend()
