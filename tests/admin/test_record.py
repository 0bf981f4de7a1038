"""The record's routes: what they answer, in which form, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin.api_ground import TOKENS, D, Serve, bearer
from tests.admin.fake_record import HASH
from tests.admin.fake_service import FakeService

GATES = {"pairs": {"min": 10}, "latency": "off"}
BETWEEN = "from=2026-01-30T12:00:00Z&to=2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        ("text/html,application/xhtml+xml", "", "text/html; charset=utf-8"),
        ("*/*", "", "text/markdown; charset=utf-8"),
        ("", "", "text/markdown; charset=utf-8"),
        ("text/html", "?format=markdown", "text/markdown; charset=utf-8"),
        ("*/*", "?format=html", "text/html; charset=utf-8"),
        ("application/json, application/problem+json", "?format=html", "application/json"),
    ],
)
async def test_a_report_comes_in_the_form_that_was_asked(serve: Serve, accept: str, query: str, kind: str) -> None:
    service = FakeService()
    client = await serve(service)
    answer = await client.get(f"{D}/transitions/3/report{query}", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == kind
    assert service.record.asked[0][:2] == ("fraud", 3)


async def test_a_reports_page_may_load_nothing(serve: Serve) -> None:
    client = await serve(FakeService())
    answer = await client.get(f"{D}/transitions/latest/report", headers={"Accept": "text/html"})
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "script" not in await answer.text()


async def test_the_head_and_its_check_fit_together(serve: Serve) -> None:
    client = await serve(FakeService())
    head = await (await client.get("/v1/audit/head")).json()
    assert head["hash"] == HASH
    assert (await (await client.post("/v1/audit/verify", json=head)).json())["ok"] is True
    other = await client.post("/v1/audit/verify", json=head | {"hash": "sha256:0"})
    assert "is not the one" in (await other.json())["fault"]
    assert (await client.post("/v1/audit/verify", json={"seq": 3})).status == 400


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({}, ("fraud", None, None, 7)),
        ({"days": 30, "challenger": "4"}, ("fraud", "4", None, 30)),
        (
            {"gates": {"pairs": {"min": 10}, "latency": "off"}},
            ("fraud", None, {"pairs": {"min": 10}, "latency": "off"}, 7),
        ),
    ],
)
async def test_gates_are_rehearsed_as_they_were_posted(
    serve: Serve, body: dict[str, Any], asked: tuple[Any, ...]
) -> None:
    service = FakeService()
    client = await serve(service)
    found = await (await client.post(f"{D}/gates/rehearsal", json=body)).json()
    assert service.record.asked == [asked]
    (one,) = found["challengers"]
    times = [found["since"], found["until"], found["kept_since"], one["first_pass"], one["items"][0]["at"]]
    assert all(time.endswith("Z") for time in [*times, found["moves"][0]["at"]])
    assert (one["promoted"], found["moves"][0]["to"], one["gates"]["pairs"]) == (None, "3", {"pass": 2})


@pytest.mark.parametrize("body", [{"days": 0}, {"days": 93}, {"days": "7"}, {"gates": []}, {"gate": {}}, []], ids=str)
async def test_a_rehearsal_of_what_is_none_is_refused(serve: Serve, body: object) -> None:
    client = await serve(FakeService())
    assert (await client.post(f"{D}/gates/rehearsal", json=body)).status == 400
    assert (await client.get(f"{D}/gates/rehearsal?days=0")).status == 400


async def test_times_of_the_record_are_rfc_3339(serve: Serve) -> None:
    client = await serve(FakeService())
    cost = await (await client.get(f"{D}/cost?{BETWEEN}")).json()
    letters = await (await client.get("/v1/events/dead-letters")).json()
    times = [cost["since"], cost["until"], cost["kept_since"], cost["champions"][0]["since"]]
    times.append(letters["items"][0]["given_up"])
    assert all(time.endswith("Z") and "T" in time for time in times), times
    assert (cost["pairs"][0]["disagreements"], letters["dead"], letters["waiting"]) == (2, 1, 2)


async def test_who_sends_again_is_told_to_the_record(serve: Serve) -> None:
    service = FakeService()
    client = await serve(service, tokens=TOKENS)
    path = "/v1/events/dead-letters/7/resend"
    answer = await client.post(path, json={"reason": "back"}, headers=bearer("operator"))
    assert answer.status == 200
    assert service.record.asked == [(7, "operator-person", "back")]


@pytest.mark.parametrize("letter", ["8", "x", "-1", "7.0", "9" * 40])
async def test_a_letter_that_is_not_there_is_said(serve: Serve, letter: str) -> None:
    client = await serve(FakeService())
    answer = await client.post(f"/v1/events/dead-letters/{letter}/resend", json={"reason": "back"})
    assert answer.status == 404
