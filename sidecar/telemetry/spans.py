"""OpenTelemetry spans made of exchanges, exported by control over OTLP/HTTP. Needs the extra `otel`.

Keeps: a span has the id that was really sent to the model server, so what that server records hangs under it; whoever
folds never waits, and what waits for the collector is bounded: more is dropped by the whole trace and counted.
A request is a server span under the caller's, each leg that was sent a client span under it. Times are the worker's.
Does not choose traces (the worker did: only sampled ones have a `trace`), and tells nothing of bodies or headers.
Loaded by `app` only where an endpoint is configured, as this import costs more than all others.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import unquote

from opentelemetry import context as otel_context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import export as sdk_export
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from sidecar import __version__
from sidecar.address import Address
from sidecar.records import Exchange, Leg, Trace

# A span costs control about 0.1 ms. Whatever share of requests callers mark as sampled, statistics come first.
TRACES_PER_S = 200
QUEUE_SPANS = 4096
BATCH_SPANS = 512
# Spans wait so long for others to be sent with them, and a collector may take so long to take them.
BATCH_S = 2.0
TIMEOUT_S = 5.0
TRACES_PATH = "/v1/traces"
METHOD = "POST"  # nothing else is ever an exchange
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")

# Where a version's requests go, and the path that it has there, if it is another than the caller's.
Where = Callable[[str, str], tuple[Address, str | None] | None]


class BadHeaders(ValueError):
    """The collector's headers cannot be read. The message is for people and quotes nothing, for they hold secrets."""


def read_headers(text: str) -> dict[str, str]:
    """Headers as OTEL_EXPORTER_OTLP_HEADERS has them: `name=value,name=value`, values URL-encoded where need be.

    Raises BadHeaders.
    """
    headers: dict[str, str] = {}
    for number, pair in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        name, equals, value = (part.strip() for part in pair.partition("="))
        value = unquote(value)
        if not equals or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise BadHeaders(f"header {number} is no name=value pair (several are separated by commas)")
        headers[name] = value
    return headers


class SpanExporter:
    """Turns exchanges into spans and has them sent.

    `otlp_endpoint` is the collector's base URL, or the whole one that ends in /v1/traces; `scheme` is what callers
    speak to the sidecar; of each second's requests at most `traces_per_s` are told of.

    Attributes:
        dropped: spans that were never handed over, because too many waited or came within one second.
    """

    def __init__(
        self,
        otlp_endpoint: str,
        headers: Mapping[str, str],
        where: Where,
        *,
        scheme: str = "http",
        traces_per_s: int = TRACES_PER_S,
    ) -> None:
        base = otlp_endpoint.rstrip("/").removesuffix(TRACES_PATH)
        self._where = where
        self._scheme = scheme
        self._sender = _Counting(
            OTLPSpanExporter(endpoint=base + TRACES_PATH, headers=dict(headers), timeout=TIMEOUT_S)
        )
        self._ids = _SentIds()
        resource = Resource.create({"service.name": "serving-sidecar", "service.version": __version__})
        self._provider = sdk.TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            sdk_export.BatchSpanProcessor(
                self._sender,
                max_queue_size=QUEUE_SPANS,
                schedule_delay_millis=BATCH_S * 1000.0,
                max_export_batch_size=BATCH_SPANS,
            )
        )
        self._tracer = self._provider.get_tracer("sidecar", __version__)
        self._given = 0
        self._traces_per_s = traces_per_s
        self._second = 0
        self._traces = 0  # in that second
        self.dropped = 0

    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> spans: `exported`, `failed` (the collector did not take them), `dropped`."""
        return {"exported": self._sender.exported, "failed": self._sender.failed, "dropped": self.dropped}

    def fold(self, exchange: Exchange) -> None:
        """Spans of an exchange that has a sampled trace; of any other none. Never waits.

        Raises ValueError where an id is none.
        """
        trace = exchange.trace
        if trace is None:
            return
        sent = [leg for leg in (exchange.champion, *exchange.shadows) if leg.span_id and leg.dropped is None]
        if not self._room(exchange.at, len(sent) + 1):
            self.dropped += len(sent) + 1
            return
        sent_at = exchange.at + trace.sent_s
        request = self._request(exchange, trace)
        within = set_span_in_context(request, otel_context.Context())
        for leg in sent:
            self._leg(exchange, leg, within, sent_at)
        for leg in exchange.shadows:
            if leg.dropped is not None:
                told = {"sidecar.version": leg.version, "sidecar.dropped": leg.dropped}
                request.add_event("sidecar.copy_dropped", told, _ns(sent_at))
        self._end(request, sent_at + exchange.served.latency_s)

    def _room(self, at: float, spans: int) -> bool:
        if at >= self._second + 1:
            self._second, self._traces = int(at), 0
        self._traces += 1
        return self._traces <= self._traces_per_s and self._given - self._sender.done + spans <= QUEUE_SPANS

    async def close(self, within_s: float) -> None:
        """Sends what waits, at most `within_s`. A collector that hangs is left to itself."""
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, within_s)

    def _request(self, exchange: Exchange, trace: Trace) -> Span:
        """The span around everything: what the caller saw of it, as far as the champion's leg tells."""
        champion = exchange.served
        attributes: dict[str, str | int] = {
            "http.request.method": METHOD,
            "url.scheme": self._scheme,
            "url.path": exchange.path,
            "http.request.body.size": len(exchange.body),
            "sidecar.deployment": exchange.deployment,
            "sidecar.version": champion.version,
            "sidecar.generation": exchange.generation,
            "sidecar.request_id": exchange.request_id,
            **_answered(champion),
        }
        span = self._start(
            f"{METHOD} {exchange.deployment}",
            SpanKind.SERVER,
            trace.span_id,
            attributes,
            exchange.at,
            self._caller(trace),
        )
        # A server's span says "error" of its own faults only; that the request was a bad one is none.
        if champion.answer is None or champion.answer.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        return span

    def _leg(self, exchange: Exchange, leg: Leg, within: otel_context.Context, sent_at: float) -> None:
        attributes: dict[str, str | int] = {
            "http.request.method": METHOD,
            "sidecar.deployment": exchange.deployment,
            "sidecar.version": leg.version,
            "sidecar.leg": "champion" if leg is exchange.served else "shadow",
            **_answered(leg),
            **dict(self._destination(exchange, leg)),
        }
        span = self._start(METHOD, SpanKind.CLIENT, leg.span_id, attributes, sent_at, within)
        if leg.error is not None:
            span.set_status(Status(StatusCode.ERROR))
        self._end(span, sent_at + leg.latency_s)

    def _destination(self, exchange: Exchange, leg: Leg) -> Iterator[tuple[str, str | int]]:
        found = self._where(exchange.deployment, leg.version)
        if found is None:  # its version is gone from the settings meanwhile
            return
        address, path = found
        if address.unix:
            yield "server.address", address.unix
            return
        yield "server.address", address.host
        yield "server.port", address.port
        yield "url.full", f"{'https' if address.tls else 'http'}://{address}{path or exchange.path}"

    def _caller(self, trace: Trace) -> otel_context.Context:
        """What the request's span hangs under: the caller's span, or nothing where the trace begins here."""
        self._ids.trace_id = _id(trace.trace_id, 16)
        if not trace.parent_id:
            return otel_context.Context()
        flags = TraceFlags(TraceFlags.SAMPLED)
        caller = SpanContext(self._ids.trace_id, _id(trace.parent_id, 8), is_remote=True, trace_flags=flags)
        return set_span_in_context(NonRecordingSpan(caller), otel_context.Context())

    def _start(
        self,
        name: str,
        kind: SpanKind,
        span_id: str,
        attributes: Mapping[str, str | int],
        at: float,
        within: otel_context.Context,
    ) -> Span:
        self._ids.span_id = _id(span_id, 8)
        return self._tracer.start_span(name, within, kind, attributes, start_time=_ns(at))

    def _end(self, span: Span, at: float) -> None:
        self._given += 1
        span.end(_ns(at))


class _SentIds(IdGenerator):
    """Gives the ids that were sent, where the SDK would make its own."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Counting(sdk_export.SpanExporter):
    """Counts what became of the spans. Only the SDK's thread changes the numbers."""

    def __init__(self, exporter: sdk_export.SpanExporter) -> None:
        self._exporter = exporter
        self.exported = 0
        self.failed = 0

    @property
    def done(self) -> int:
        return self.exported + self.failed

    def export(self, spans: Sequence[sdk.ReadableSpan]) -> sdk_export.SpanExportResult:
        taken = sdk_export.SpanExportResult.FAILURE
        try:
            taken = self._exporter.export(spans)
        finally:
            if taken is sdk_export.SpanExportResult.SUCCESS:
                self.exported += len(spans)
            else:
                self.failed += len(spans)
        return taken

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _answered(leg: Leg) -> dict[str, str | int]:
    """How a leg ended, by the semantic conventions for HTTP: an error's type is the status, or what failed."""
    told: dict[str, str | int] = {}
    if leg.answer is not None:
        told["http.response.status_code"] = leg.answer.status
        told["http.response.body.size"] = len(leg.answer.body)
    if leg.error is not None:
        told["error.type"] = str(leg.answer.status) if leg.answer is not None else leg.error
    return told


def _id(digits: str, size: int) -> int:
    """An id of so many bytes. Raises ValueError: one that cannot be sent would cost its whole batch."""
    value = bytes.fromhex(digits)
    if len(value) != size or not any(value):
        raise ValueError("an id of a trace is not an id")
    return int.from_bytes(value)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
