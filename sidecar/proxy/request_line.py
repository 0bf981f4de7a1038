"""What the access log is told of a request that ended."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.proxy.access_log import AccessLog
    from sidecar.proxy.forward import Journey


def log_request(log: AccessLog, journey: Journey, status: int, duration_s: float, cut: bool) -> None:
    """One request ended; `cut` tells that its answer is not whole."""
    route, trace, why = journey.route, journey.trace, journey.why
    inside_s, tried = journey.inside_s, journey.canary
    log.champion(
        at=time() - duration_s,
        request_id=journey.request_id,
        trace_id=b"" if trace is None else trace.trace_id,
        deployment="" if route is None else route.deployment,
        version="" if route is None else route.champion_version,
        method=journey.head.method,
        path=journey.head.path,
        status=status,
        error=why.reason if why is not None else "cut" if cut else None,
        duration_s=duration_s,
        overhead_s=inside_s if inside_s >= 0.0 else None,
        upstream_s=duration_s - inside_s if inside_s >= 0.0 else None,
        request_bytes=journey.tee.size,
        answer_bytes=journey.answer_bytes,
        repeated=journey.repeated,
        canary=None if tried is None else tried.canary.challenger.version,
        canary_error=None if tried is None else tried.left,
    )
