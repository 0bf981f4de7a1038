"""The admin API's routes: who may call them, and what becomes of errors and hostile bodies."""

from __future__ import annotations

import gzip
import io
import json
import logging
from typing import Any

import pytest

from sidecar.admin import guesses
from sidecar.admin.api import Handlers, routes
from sidecar.admin.dashboard import Dashboard
from sidecar.admin.live import EventStreams
from sidecar.errors import Invalid, Unavailable
from tests.admin.api_ground import PROMOTE, ROLES, TOKENS, D, Serve, bearer
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService

# Every route: what it needs, a call of it, and what it answers when allowed.
TABLE: list[tuple[str, str, str, Any, int]] = [
    ("GET", "/healthz", "anyone", None, 200),
    ("GET", "/readyz", "anyone", None, 200),
    ("GET", "/metrics", "viewer", None, 200),
    ("GET", "/", "anyone", None, 200),
    ("GET", "/static/dashboard.css", "anyone", None, 200),
    ("GET", "/static/dashboard.js", "anyone", None, 200),
    ("GET", "/audit", "anyone", None, 200),
    ("GET", "/deployments/fraud", "anyone", None, 200),
    ("GET", "/deployments/fraud/challengers/4", "anyone", None, 200),
    ("GET", "/deployments/fraud/inputs", "anyone", None, 200),
    ("GET", "/deployments/fraud/outcomes", "anyone", None, 200),
    ("GET", "/deployments/fraud/shadow", "anyone", None, 200),
    ("POST", "/deployments/fraud/shadow", "operator", None, 400),
    ("POST", "/deployments/fraud/override", "admin", None, 400),
    ("GET", "/v1/openapi.json", "anyone", None, 200),
    ("GET", "/v1/deployments", "viewer", None, 200),
    ("GET", D, "viewer", None, 200),
    ("GET", f"{D}/comparison", "viewer", None, 200),
    ("GET", f"{D}/drift", "viewer", None, 200),
    ("POST", f"{D}/drift/reference", "operator", {"reason": "a quiet week"}, 200),
    ("GET", f"{D}/features", "viewer", None, 200),
    ("POST", f"{D}/features", "reporter", {"rows": [{"request_id": "a", "features": {"amount": 1.5}}]}, 200),
    ("GET", f"{D}/gates", "viewer", None, 200),
    ("GET", f"{D}/gates/rehearsal", "viewer", None, 200),
    ("POST", f"{D}/gates/rehearsal", "viewer", {"days": 1}, 200),
    ("GET", f"{D}/champion", "viewer", None, 200),
    ("GET", f"{D}/performance", "viewer", None, 200),
    ("GET", f"{D}/label-queue", "viewer", None, 200),
    ("GET", f"{D}/transitions", "viewer", None, 200),
    ("GET", f"{D}/transitions/latest/report", "viewer", None, 200),
    ("GET", f"{D}/cost?from=2026-01-30T12:00:00Z&to=2026-01-31T12:00:00Z", "viewer", None, 200),
    ("POST", f"{D}/promote", "operator", PROMOTE, 200),
    ("POST", f"{D}/override", "admin", PROMOTE, 200),
    ("GET", f"{D}/canary", "viewer", None, 200),
    ("POST", f"{D}/canary", "operator", {"challenger": "4", "reason": "a few first"}, 200),
    ("GET", f"{D}/approvals", "viewer", None, 200),
    ("POST", f"{D}/approvals", "operator", PROMOTE | {"evidence": "sha256:e"}, 200),
    ("POST", f"{D}/hold", "operator", {"version": "4", "held": True, "reason": "not before May"}, 200),
    ("POST", f"{D}/rollback", "operator", {"reason": "worse"}, 409),
    ("PUT", f"{D}/challengers/5", "operator", {"url": "http://127.0.0.1:8002"}, 200),
    ("DELETE", f"{D}/challengers/4", "operator", None, 200),
    ("POST", f"{D}/shadow", "operator", {"enabled": False}, 200),
    ("POST", f"{D}/registry/reconcile", "operator", {"take": "sidecar", "reason": "moved by hand"}, 200),
    ("POST", "/v1/registry/webhook", "anyone", {}, 404),
    ("GET", "/v1/decisions/req-1", "viewer", None, 200),
    ("POST", "/v1/outcomes", "reporter", {"outcomes": [{"request_id": "a", "outcome": 1}]}, 200),
    ("POST", "/v1/ingest", "reporter", {}, 415),
    ("GET", "/v1/alarms", "viewer", None, 200),
    ("POST", "/v1/alarms/fraud-amount-1/acknowledge", "operator", {"reason": "on it"}, 200),
    ("GET", "/v1/audit", "viewer", None, 200),
    ("GET", "/v1/audit/verify", "viewer", None, 200),
    ("POST", "/v1/audit/verify", "viewer", {"seq": 3, "hash": "sha256:0"}, 200),
    ("GET", "/v1/audit/head", "viewer", None, 200),
    ("GET", "/v1/events/dead-letters", "viewer", None, 200),
    ("POST", "/v1/events/dead-letters/7/resend", "operator", {"reason": "back"}, 200),
]
MAY: dict[str, set[str]] = {
    "anyone": {"nobody", "wrong", "viewer", "reporter", "operator", "admin"},
    "viewer": {"viewer", "operator", "admin"},
    "reporter": {"reporter", "operator", "admin"},
    "operator": {"operator", "admin"},
    "admin": {"admin"},
}


def test_the_table_of_this_test_names_every_route_but_the_stream() -> None:
    service = FakeService()
    dashboard = Dashboard(service, lambda: NOW)
    handlers = Handlers(service, lambda: b"", dashboard, None, lambda: NOW)  # type: ignore[arg-type]
    there = {(route.method, route.path) for route in routes(handlers, EventStreams(service.events), metrics_open=True)}
    assert ("GET", "/v1/events") in there
    assert len(there) == len(TABLE)  # two static files are one route, and the stream is one that TABLE lacks


@pytest.mark.parametrize("who", ["nobody", "wrong", *ROLES])
async def test_every_route_answers_only_the_roles_that_may_call_it(
    serve: Serve, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "TRIES", 10 * len(TABLE))  # a wrong token is tried at every route
    client = await serve(FakeService(calm=True), tokens=TOKENS, metrics_open=False)
    headers = {} if who == "nobody" else bearer(who)
    for method, path, need, body, status in TABLE:
        answer = await client.request(method, path, json=body, headers=headers)
        allowed = who in MAY[need]
        wanted = status if allowed else 401 if who in ("nobody", "wrong") else 403
        assert answer.status == wanted, (method, path, await answer.text())
        if not allowed:
            assert answer.content_type == "application/problem+json"
            assert (answer.status == 401) == ("WWW-Authenticate" in answer.headers)


async def test_without_tokens_the_actor_is_anonymous_and_with_them_it_is_the_tokens_name(serve: Serve) -> None:
    service = FakeService(calm=True)
    await (await serve(service)).post(f"{D}/promote", json=PROMOTE)
    await (await serve(service, tokens=TOKENS)).post(f"{D}/promote", json=PROMOTE, headers=bearer("operator"))
    assert [call["actor"] for _, call in service.calls] == ["anonymous", "operator-person"]


async def test_open_metrics_need_no_token(serve: Serve) -> None:
    answer = await (await serve(FakeService(), tokens=TOKENS)).get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_readyz_is_a_problem_until_a_worker_routes(serve: Serve) -> None:
    service = FakeService()
    service.is_ready = False
    client = await serve(service)
    answer, listed = await client.get("/readyz"), await client.get("/v1/deployments")
    assert (answer.status, answer.content_type) == (503, "application/problem+json")
    assert (await listed.json())["waits"] == (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/static/..%2Fapi.py", 404),
        ("GET", "/static/api.py", 404),
        ("POST", "/v1/deployments", 405),
        ("DELETE", f"{D}/promote", 405),
        ("GET", f"{D}/promote", 405),
        ("PATCH", "/", 405),
        ("GET", "/v1/deployments/nobody", 404),
        ("GET", f"{D}/gates?challenger=99", 404),
        ("GET", f"{D}/gates?challanger=4", 400),
        ("GET", f"{D}/gates?challenger=4&challenger=5", 400),
        ("GET", f"{D}/drift?against=yesterday", 400),
        ("GET", f"{D}/champion?at=noon", 400),
        ("GET", f"{D}/champion?at=2026-01-01T00:00:00", 400),
        ("GET", "/v1/audit?limit=0", 400),
        ("GET", "/v1/audit?limit=1001", 400),
        ("GET", "/v1/audit?after=-1", 400),
        ("GET", "/v1/audit?after=%D9%A3", 400),
        ("GET", "/v1/decisions/none", 404),
        ("GET", "/v1/decisions/several", 400),
    ],
)
async def test_what_cannot_be_answered_is_a_problem_document(serve: Serve, method: str, path: str, status: int) -> None:
    answer = await (await serve(FakeService())).request(method, path)
    problem = json.loads(await answer.read())
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert problem["detail"].endswith(".")
    assert (status == 405) == ("Allow" in answer.headers)


async def test_a_refused_promotion_carries_the_gates(serve: Serve) -> None:
    answer = await (await serve(FakeService())).post(f"{D}/promote", json=PROMOTE)
    problem = await answer.json(content_type="application/problem+json")
    assert answer.status == 409
    assert problem["type"] == "urn:sidecar:problem:refused"
    assert {gate["name"]: gate["verdict"] for gate in problem["gates"]}["duration"] == "insufficient"


@pytest.mark.parametrize(("error", "status"), [(Invalid("Say which."), 400), (Unavailable("The disk is full."), 503)])
async def test_the_services_errors_become_http_once(serve: Serve, error: Exception, status: int) -> None:
    service = FakeService()
    service.raises = error
    answer = await (await serve(service)).get(D)
    assert answer.status == status
    assert (await answer.json(content_type=None))["detail"] == str(error)


async def test_a_fault_shows_neither_traceback_nor_text_to_the_caller(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    service = FakeService()
    client = await serve(service)
    service.raises = ZeroDivisionError("amount=1234.56")
    with caplog.at_level(logging.ERROR):
        answer = await client.get(D)
    text = await answer.text()
    assert (answer.status, answer.content_type) == (500, "application/problem+json")
    assert "1234.56" not in text
    assert "Traceback" not in text
    assert [record.getMessage() for record in caplog.records] == ["admin.fault"]


BODIES: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b"null", 400),
    (b"[]", 400),
    (b'"text"', 400),
    (b"[" * 50_000, 400),
    (b'{"challenger":' + b"[" * 50_000, 400),
    (b'{"challenger":"4","reason":"r","unknown":1}', 400),
    (b'{"challenger":"4"}', 400),
    (b'{"challenger":4,"reason":"r"}', 400),
    (b'{"challenger":"4","reason":""}', 400),
    (b'{"challenger":"4","reason":"' + b"r" * 2001 + b'"}', 400),
    (b'{"challenger":"4","reason":"r","dry_run":"yes"}', 400),
    (b'{"challenger":"4","reason":"r","dry_run":NaN}', 400),
    (b'{"challenger":"4","reason":"' + b"r" * 70_000 + b'"}', 413),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
async def test_hostile_bodies_are_refused_and_change_nothing(serve: Serve, body: bytes, status: int) -> None:
    service = FakeService(calm=True)
    answer = await (await serve(service)).post(f"{D}/promote", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert service.calls == []
    assert len(await answer.read()) < 1000


async def test_a_small_gzip_body_cannot_grow_past_the_limit(serve: Serve) -> None:
    bomb = gzip.compress(b'{"challenger":"4","reason":"' + b"r" * 5_000_000 + b'"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await (await serve(FakeService(calm=True))).post(f"{D}/promote", data=bomb, headers=headers)
    assert answer.status == 413


async def test_a_body_without_length_is_cut_at_the_limit(serve: Serve) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 10_000

    answer = await (await serve(FakeService(calm=True))).post(
        f"{D}/promote", data=endless(), headers={"Content-Type": "application/json"}
    )
    assert answer.status == 413


OUTCOMES: list[tuple[Any, int]] = [
    ([], 200),
    ([{"request_id": "a", "outcome": "fraud", "row": 3, "at": "2026-01-01T00:00:00Z", "corrects": True}], 200),
    ([{"request_id": "a", "outcome": "fraud"}] * 100_000, 200),
    ([{"request_id": "a", "outcome": "fraud"}] * 100_001, 400),
    ([{"request_id": "", "outcome": 1}], 400),
    ([{"request_id": "a", "outcome": None}], 400),
    ([{"request_id": "a", "outcome": [1]}], 400),
    ([{"request_id": "a"}], 400),
    ([{"request_id": "a", "outcome": 1, "row": -1}], 400),
    ([{"request_id": "a", "outcome": 1, "row": 1.5}], 400),
    ([{"request_id": "a", "outcome": 1, "at": "yesterday"}], 400),
    ([{"request_id": "a", "outcome": 1, "at": "2026-01-01T00:00:00"}], 400),
    ([{"request_id": "a", "outcome": 1, "label": 2}], 400),
]


@pytest.mark.parametrize(("outcomes", "status"), OUTCOMES, ids=range(len(OUTCOMES)))
async def test_outcomes_are_taken_whole_or_not_at_all(serve: Serve, outcomes: Any, status: int) -> None:
    service = FakeService()
    body = io.BytesIO(json.dumps({"outcomes": outcomes}).encode())
    answer = await (await serve(service)).post("/v1/outcomes", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == status
    assert len(service.posted) == (len(outcomes) if status == 200 else 0)


async def test_outcomes_keep_labels_numbers_and_truth_values_apart(serve: Serve) -> None:
    service = FakeService()
    posted = [{"request_id": "a", "outcome": value, "at": "2026-01-01T01:00:00+01:00"} for value in ("1", 1, 0.5, True)]
    answer = await (await serve(service)).post("/v1/outcomes", json={"outcomes": [*posted, {**posted[0], "at": None}]})
    assert set(await answer.json()) == {"matched", "pending", "duplicate", "conflict", "orphan", "late"}
    assert [outcome.value for outcome in service.posted] == ["1", 1.0, 0.5, "true", "1"]
    assert {outcome.at for outcome in service.posted} == {NOW}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "shadow", b""),
        ("POST", "shadow", b"{}"),
        ("POST", "shadow", b'{"enabled":"false"}'),
        ("POST", "shadow", b'{"enabled":0}'),
        ("POST", "shadow", b'{"enabled":false,"deployment":"other"}'),
        ("POST", "shadow", b'{"enabled":false,"reason":null}'),
        ("POST", "registry/reconcile", b'{"reason":"moved by hand"}'),
        ("POST", "registry/reconcile", b'{"take":"both","reason":"moved by hand"}'),
        ("POST", "registry/reconcile", b'{"take":"sidecar"}'),
        ("POST", "registry/reconcile", b'{"take":"sidecar","reason":"moved by hand","force":true}'),
        ("PUT", "challengers/5", b""),
        ("PUT", "challengers/5", b"[]"),
        ("PUT", "challengers/5", b'{"url":'),
        ("PUT", "challengers/5", b'{"url":' + b"[" * 50_000),
        ("PUT", "challengers/5", b'{"fraction":NaN}'),
        ("PUT", "challengers/5", b'{"reason":5}'),
        ("PUT", "challengers/5", b'{"reason":"' + b"x" * 2001 + b'"}'),
        ("POST", "override", b'{"challenger":"4"}'),
        ("POST", "override", b'{"challenger":"4","reason":"broken feed","watch":true}'),
        ("POST", "override", b'{"challenger":"4","reason":"broken feed","plan":""}'),
        ("POST", "canary", b"[]"),
        ("POST", "canary", b'{"reason":"a few first"}'),
        ("POST", "canary", b'{"challenger":"4"}'),
        ("POST", "canary", b'{"abort":true}'),
        ("POST", "canary", b'{"abort":1,"reason":"worse"}'),
        ("POST", "canary", b'{"challenger":"","reason":"a few first"}'),
        ("POST", "canary", b'{"challenger":"4","reason":"a few first","weight":0.5}'),
        ("POST", "approvals", b"[]"),
        ("POST", "approvals", b'{"challenger":"4","reason":"fine"}'),
        ("POST", "approvals", b'{"challenger":"4","evidence":"sha256:e"}'),
        ("POST", "approvals", b'{"challenger":"4","evidence":7,"reason":"fine"}'),
        ("POST", "approvals", b'{"challenger":"4","evidence":"sha256:e","reason":"fine","withdraw":"no"}'),
        ("POST", "approvals", b'{"challenger":"4","evidence":"sha256:e","reason":"fine","by":"bob"}'),
        ("POST", "hold", b'{"version":"4","reason":"not now"}'),
        ("POST", "hold", b'{"version":"4","held":1,"reason":"not now"}'),
        ("POST", "hold", b'{"version":"","held":true,"reason":"not now"}'),
        ("DELETE", "challengers/4", b"null"),
        ("DELETE", "challengers/4", b'{"force":true}'),
        ("DELETE", "challengers/9", b""),
    ],
)
async def test_a_change_of_the_shadow_that_cannot_be_understood_changes_nothing(
    serve: Serve, method: str, path: str, body: bytes
) -> None:
    service = FakeService()
    client = await serve(service)
    answer = await client.request(method, f"{D}/{path}", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.content_type) == (404 if "9" in path else 400, "application/problem+json")
    assert service.calls == []


@pytest.mark.parametrize("key", ["", "x" * 256, "é"])
async def test_an_idempotency_key_is_short_printable_text(serve: Serve, key: str) -> None:
    service = FakeService(calm=True)
    answer = await (await serve(service)).post(f"{D}/promote", json=PROMOTE, headers={"Idempotency-Key": key})
    assert (answer.status, service.calls) == (400, [])


async def test_a_time_in_a_query_is_read_even_when_its_plus_became_a_space(serve: Serve) -> None:
    service = FakeService()
    client = await serve(service)
    for text in ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"):
        await client.get(f"{D}/champion?at={text}")
    assert [call["at"] for _, call in service.calls] == [NOW, NOW]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rows": [{"request_id": "a"}]},
        {"rows": [{"request_id": "a", "features": {}}]},
        {"rows": [{"request_id": "", "features": {"x": 1}}]},
        {"rows": [{"request_id": "a", "features": {"x": [1]}}]},
        {"rows": [{"request_id": "a", "features": {"x": "s" * 1_025}}]},
        {"rows": [{"request_id": "a", "row": -1, "features": {"x": 1}}]},
        {"rows": [{"request_id": "a", "features": {"x": 1}}] * 1_001},
        {"rows": [], "more": 1},
    ],
)
async def test_rows_that_are_none_are_refused_and_their_values_not_repeated(serve: Serve, body: Any) -> None:
    service = FakeService()
    answer = await (await serve(service)).post(f"{D}/features", json=body)
    assert answer.status == 400
    assert "sss" not in await answer.text()
    assert service.rows == []
