"""Who answers a request: the champion, or a canary where there is one and the request is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.proxy.forward import Journey
    from sidecar.proxy.listener import Caller
    from sidecar.proxy.plane import Plane
    from sidecar.proxy.served_route import ServedRoute


def serve(plane: Plane, caller: Caller, journey: Journey, route: ServedRoute) -> None:
    """Asks for a connection to whoever answers. A canary is only asked for what is here whole, and kept."""
    canary = route.canary
    if canary is not None and journey.copied:
        journey.undecided = not journey.body_ended and journey.tee.missing is None
        if journey.undecided:
            caller.wait("body", plane.bounds.body_s)
            return
        journey.canary = canary.trying(plane, journey)
        if journey.canary is not None:
            journey.route = canary.own
            if not canary.own.pool.serve(journey.canary):
                caller.wait("connect", plane.bounds.connect_s)
            return
    if not route.pool.serve(journey):
        caller.wait("connect", plane.bounds.connect_s)
