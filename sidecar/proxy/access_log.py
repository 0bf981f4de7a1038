"""The access log: one JSON line for a request, and one for each of its copies, joined by the request's id.

Keeps: a line holds what was asked for and how it went, never a body, a query string, a header's value (but for the
request id and the trace id, which join it to the rest) or a caller's address. Whatever bytes came in, a line is ASCII
where they stand and at most LINE_BYTES long. Which requests are logged depends on the request id alone, as the copies
do: the sample of a log holds the same requests on every replica, each with its copies.
Does not write: `line_writer` does, elsewhere. Called by `proxy` when a request or a copy has ended.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from sidecar.decide import routing_table
from sidecar.decide.routing_table import copied
from sidecar.proxy.line_writer import LineWriter

# What is shown of a path; with the longest request id, and each byte of both escaped, a line still fits LINE_BYTES.
PATH_BYTES = 384
METHOD_BYTES = 16


class RequestLine(msgspec.Struct, frozen=True):
    """A request and the answer that its caller got. `deployment` and `version` are empty where none matched.

    Attributes:
        time: of the request's first byte.
        error: why the sidecar answered itself, as in `sidecar-error`; `cut` where the answer is not whole.
        duration_ms: from the request's first byte to the answer's last.
        overhead_ms: the part of it that was spent in the sidecar; `upstream_ms` from the request sent to the whole
            answer. Null where no answer came.
        request_bytes: of the body, as `answer_bytes`.
        repeated: the request was sent twice, because the first connection was stale.
        canary: the version that was asked first, whoever answered; null where the request was none of its own.
        canary_error: why the champion was asked after it, as in records.LEG_ERRORS, or `not_sent` where that says
            nothing of it. Null where its answer is the caller's.
    """

    time: datetime
    leg: Literal["champion"]
    request_id: str
    trace_id: str | None
    deployment: str
    version: str
    method: str
    path: str
    status: int
    error: str | None
    duration_ms: float
    overhead_ms: float | None
    upstream_ms: float | None
    request_bytes: int
    answer_bytes: int
    repeated: bool
    canary: str | None
    canary_error: str | None


class ShadowLine(msgspec.Struct, frozen=True):
    """A copy and what became of it: `error` as in records.LEG_ERRORS, or `dropped` as in records.DROP_REASONS.

    Attributes:
        time: of the request's first byte, as in the request's own line.
        latency_ms: from the first byte sent to the answer's last; null where nothing was sent.
    """

    time: datetime
    leg: Literal["shadow"]
    request_id: str
    trace_id: str | None
    deployment: str
    version: str
    status: int | None
    error: str | None
    dropped: str | None
    latency_ms: float | None
    answer_bytes: int


class AccessLog:
    """Makes the lines. `stdout_fd` is the standard output of the whole sidecar, which is not a worker's own."""

    def __init__(self, stdout_fd: int) -> None:
        self._fraction = 0.0
        self._writer = LineWriter(stdout_fd)
        self._encode = msgspec.json.Encoder().encode

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> lines that were never written, since the worker started."""
        return self._writer.dropped

    def adapt(self, wanted: routing_table.AccessLog) -> None:
        """Follows a new routing table. Nothing is opened, and no thread runs, before a first table asks for lines.

        The file is opened anew each time: SIGHUP brings a new table, and who rotates logs sends one.
        """
        self._fraction = wanted.fraction
        if wanted.fraction > 0.0:
            self._writer.to(wanted.path)
        else:
            self._writer.reopen()  # lets go of it

    async def close(self, within_s: float) -> None:
        """Writes what waits, at most `within_s`."""
        await self._writer.close(within_s)

    def wants(self, request_id: bytes) -> bool:
        """Whether this request, and with it each of its copies, is logged."""
        return self._fraction > 0.0 and copied(request_id, self._fraction)

    def champion(
        self,
        *,
        at: float,
        request_id: bytes,
        trace_id: bytes,
        deployment: str,
        version: str,
        method: bytes,
        path: bytes,
        status: int,
        error: str | None,
        duration_s: float,
        overhead_s: float | None,
        upstream_s: float | None,
        request_bytes: int,
        answer_bytes: int,
        repeated: bool,
        canary: str | None,
        canary_error: str | None,
    ) -> None:
        """One request ended. `at` is seconds since the epoch; `trace_id` is empty without a trace."""
        self._put(
            RequestLine(
                datetime.fromtimestamp(at, UTC),
                "champion",
                _shown(request_id),
                trace_id.decode() if trace_id else None,
                deployment,
                version,
                _shown(method[:METHOD_BYTES]),
                _shown(path[:PATH_BYTES]),
                status,
                error,
                _ms(duration_s),
                None if overhead_s is None else _ms(overhead_s),
                None if upstream_s is None else _ms(upstream_s),
                request_bytes,
                answer_bytes,
                repeated,
                canary,
                canary_error,
            )
        )

    def shadow(
        self,
        *,
        at: float,
        request_id: bytes,
        trace_id: bytes,
        deployment: str,
        version: str,
        status: int | None,
        error: str | None,
        dropped: str | None,
        latency_s: float | None,
        answer_bytes: int,
    ) -> None:
        """One copy ended, or could not be connected. One that was dropped before has no line: metrics count those."""
        self._put(
            ShadowLine(
                datetime.fromtimestamp(at, UTC),
                "shadow",
                _shown(request_id),
                trace_id.decode() if trace_id else None,
                deployment,
                version,
                status,
                error,
                dropped,
                None if latency_s is None else _ms(latency_s),
                answer_bytes,
            )
        )

    def _put(self, line: RequestLine | ShadowLine) -> None:
        self._writer.put(self._encode(line) + b"\n")


def _shown(value: bytes) -> str:
    """Bytes of the wire as ASCII, others by their numbers, so that no reader takes one for a line's end."""
    return value.decode("ascii", "backslashreplace")


def _ms(seconds: float) -> float:
    """Milliseconds to the microsecond; `round` takes three times as long."""
    return int(seconds * 1e6 + 0.5) / 1e3
