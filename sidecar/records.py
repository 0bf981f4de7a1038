"""The nouns that cross process and package borders, frozen.

An Exchange is a request with all its legs; a Sample is what a payload reader took out of it; an Outcome is the
truth that comes later. Worker and control speak in the frames below. Nothing here decides, reads a clock or does
I/O: `decide` routes by the table, `proxy` makes exchanges, `control` folds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Why a copy that was due was never sent (CONTRACT.md). A closed set: each has a series from the start.
DROP_REASONS = (
    "queue_full", "bytes_full", "body_too_large", "inflight_limit", "timeout", "connect_error",
    "breaker_open", "rate_limit", "overload", "shutting_down", "control_down", "disabled", "stateful",
)  # fmt: skip
# How a copy whose sending began failed to end in a usable answer.
LEG_ERRORS = ("status_4xx", "status_5xx", "timeout", "connect", "reset", "malformed", "too_large")
# Why an exchange never reached control.
CAPTURE_DROP_REASONS = ("control_down", "bytes_full", "body_too_large", "overload", "failed", "shutting_down")
# What callers lose to an overloaded worker; what copies and exchanges lose has its reason above.
SACRIFICES = ("keep_alive", "requests")
# Why a line of the access log was never written.
ACCESS_LOG_DROP_REASONS = ("buffer_full", "write_failed", "shutting_down")

LegError = Literal["status_4xx", "status_5xx", "timeout", "connect", "reset", "malformed", "too_large"]


# gc=False: what these hold cannot lead back to them, and thousands a second need not be looked through for cycles.


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a version answered: status, the few headers that decoding needs, and the body's bytes.

    `json_bytes`: how much of the body is JSON before raw tensors begin; -1 where the answer does not say.
    """

    status: int
    content_type: str
    content_encoding: str
    body: bytes
    json_bytes: int = -1


class Leg(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One version's handling of one request.

    Attributes:
        error: None when the answer is usable; `dropped` names why a due copy was never sent.
        latency_s: from the first byte sent to the answer's last byte; 0.0 when nothing was sent.
        span_id: of the span that this leg's `traceparent` named, 16 hex digits; empty without a trace.
    """

    version: str
    answer: Answer | None
    error: str | None
    dropped: str | None
    latency_s: float
    span_id: str = ""


class Trace(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The W3C trace that an exchange belongs to; only of exchanges whose trace is sampled. Ids are hex digits.

    Attributes:
        parent_id: the caller's span; empty where the trace begins here.
        span_id: the sidecar's own span around the legs.
        sent_s: from the request's first byte to the moment when it was sent to the champion.
    """

    trace_id: str
    parent_id: str
    span_id: str
    sent_s: float


class Exchange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request with all its legs. `at` is seconds since the epoch when its first byte came.

    `json_bytes`: how much of the body is JSON before raw tensors begin; -1 where the request does not say.
    `canary` is the version that was asked before the champion, else empty; `step_since` says at which of its steps, by
    when that began. Its leg is among the shadows, as its other answers are; the champion's is then that of a copy, or
    of the answer that the canary did not give.
    """

    request_id: str
    deployment: str
    generation: int
    at: float
    path: str
    content_type: str
    content_encoding: str
    body: bytes
    body_complete: bool
    champion: Leg
    shadows: tuple[Leg, ...]
    trace: Trace | None = None
    json_bytes: int = -1
    canary: str = ""
    step_since: float = 0.0

    @property
    def served(self) -> Leg:
        """The leg whose answer the caller got."""
        if self.canary:
            for leg in self.shadows:
                if leg.version == self.canary and leg.error is None:
                    return leg
        return self.champion


class LoggedHalf(msgspec.Struct, frozen=True):
    """One half of an exchange, as a payload logger beside the model server saw it: no sidecar was in the path.

    Attributes:
        id: what both halves have in common; `origin` tells apart the parts of a service that log under one id.
        services: the logger's names of the model, the best first.
        endpoint: which of its versions answered, as the logger calls it: "default", "canary", "main"; may be empty.
        at: seconds since the epoch; None where the event does not say.
        json_bytes: how long the JSON in front of binary tensors is; -1 where there are none, or nobody said so.
    """

    side: Literal["request", "response"]
    id: str
    services: tuple[str, ...]
    endpoint: str
    origin: str
    at: float | None
    content_type: str
    content_encoding: str
    body: bytes
    json_bytes: int = -1


if TYPE_CHECKING:
    Column = Sequence[Any] | NDArray[Any]
else:
    Column = Sequence  # a worker imports this file, and must not load numpy for a name


class Prediction(msgspec.Struct, frozen=True):
    """What one version said for each row. Labels are texts, scores floats; either may be absent, not both.

    `vectors`: the numbers that the scores were taken from, where they were three or more a row and not too many.
    """

    labels: tuple[str, ...] | None
    scores: tuple[float, ...] | None
    vectors: tuple[tuple[float, ...], ...] | None = None

    @property
    def rows(self) -> int:
        """How many rows were answered."""
        return len(self.labels if self.labels is not None else self.scores or ())


class Sample(msgspec.Struct, frozen=True):
    """Feature rows of one exchange, by column; every column has `rows` values as the payload had them."""

    request_id: str
    at: float
    rows: int
    features: Mapping[str, Column]
    prediction: Prediction | None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The truth for one row of one request. `value` is a label's text or a number; `at` seconds since the epoch."""

    request_id: str
    row: int
    value: str | float
    at: float
    corrects: bool = False


class OfflineRow(msgspec.Struct, frozen=True):
    """One row of a request as an offline pipeline computed it; its text names the row and tells no value."""

    request_id: str
    row: int
    features: Mapping[str, object]

    def __repr__(self) -> str:
        """What may stand in a log."""
        return f"OfflineRow(request_id={self.request_id!r}, row={self.row}, {len(self.features)} values)"


# --- the link: length-prefixed frames between a proxy worker and control ---------------------------------------


class ShadowCounts(msgspec.Struct, array_like=True):
    """What became of the copies to one challenger under one generation. Cumulative since the worker started.

    `breaker` is its breaker's state now: closed, open or probing. `step_since`: of copies to the champion of what a
    canary has answered, at which of its steps; else 0.0.
    """

    deployment: str
    generation: int
    champion: str
    version: str
    mirrored: int = 0
    answered: int = 0
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    breaker: str = "closed"
    step_since: float = 0.0


class RequestCounts(msgspec.Struct, array_like=True):
    """Requests of one deployment, version and status code, with the durations' histogram. Cumulative."""

    deployment: str
    version: str
    code: int
    count: int = 0
    seconds: float = 0.0
    buckets: list[int] = msgspec.field(default_factory=list)


class WorkerCounts(msgspec.Struct, array_like=True, tag="counts"):
    """All of a worker's counters, sent each second. Cumulative since `started`, so a lost frame loses nothing.

    Attributes:
        received_copies: requests that are another sidecar's copies, by deployment; they are in no other count.
        sacrificed: callers' connections that were closed after an answer, or refused, because of the pressure.
        pressure: 0.0 to 1.0, see decide.pressure.
        loop_lag_s: how late the event loop was at worst within the last minute or so.
    """

    worker: str
    requests: list[RequestCounts]
    shadows: list[ShadowCounts]
    capture_dropped: dict[str, int]
    refused: dict[str, int]
    overhead_seconds: float
    overhead_count: int
    overhead_buckets: list[int]
    connections: int
    inflight: int
    held_bytes: int
    repeats: int
    received_copies: dict[str, int] = {}
    sacrificed: dict[str, int] = {}
    pressure: float = 0.0
    access_log_dropped: dict[str, int] = msgspec.field(default_factory=dict)
    loop_lag_s: float = 0.0


class Hello(msgspec.Struct, array_like=True, frozen=True, tag="hello"):
    """A worker's first frame."""

    worker: str
    pid: int


class Offered(msgspec.Struct, array_like=True, frozen=True, tag="exchange", gc=False):
    """One exchange, offered and never awaited."""

    exchange: Exchange


class Acknowledged(msgspec.Struct, array_like=True, frozen=True, tag="ack"):
    """The worker now routes by the table with this serial."""

    worker: str
    serial: int


class Draining(msgspec.Struct, array_like=True, frozen=True, tag="draining"):
    """The worker stops: what it serves it finishes, and no more may come."""

    worker: str


WorkerFrame = Hello | Offered | WorkerCounts | Acknowledged | Draining

# Upper edges in seconds of every duration histogram; the last bucket is +Inf. OpenTelemetry's advice, and finer
# ones below 5 ms where a proxy's own time lies.
DURATION_BUCKETS_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
    0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0,
)  # fmt: skip
