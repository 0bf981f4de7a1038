"""Spans of exchanges as a collector receives them: ids that were sent, parents, attributes; and nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sidecar.address import Address
from sidecar.records import Answer, Exchange, Leg, Trace
from sidecar.telemetry.spans import QUEUE_SPANS, BadHeaders, SpanExporter, read_headers
from tests.telemetry.otlp_receiver import OtlpReceiver, values

CLOSE_S = 10.0
AT = 1_767_225_600.25
TRACE_ID, CALLER, REQUEST = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00000000000000a1"
CHAMPION, SHADOW = "00000000000000c1", "00000000000000d1"
ANSWER = Answer(200, "application/json", "", b'{"outputs":[]}')
NS = 1_000_000_000


def where(_deployment: str, version: str) -> tuple[Address, str | None] | None:
    known: dict[str, tuple[Address, str | None]] = {
        "3": (Address("10.0.0.3", 8000), None),
        "4": (Address("model-4", 443, tls=True), "/elsewhere"),
        "5": (Address("", 0, unix="/run/model.sock"), None),
    }
    return known.get(version)


def exchange(**changes: Any) -> Exchange:
    whole = Exchange(
        request_id="r-1",
        deployment="fraud",
        generation=7,
        at=AT,
        path="/v2/models/fraud/infer",
        content_type="application/json",
        content_encoding="",
        body=b"a secret body",
        body_complete=True,
        champion=Leg("3", ANSWER, None, None, 0.020, CHAMPION),
        shadows=(Leg("4", ANSWER, None, None, 0.050, SHADOW),),
        trace=Trace(TRACE_ID, CALLER, REQUEST, 0.001),
    )
    return msgspec.structs.replace(whole, **changes)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    receiver = OtlpReceiver()
    yield receiver
    receiver.close()


async def spans_of(receiver: OtlpReceiver, *exchanges: Exchange, scheme: str = "http") -> dict[str, Span]:
    """Folds the exchanges; the spans that arrived, by their ids."""
    exporter = SpanExporter(receiver.url, {}, where, scheme=scheme)
    for each in exchanges:
        exporter.fold(each)
    await exporter.close(CLOSE_S)
    return {span.span_id.hex(): span for span in receiver.spans}


async def test_a_request_hangs_under_its_caller_and_its_legs_under_it(receiver: OtlpReceiver) -> None:
    spans = await spans_of(receiver, exchange())

    assert set(spans) == {REQUEST, CHAMPION, SHADOW}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
    assert spans[REQUEST].parent_span_id.hex() == CALLER
    assert spans[CHAMPION].parent_span_id.hex() == spans[SHADOW].parent_span_id.hex() == REQUEST
    assert spans[REQUEST].kind == Span.SPAN_KIND_SERVER
    assert spans[CHAMPION].kind == spans[SHADOW].kind == Span.SPAN_KIND_CLIENT
    assert {span.status.code for span in spans.values()} == {Status.STATUS_CODE_UNSET}


async def test_the_attributes_are_those_of_the_conventions_and_the_sidecars_own(receiver: OtlpReceiver) -> None:
    spans = await spans_of(receiver, exchange(), scheme="https")

    assert spans[REQUEST].name == "POST fraud"
    assert values(spans[REQUEST].attributes) == {
        "http.request.method": "POST",
        "http.request.body.size": 13,
        "http.response.status_code": 200,
        "http.response.body.size": 14,
        "url.scheme": "https",
        "url.path": "/v2/models/fraud/infer",
        "sidecar.deployment": "fraud",
        "sidecar.version": "3",
        "sidecar.generation": 7,
        "sidecar.request_id": "r-1",
    }
    assert values(spans[CHAMPION].attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.response.body.size": 14,
        "server.address": "10.0.0.3",
        "server.port": 8000,
        "url.full": "http://10.0.0.3:8000/v2/models/fraud/infer",
        "sidecar.deployment": "fraud",
        "sidecar.version": "3",
        "sidecar.leg": "champion",
    }
    assert values(spans[SHADOW].attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.response.body.size": 14,
        "server.address": "model-4",
        "server.port": 443,
        "url.full": "https://model-4:443/elsewhere",
        "sidecar.deployment": "fraud",
        "sidecar.version": "4",
        "sidecar.leg": "shadow",
    }
    assert receiver.resource["service.name"] == "serving-sidecar"
    assert receiver.paths == {"/v1/traces"}


async def test_times_are_the_workers(receiver: OtlpReceiver) -> None:
    spans = await spans_of(receiver, exchange())
    begun = int(AT * NS)
    took = {name: (span.start_time_unix_nano - begun, span.end_time_unix_nano - begun) for name, span in spans.items()}

    expected = {REQUEST: (0.0, 0.021), CHAMPION: (0.001, 0.021), SHADOW: (0.001, 0.051)}
    for name, (start_s, end_s) in expected.items():
        assert took[name] == pytest.approx((start_s * NS, end_s * NS), abs=1000)


async def test_a_trace_that_began_in_the_sidecar_has_no_parent(receiver: OtlpReceiver) -> None:
    spans = await spans_of(receiver, exchange(trace=Trace(TRACE_ID, "", REQUEST, 0.0)))

    assert spans[REQUEST].trace_id.hex() == TRACE_ID
    assert spans[REQUEST].parent_span_id == b""
    assert spans[CHAMPION].parent_span_id.hex() == REQUEST


async def test_an_exchange_without_a_trace_makes_no_span(receiver: OtlpReceiver) -> None:
    assert await spans_of(receiver, exchange(trace=None)) == {}


@pytest.mark.parametrize(
    ("status", "error", "request_fails"), [(400, "status_4xx", False), (500, "status_5xx", True), (503, "x", True)]
)
async def test_a_bad_status_is_an_error_of_the_leg_and_of_the_request_only_if_it_is_the_servers(
    status: int, error: str, request_fails: bool, receiver: OtlpReceiver
) -> None:
    answer = msgspec.structs.replace(ANSWER, status=status)
    spans = await spans_of(receiver, exchange(champion=Leg("3", answer, error, None, 0.02, CHAMPION)))

    assert spans[CHAMPION].status.code == Status.STATUS_CODE_ERROR
    assert (spans[REQUEST].status.code == Status.STATUS_CODE_ERROR) is request_fails
    assert values(spans[CHAMPION].attributes)["error.type"] == str(status)
    assert values(spans[REQUEST].attributes)["http.response.status_code"] == status


async def test_a_leg_without_an_answer_says_what_failed(receiver: OtlpReceiver) -> None:
    lost = Leg("4", None, "timeout", None, 5.0, SHADOW)
    failed = Leg("3", None, "reset", None, 0.01, CHAMPION)
    spans = await spans_of(receiver, exchange(champion=failed, shadows=(lost,)))

    for name, kind in ((SHADOW, "timeout"), (CHAMPION, "reset"), (REQUEST, "reset")):
        told = values(spans[name].attributes)
        assert told["error.type"] == kind
        assert "http.response.status_code" not in told
        assert spans[name].status.code == Status.STATUS_CODE_ERROR


async def test_a_copy_that_was_never_sent_is_no_span_but_an_event(receiver: OtlpReceiver) -> None:
    dropped = Leg("4", None, None, "connect_error", 0.0, SHADOW)
    spans = await spans_of(receiver, exchange(shadows=(dropped,)))

    assert set(spans) == {REQUEST, CHAMPION}
    (event,) = spans[REQUEST].events
    assert event.name == "sidecar.copy_dropped"
    assert values(event.attributes) == {"sidecar.version": "4", "sidecar.dropped": "connect_error"}


@pytest.mark.parametrize(
    ("version", "address"), [("5", {"server.address": "/run/model.sock"}), ("gone", {})], ids=["unix", "unknown"]
)
async def test_a_destination_without_host_and_port(
    version: str, address: dict[str, str], receiver: OtlpReceiver
) -> None:
    spans = await spans_of(receiver, exchange(shadows=(Leg(version, ANSWER, None, None, 0.05, SHADOW),)))
    told = values(spans[SHADOW].attributes)

    assert {name: told[name] for name in told if name.startswith(("server.", "url."))} == address


async def test_bodies_never_leave(receiver: OtlpReceiver) -> None:
    spans = await spans_of(receiver, exchange())

    assert all(b"secret" not in span.SerializeToString() for span in spans.values())
    assert all(b"outputs" not in span.SerializeToString() for span in spans.values())


@pytest.mark.parametrize("broken", ["x", "zz", "-1", "0" * 16, "1" * 18, "1" * 15])
async def test_an_id_that_is_none_is_refused_and_harms_no_other(broken: str, receiver: OtlpReceiver) -> None:
    exporter = SpanExporter(receiver.url, {}, where)
    for trace in (Trace(TRACE_ID, broken, REQUEST, 0.0), Trace(TRACE_ID, CALLER, broken, 0.0)):
        with pytest.raises(ValueError, match=r"not an id|non-hexadecimal"):
            exporter.fold(exchange(trace=trace))
    exporter.fold(exchange())
    await exporter.close(CLOSE_S)

    assert {span.span_id.hex() for span in receiver.spans} == {REQUEST, CHAMPION, SHADOW}


async def test_headers_and_a_whole_url_are_used_as_given(receiver: OtlpReceiver) -> None:
    exporter = SpanExporter(receiver.url + "/v1/traces/", {"authorization": "Bearer abc"}, where)
    exporter.fold(exchange())
    await exporter.close(CLOSE_S)

    assert receiver.paths == {"/v1/traces"}
    assert receiver.headers[0]["authorization"] == "Bearer abc"
    assert exporter.counts == {"exported": 3, "failed": 0, "dropped": 0}


async def test_a_collector_that_hangs_makes_nobody_wait_and_costs_whole_traces(receiver: OtlpReceiver) -> None:
    receiver.go_on.clear()
    exporter = SpanExporter(receiver.url, {}, where, traces_per_s=1_000_000)
    folds = QUEUE_SPANS // 3 + 500
    longest_s = 0.0
    for _ in range(folds):
        began = perf_counter()
        exporter.fold(exchange())
        longest_s = max(longest_s, perf_counter() - began)
    began = perf_counter()
    await exporter.close(0.2)
    closed_s = perf_counter() - began
    receiver.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "last spans":
            await asyncio.to_thread(thread.join, CLOSE_S)

    # Whoever waited for the collector would wait for ever: it hangs until it is told to go on.
    assert longest_s < 10.0
    assert closed_s < 10.0
    assert exporter.dropped == (folds - QUEUE_SPANS // 3) * 3


async def test_a_second_has_room_for_so_many_traces_and_the_next_for_as_many_again(receiver: OtlpReceiver) -> None:
    exporter = SpanExporter(receiver.url, {}, where, traces_per_s=10)
    for second in (0.0, 0.7, -0.5, 1.0):  # one that ended late does not begin its second anew
        for _ in range(25):
            exporter.fold(exchange(at=AT + second))
    await exporter.close(CLOSE_S)

    assert exporter.counts == {"exported": 60, "failed": 0, "dropped": 240}


async def test_a_collector_that_refuses_is_counted(receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.status = 400
    exporter = SpanExporter(receiver.url, {"x-key": "hunter2"}, where)
    exporter.fold(exchange())
    await exporter.close(CLOSE_S)

    assert exporter.counts == {"exported": 0, "failed": 3, "dropped": 0}
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("", {}),
        (" , ", {}),
        ("x-key=abc", {"x-key": "abc"}),
        (" x-key = abc , y=d=e== ", {"x-key": "abc", "y": "d=e=="}),
        ("authorization=Bearer%20a%2Cb", {"authorization": "Bearer a,b"}),
    ],
)
def test_headers_are_read(text: str, headers: dict[str, str]) -> None:
    assert read_headers(text) == headers


@pytest.mark.parametrize(
    "text",
    ["hunter2", "=hunter2", "x-key=", "a b=hunter2", "x=hunter2%0d%0ay: z", "x=%00hunter2", "x=hunter2%ff", "x=é"],
)
def test_bad_headers_are_refused_and_never_quoted(text: str) -> None:
    with pytest.raises(BadHeaders) as refused:
        read_headers(f"good=1,{text}")

    assert "hunter2" not in str(refused.value)
    assert "header 2" in str(refused.value)
