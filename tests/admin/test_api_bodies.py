"""What the admin API takes in bodies, headers and queries: hostile ones change nothing."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from tests.admin.api_ground import PROMOTE, D, Serve
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService

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
