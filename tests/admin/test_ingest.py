from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sidecar.admin import ingest
from sidecar.admin.api import build_app
from sidecar.admin.auth import auth_token
from sidecar.admin.cloud_events import CloudEvent
from sidecar.admin.ingest import EVENT_BYTES, half_of
from sidecar.errors import Invalid
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService

Client = TestClient[web.Request, web.Application]
Serve = Callable[..., Awaitable[Client]]

# As KServe's agent sends them (pkg/logger/worker.go), and Seldon's executor (executor/logger/worker.go).
KSERVE = {
    "Ce-Specversion": "1.0",
    "Ce-Id": "0d9d1a3e-1",
    "Ce-Source": "http://localhost:9081/",
    "Ce-Type": "org.kubeflow.serving.inference.request",
    "Ce-Time": "2026-01-01T00:00:00.25Z",
    "Ce-Inferenceservicename": "fraud",
    "Ce-Namespace": "models",
    "Ce-Component": "predictor",
    "Ce-Endpoint": "default",
    "Ce-Metadata": "{}",
    "Content-Type": "application/json",
}
SELDON = {
    "CE-SpecVersion": "0.3",
    "CE-Id": "own-id-of-this-half",
    "CE-Source": "http://:8000/",
    "CE-Type": "io.seldon.serving.inference.response",
    "CE-Requestid": "puid-1",
    "CE-Modelid": "classifier",
    "CE-Inferenceservicename": "fraud",
    "CE-Namespace": "models",
    "CE-Endpoint": "main",
    "Content-Type": "application/json",
}


@pytest.fixture
async def serve(aiohttp_client: Any) -> Serve:
    async def start(service: FakeService, **options: Any) -> Client:
        app = build_app(service, tokens=[], metrics_text=bytes, metrics_open=True, **options)
        client: Client = await aiohttp_client(TestServer(app))
        return client

    return start


async def test_kserves_logger_is_understood(serve: Serve) -> None:
    service = FakeService()
    answer = await (await serve(service)).post("/v1/ingest", data=b'{"instances": [[1]]}', headers=KSERVE)

    # KServe's logger reports every status but 200 as a failure.
    assert (answer.status, await answer.json()) == (200, {"result": "waiting"})
    (half,) = service.halves
    assert (half.side, half.id, half.services) == ("request", "0d9d1a3e-1", ("fraud",))
    assert (half.endpoint, half.origin, half.at) == ("default", "models/predictor/", NOW + 0.25)
    assert (half.body, half.content_type) == (b'{"instances": [[1]]}', "application/json")


async def test_seldons_logger_is_understood(serve: Serve) -> None:
    service = FakeService()
    answer = await (await serve(service)).post("/v1/ingest", data=b"{}", headers=SELDON)

    assert answer.status == 200
    (half,) = service.halves
    assert (half.side, half.id, half.services) == ("response", "puid-1", ("fraud", "classifier"))
    assert (half.endpoint, half.origin, half.at) == ("main", "models//classifier", None)


async def test_a_structured_event_is_the_same_as_a_binary_one(serve: Serve) -> None:
    service, event = FakeService(), {"data": {"instances": [[1]]}}
    event |= {name[3:].lower(): value for name, value in KSERVE.items() if name.startswith("Ce-")}  # type: ignore[misc]
    client = await serve(service)
    await client.post("/v1/ingest", data=json.dumps(event["data"]), headers=KSERVE)
    structured = {"Content-Type": "application/cloudevents+json"}
    await client.post("/v1/ingest", data=json.dumps(event), headers=structured)

    assert service.halves[0] == service.halves[1]


def test_mlserver_puts_the_models_name_where_the_endpoint_should_be() -> None:
    attributes = {"type": "io.seldon.serving.inference.request", "id": "a", "modelid": "bc", "endpoint": "bc"}

    half = half_of(CloudEvent(attributes, "", "", b""))

    assert half is not None
    assert (half.endpoint, half.services) == ("", ("bc",))


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ('{"Inference-Header-Content-Length":["147"]}', 147),
        ('{"X-Request-Id":["1"]}', -1),
        ('{"Inference-Header-Content-Length":[]}', -1),
        ('{"Inference-Header-Content-Length":["-1"]}', -1),
        ('{"Inference-Header-Content-Length":["99999999999"]}', -1),
        ('{"a":1}', -1),
        ("not json", -1),
        ("", -1),
    ],
)
def test_the_length_of_the_json_before_binary_tensors_comes_with_the_metadata(metadata: str, told: int) -> None:
    attributes = {"type": "org.kubeflow.serving.inference.request", "id": "a", "inferenceservicename": "f"}

    half = half_of(CloudEvent(attributes | {"metadata": metadata}, "", "", b""))

    assert half is not None
    assert half.json_bytes == told


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"inferenceservicename": ""}, "names no model"),
        ({"id": "x" * 257}, "at most 256"),
        ({"endpoint": "x" * 257}, "at most 256"),
        ({"time": "yesterday"}, "time"),
        ({"time": "9999-99-99T00:00:00Z"}, "time"),
    ],
)
def test_an_event_that_cannot_be_joined_is_refused(changes: dict[str, str], match: str) -> None:
    attributes = {"type": "org.kubeflow.serving.inference.request", "id": "a", "inferenceservicename": "f"}

    with pytest.raises(Invalid, match=match):
        half_of(CloudEvent(attributes | changes, "", "", b""))


async def test_an_event_about_something_else_is_passed_over_and_counted(serve: Serve) -> None:
    service = FakeService()
    headers = KSERVE | {"Ce-Type": "io.seldon.serving.feedback"}
    answer = await (await serve(service)).post("/v1/ingest", data=b"{}", headers=headers)

    assert (answer.status, await answer.json()) == (200, {"result": "unknown_type"})
    assert (service.halves, service.not_ours) == ([], ["unknown_type"])


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/cloudevents-batch+json"}, b"[]", 415),
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": "application/cloudevents+json"}, b"{", 400),
        (KSERVE | {"Ce-Specversion": "7"}, b"{}", 400),
        (KSERVE | {"Ce-Id": "%FF"}, b"{}", 400),
    ],
    ids=["batch", "no event", "no JSON", "another version", "no UTF-8"],
)
async def test_what_is_no_event_is_a_problem_document_and_is_counted(
    serve: Serve, headers: dict[str, str], body: bytes, status: int
) -> None:
    service = FakeService()
    answer = await (await serve(service)).post("/v1/ingest", data=body, headers=headers)

    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert "event" in (await answer.json())["detail"].lower()
    assert (service.halves, service.not_ours) == ([], ["malformed"])


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_above_the_limit_is_refused_also_when_it_was_small_on_the_way(serve: Serve, packed: bool) -> None:
    service, body = FakeService(), b"0" * (EVENT_BYTES + 1)
    headers = KSERVE | ({"Content-Encoding": "gzip"} if packed else {})
    client = await serve(service)
    answer = await client.post("/v1/ingest", data=io.BytesIO(gzip.compress(body) if packed else body), headers=headers)

    assert answer.status == 413
    assert service.not_ours == ["too_large"]


async def test_too_many_events_at_once_are_asked_to_come_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "READING_BYTES", 10)
    service, held = FakeService(), asyncio.Event()
    client = await serve(service)

    async def slowly() -> Any:
        yield b"12345"
        await held.wait()
        yield b"678"

    first = asyncio.create_task(client.post("/v1/ingest", data=slowly(), headers=KSERVE | {"Content-Length": "8"}))
    while (second := await client.post("/v1/ingest", data=b"12345", headers=KSERVE)).status == 200:
        pass
    held.set()

    assert (second.status, second.headers["Retry-After"]) == (429, "1")
    assert "again" in (await second.json())["detail"]
    assert (await first).status == 200
    assert (await client.post("/v1/ingest", data=b"1", headers=KSERVE)).status == 200
    assert service.not_ours == ["busy"]


async def test_a_logger_may_show_its_token_in_the_urls_user_information(serve: Serve, aiohttp_client: Any) -> None:
    tokens = [auth_token("kserve", "reporter", "s3cret")]
    app = build_app(FakeService(), tokens=tokens, metrics_text=bytes, metrics_open=True)
    client: Client = await aiohttp_client(TestServer(app))

    async def status(user: str) -> int:
        basic = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
        return (await client.post("/v1/ingest", data=b"{}", headers=KSERVE | basic)).status

    assert await status("kserve:s3cret") == 200
    assert [await status(user) for user in ("kserve:other", "other:s3cret", "s3cret", ":s3cret", "kserve:")] == [
        401
    ] * 5


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_broken_compression_is_a_problem_document(serve: Serve, coding: str) -> None:
    service = FakeService()
    client = await serve(service)
    # Only when the handler reads is the body sent: what comes with the head is refused before there is a handler.
    headers = KSERVE | {"Content-Encoding": coding, "Expect": "100-continue"}
    answer = await client.post("/v1/ingest", data=b"{no such thing", headers=headers)

    assert (answer.status, answer.content_type) == (400, "application/problem+json")
    assert service.not_ours == ["malformed"]
