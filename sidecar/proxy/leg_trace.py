"""Which span a request's leg to the model server belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.wire.trace_context import child_value

if TYPE_CHECKING:
    from sidecar.proxy.forward import Journey
    from sidecar.proxy.plane import Plane


def traceparent(plane: Plane, journey: Journey) -> bytes:
    """The header's value for the leg, if the request belongs to a trace or begins one; empty without."""
    if journey.trace is None and journey.copied:
        journey.trace = plane.begun_trace(journey.request_id)
    if journey.trace is None:
        return b""
    if not journey.copied:
        return journey.trace.value  # a span that nobody tells of would break the caller's trace
    if not journey.span_id:  # else it is sent again
        journey.span_id = plane.span_ids.mint()
    return child_value(journey.trace, journey.span_id)
