"""The exporter of spans, made from the settings where they ask for one; its library is loaded only then.

Called by control's composition root. Does not decide what is traced (the workers do).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sidecar.address import Address, parse_url
from sidecar.app.tokens import CannotStart
from sidecar.config import Settings
from sidecar.control.watch import DeploymentWatch
from sidecar.decide.routing import targets

if TYPE_CHECKING:
    from sidecar.telemetry.spans import SpanExporter

LAST_SPANS_S = 2.0
Where = Callable[[str, str], tuple[Address, str | None] | None]


def spans_of(settings: Settings, where: Where) -> SpanExporter | None:
    """The exporter; None where no collector is named. Raises CannotStart for headers that are missing or no headers."""
    telemetry = settings.telemetry
    if telemetry.otlp_endpoint is None:
        return None
    from sidecar.telemetry.spans import BadHeaders, SpanExporter, read_headers  # noqa: PLC0415  # it costs a second

    headers: dict[str, str] = {}
    if telemetry.headers_env is not None:
        text = os.environ.get(telemetry.headers_env)
        if text is None:
            raise CannotStart(f"telemetry.headers_env: set the variable {telemetry.headers_env}")
        try:
            headers = read_headers(text)
        except BadHeaders as error:
            raise CannotStart(f"telemetry.headers_env: the variable {telemetry.headers_env}: {error}") from None
    return SpanExporter(telemetry.otlp_endpoint, headers, where, scheme="https" if settings.tls.on else "http")


def where_in(watches: Mapping[str, DeploymentWatch]) -> Where:
    """Where a deployment's version answers, by what is routed now."""

    def where(deployment: str, version: str) -> tuple[Address, str | None] | None:
        watch = watches.get(deployment)
        if watch is None:
            return None
        state = watch.state
        target = targets(watch.deployment).get(version)
        if version == state.champion:
            target = state.champion_target
        elif target is None and version == state.previous:
            target = state.previous_target
        return None if target is None else (parse_url(target.url), target.path)

    return where
