"""The admin API's answers have the contract's members, and what is asked reaches the service."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sidecar.records import DROP_REASONS, LEG_ERRORS
from sidecar.standing import Divergence, Event, RegistryStatus
from tests.admin.api_ground import PROMOTE, TOKENS, D, Serve, bearer
from tests.admin.fake_reports import EVIDENCE, NOW
from tests.admin.fake_service import FakeService


async def test_the_answers_have_the_contracts_fields(serve: Serve) -> None:
    client = await serve(FakeService(broke=True))

    async def get(path: str) -> Any:
        return await (await client.get(path)).json()

    deployment = (await get("/v1/deployments"))["items"][0]
    assert deployment == await get(D)
    assert {"name", "owner", "generation", "state", "champion", "previous", "challengers", "registry"} <= set(
        deployment
    )
    assert deployment["champion"] == {
        "version": "4",
        "url": "http://127.0.0.1:8000",
        "since": "2025-12-31T23:49:20.000Z",
    }
    assert deployment["challengers"][0]["health"] == "healthy"

    comparison = await get(f"{D}/comparison?challenger=3")
    assert comparison["dropped"] == dict.fromkeys(DROP_REASONS, 0) | {"queue_full": 24, "breaker_open": 7}
    assert comparison["errors"] == dict.fromkeys(LEG_ERRORS, 0) | {"timeout": 3}
    assert comparison["latency_ms"]["champion"] == {"p50": 3.4, "p99": 11.8, "n": 18240}
    assert comparison["agreement"] == {"value": 0.968, "lower": 0.961, "upper": 0.974}
    assert (comparison["mirrored"], comparison["answered"], comparison["pairs"]) == (18260, 18257, 18240)
    assert set(comparison["score_difference"]) == {"n", "mean", "mean_abs", "p50", "p95", "max"}
    assert comparison["noise_floor"] is None
    assert comparison["worst"][0]["at"] == "2025-12-31T23:59:00.000Z"

    drift = await get(f"{D}/drift?against=recent")
    assert drift["baseline"] == {"model": "fraud", "version": "4", "digest": EVIDENCE}
    assert drift["features"][0]["cause"] == {
        "kind": "scale",
        "says": "live = 0.01 × trained (as when cents become euros)",
        "share": 1.0,
        "explained": 0.981,
        "confirmed": True,
        "factor": 0.01,
    }
    assert drift["features"][1]["cause"] is None
    assert drift["features"][0]["since"] == "2025-12-31T23:58:25.000Z"
    assert drift["prediction"]["name"] == "score"
    assert drift["shift"] is None

    gates = await get(f"{D}/gates")
    assert (gates["champion"], gates["challenger"], gates["verdict"]) == ("4", "3", "fail")
    assert set(gates["gates"][0]) == {"name", "policy", "verdict", "observed", "required", "n", "detail"}

    quality = (await get(f"{D}/performance"))["items"]
    assert [(item["version"], item["matched"], item["estimated"]) for item in quality] == [
        ("3", 412, None),
        ("4", 412, None),
    ]
    alarms = (await get("/v1/alarms"))["items"]
    assert [alarm["ended"] is None for alarm in alarms] == [True, False]
    entry = (await get("/v1/audit?after=1&limit=1"))["entries"][0]
    assert (entry["seq"], entry["from"], entry["to"]) == (2, "3", "4")
    assert (await get("/v1/audit/verify"))["ok"] is True
    decision = await get("/v1/decisions/req-1")
    assert decision["challengers"] == [{"version": "4", "prediction": [0.19]}]
    span = {"version", "since", "until", "promoted_by", "evidence", "reason", "audit_seq", "canary"}
    assert set(await get(f"{D}/champion")) == span


async def test_a_promotion_and_a_rollback_answer_from_and_to_and_pass_everything_on(serve: Serve) -> None:
    service = FakeService(calm=True)
    client = await serve(service)
    bound = {"expected_champion": "3", "evidence": EVIDENCE, "plan": "sha256:p"}
    body = {**PROMOTE, **bound, "dry_run": True, "force": True}
    answer = await client.post(f"{D}/promote", json=body, headers={"Idempotency-Key": "k1"})
    told = await answer.json()
    assert told.pop("plan")["digest"] == service.plan
    assert told == {
        "deployment": "fraud",
        "from": "3",
        "to": "4",
        "generation": 2,
        "audit_seq": None,
        "evidence": EVIDENCE,
        "dry_run": True,
    }
    assert service.calls == [
        ("promote", {"name": "fraud", "actor": "anonymous", "automatic": False, "idempotency_key": "k1", **body}),
    ]
    service.broke = True
    answer = await client.post(f"{D}/rollback", json={"reason": "worse", "to": "2"})
    assert (await answer.json())["to"] == "3"
    assert service.calls[1][1]["to"] == "2"


async def test_overrides_and_approvals_carry_the_callers_name(serve: Serve) -> None:
    service = FakeService()
    client = await serve(service, tokens=TOKENS)
    answer = await client.post(f"{D}/override", json=PROMOTE | {"plan": "sha256:p"}, headers=bearer("admin"))
    assert (await answer.json())["to"] == "4"
    agreed = {"challenger": service.challenger, "evidence": "sha256:e", "reason": "read it"}
    answer = await client.post(f"{D}/approvals", json=agreed, headers=bearer("operator"))
    assert await answer.json() == {
        "deployment": "fraud",
        "challenger": service.challenger,
        "done": "approved",
        "people": ["bob"],
        "needed": 2,
        "audit_seq": 10,
    }
    back = {"challenger": service.challenger, "reason": "not so sure", "withdraw": True}
    await client.post(f"{D}/approvals", json=back, headers=bearer("operator"))
    assert [(call, told["actor"]) for call, told in service.calls] == [
        ("override", "admin-person"),
        ("approve", "operator-person"),
        ("withdraw", "operator-person"),
    ]
    assert service.calls[0][1]["plan"] == "sha256:p"
    listed = await (await client.get(f"{D}/approvals", headers=bearer("viewer"))).json()
    assert (listed["items"][0]["by"], listed["items"][0]["at"]) == ("bob", "2026-01-01T00:00:00.000Z")


async def test_changes_of_the_shadow_are_passed_on_with_their_actor_and_reason(serve: Serve) -> None:
    service = FakeService()
    client = await serve(service, tokens=TOKENS)
    headers = bearer("operator")
    url = {"url": "unix:/m.sock", "fraction": 0.5, "headers": {"x-a": "1"}}
    answer = await client.put(f"{D}/challengers/5", json=url | {"reason": "trying it"}, headers=headers)
    assert await answer.json() == {"deployment": "fraud", "version": "5", "done": "added", "audit_seq": 5}
    await client.put(f"{D}/challengers/a%2Fb", json={}, headers=headers)
    await client.delete(f"{D}/challengers/4", headers=headers)
    await client.delete(f"{D}/challengers/4", json={"reason": "too slow"}, headers=headers)
    await client.post(f"{D}/shadow", json={"enabled": False, "reason": "stop"}, headers=headers)
    by = {"actor": "operator-person"}
    assert service.calls == [
        ("set", {"version": "5", "changes": url, "reason": "trying it"} | by),
        ("set", {"version": "a/b", "changes": {}, "reason": ""} | by),
        ("remove", {"version": "4", "reason": ""} | by),
        ("remove", {"version": "4", "reason": "too slow"} | by),
        ("switch", {"enabled": False, "reason": "stop"} | by),
    ]


async def test_a_registry_that_is_away_is_told_with_since_when_and_how_old_its_last_word_is(serve: Serve) -> None:
    service = FakeService()
    service.registry = RegistryStatus(
        reachable=False, diverged=False, since=NOW - 60, age_s=72.5, says="mlflow cannot be reached"
    )
    client = await serve(service, tokens=TOKENS)
    told = (await (await client.get(D, headers=bearer("viewer"))).json())["registry"]
    assert (told["reachable"], told["since"][-1], told["age_s"]) == (False, "Z", 72.5)
    assert told["says"] == "mlflow cannot be reached"
    page = await (await client.get("/deployments/fraud", headers=bearer("viewer"))).text()
    assert "registry is unreachable since" in page
    assert "last confirmed what is shown" in page


async def test_a_divergence_has_both_sides_and_is_reconciled_by_name(serve: Serve) -> None:
    service = FakeService()
    service.registry = RegistryStatus(
        reachable=True,
        diverged=True,
        says="the registry's alias champion is at version 9, version 3 serves",
        divergence=Divergence(alias="champion", registry="9", sidecar="3", since=NOW - 60),
    )
    client = await serve(service, tokens=TOKENS)
    told = (await (await client.get(D, headers=bearer("viewer"))).json())["registry"]
    assert told["diverged"] is True
    assert told["divergence"]["since"].endswith("Z")
    assert (told["divergence"]["registry"], told["divergence"]["sidecar"]) == ("9", "3")
    body = {"take": "sidecar", "expected": "9", "reason": "moved by hand"}
    answer = await client.post(f"{D}/registry/reconcile", json=body, headers=bearer("operator"))
    assert await answer.json() == {
        "deployment": "fraud", "alias": "champion", "from": "9", "to": "3", "written": True, "audit_seq": 8,
    }  # fmt: skip
    assert service.calls == [("reconcile", body | {"actor": "operator-person"})]
    refused = await client.post(f"{D}/registry/reconcile", json=body | {"take": "registry"}, headers=bearer("operator"))
    assert (refused.status, "not known here" in (await refused.json())["detail"]) == (409, True)


async def test_events_are_streamed_as_they_happen_and_the_listener_is_released(serve: Serve) -> None:
    service = FakeService()
    client = await serve(service)
    async with client.get("/v1/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert await answer.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
        while service.queue is None:
            await asyncio.sleep(0)
        service.queue.put_nowait(Event(type="sidecar.promoted", deployment="fraud", at=NOW, says="two\nlines"))
        data = await answer.content.readuntil(b"\n\n")
    event = json.loads(data.removeprefix(b"data: "))
    assert event == {
        "type": "sidecar.promoted",
        "deployment": "fraud",
        "at": "2026-01-01T00:00:00.000Z",
        "says": "two\nlines",
        "id": "",
        "data": {},
    }


async def test_a_head_request_is_answered_without_a_body(serve: Serve) -> None:
    answer = await (await serve(FakeService())).head("/healthz")
    assert (answer.status, await answer.read()) == (200, b"")


async def test_offline_rows_reach_the_service_as_they_were_posted(serve: Serve) -> None:
    service = FakeService()
    client = await serve(service)
    features = {"amount": 1.5, "city": "Paris", "vip": True, "gap": None}
    answer = await client.post(f"{D}/features", json={"rows": [{"request_id": "a", "row": 3, "features": features}]})
    assert await answer.json() == {"compared": 1, "duplicate": 0, "unknown": 0, "ignored_values": 0}
    assert [(row.request_id, row.row, row.features) for row in service.rows] == [("a", 3, features)]


async def test_what_rows_have_shown_and_the_frozen_reference_have_their_members(serve: Serve) -> None:
    service = FakeService(broke=True)
    client = await serve(service)
    skew = await (await client.get(f"{D}/features")).json()
    assert skew["compared"] == 400
    cause = skew["features"][0]["cause"]
    assert (cause["kind"], cause["factor"], cause["offset"], cause["confirmed"]) == ("scaler", 0.01, -2.0, False)
    frozen = await (await client.post(f"{D}/drift/reference", json={"reason": "quiet"})).json()
    assert frozen == {"deployment": "fraud", "at": "2026-01-01T00:00:00.000Z", "rows": 18_240, "audit_seq": 9}
    assert service.calls[-1] == ("freeze", {"actor": "anonymous", "reason": "quiet"})
    assert (await client.post(f"{D}/drift/reference", json={})).status == 400


async def test_an_acknowledged_alarm_says_who_when_and_why(serve: Serve) -> None:
    client = await serve(FakeService(broke=True))
    answer = await client.post("/v1/alarms/fraud-amount-1/acknowledge", json={"reason": "on it"})
    seen = (await answer.json())["acknowledgement"]
    assert seen == {"by": "anonymous", "at": "2026-01-01T00:00:00.000Z", "reason": "on it"}
