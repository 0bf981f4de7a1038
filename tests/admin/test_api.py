"""The admin API's routes: who may call them, and what becomes of errors."""

from __future__ import annotations

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
