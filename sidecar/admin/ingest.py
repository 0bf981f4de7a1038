"""`POST /v1/ingest`: the events of a payload logger that stands beside a model server, taken one a call.

Keeps: an event that concerns nobody here is answered 200 and counted, since a sink often gets more than it asked for;
200 and not 202, because KServe's logger calls every other status a failure. What is read at once is bounded, then 429.
Does not: join halves or look into their bodies (`control/ingest` does). Called through `api`'s table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from aiohttp import web

from sidecar.admin import bodies, problems
from sidecar.admin.call import json_answer
from sidecar.admin.cloud_events import CloudEvent, read_event
from sidecar.admin.service import Service
from sidecar.errors import Invalid
from sidecar.records import LoggedHalf

# A body that the sidecar would mirror (limits.mirror_body_bytes by default), in base64 and with its attributes.
EVENT_BYTES = 6 << 20
READING_BYTES = 32 << 20
_LONGEST_TEXT = 256
_HEADER_LENGTH = "inference-header-content-length"

_SIDES: Mapping[str, Literal["request", "response"]] = {
    "org.kubeflow.serving.inference.request": "request",
    "org.kubeflow.serving.inference.response": "response",
    "io.seldon.serving.inference.request": "request",
    "io.seldon.serving.inference.response": "response",
}


class Ingesting:
    """The route's handler."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reading_bytes = 0

    async def take(self, request: web.Request) -> web.Response:
        """One event."""
        bodies.query(request)
        # A compressed body may be as large as the limit, whatever its length says.
        told = None if "Content-Encoding" in request.headers else request.content_length
        held = EVENT_BYTES if told is None else min(told, EVENT_BYTES)
        if self._reading_bytes + held > READING_BYTES:
            self._service.passed_over("busy")
            answer = problems.problem(429, "Too many events come at once; send this one again in a second.")
            answer.headers["Retry-After"] = "1"
            return answer
        self._reading_bytes += held
        try:
            body = await bodies.read_whole(request, EVENT_BYTES)
            half = half_of(read_event(request.headers, body))
        except web.HTTPRequestEntityTooLarge:
            self._service.passed_over("too_large")
            raise
        except (Invalid, web.HTTPClientError):
            self._service.passed_over("malformed")
            raise
        finally:
            self._reading_bytes -= held
        if half is None:
            self._service.passed_over("unknown_type")
            return json_answer({"result": "unknown_type"})
        return json_answer({"result": self._service.ingest(half)})


def half_of(event: CloudEvent) -> LoggedHalf | None:
    """The half that an event is; None for an event about something else. Raises Invalid."""
    attributes = event.attributes
    side = _SIDES.get(attributes["type"])
    if side is None:
        return None
    model = attributes.get("modelid", "")
    endpoint = attributes.get("endpoint", "")
    services = tuple(name for name in (attributes.get("inferenceservicename", ""), model) if name)
    if not services:
        raise Invalid("The event names no model: it needs inferenceservicename or modelid.")
    # Seldon's halves have ids of their own, and the request's in common.
    request_id = attributes.get("requestid") or attributes["id"]
    origin = "/".join((attributes.get("namespace", ""), attributes.get("component", ""), model))
    if max(map(len, (request_id, endpoint, origin, *services))) > _LONGEST_TEXT:
        raise Invalid(f"The event's id, endpoint and names have at most {_LONGEST_TEXT} characters each.")
    return LoggedHalf(
        side=side,
        id=request_id,
        services=services,
        # MLServer puts the model's name there.
        endpoint="" if endpoint == model else endpoint,
        origin=origin,
        at=_time(attributes.get("time")),
        content_type=event.content_type,
        content_encoding=event.content_encoding,
        body=event.data,
        json_bytes=_json_bytes(attributes.get("metadata", "")) if side == "request" else -1,
    )


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return msgspec.convert(text, bodies.Moment).timestamp()
    except (msgspec.ValidationError, OverflowError):
        raise Invalid("The event's time is no time such as 2026-01-31T12:00:00Z.") from None


def _json_bytes(metadata: str) -> int:
    """KServe's logger adds the request headers that it was told to, as a JSON object of lists."""
    try:
        headers = msgspec.json.decode(metadata or "{}", type=dict[str, list[str]])
    except (msgspec.DecodeError, RecursionError):
        return -1  # somebody else's metadata
    found = next((values[0] for name, values in headers.items() if name.lower() == _HEADER_LENGTH and values), "")
    return int(found) if found.isascii() and found.isdigit() and len(found) < 10 else -1
