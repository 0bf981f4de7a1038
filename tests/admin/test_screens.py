"""The dashboard's forms: what they ask, what they do, what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import Invalid
from sidecar.standing import Divergence, RegistryStatus
from tests.admin.api_ground import TOKENS, Serve, bearer
from tests.admin.fake_reports import NOW
from tests.admin.fake_service import FakeService
from tests.admin.html_page import Page

ONE = "/deployments/fraud"


def fields(page: Page) -> dict[str, str]:
    """What the page's form would send."""
    return {
        attributes["name"] or "": attributes.get("value") or ""
        for tag, attributes in page.tags
        if tag == "input" and attributes.get("type") == "hidden"
    }


async def test_a_promotion_is_rehearsed_told_and_then_done_once(serve: Serve) -> None:
    service = FakeService(calm=True)
    client = await serve(service)
    page = Page(await (await client.get(f"{ONE}/promote?challenger=4")).text())
    assert "generation goes from 1 to 2" in page.text
    assert "requests in flight end at 3" in page.text
    assert [call["dry_run"] for _, call in service.calls] == [True]
    sent = fields(page)
    answer = await client.post(f"{ONE}/promote", data=sent | {"reason": "better"}, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"{ONE}?done=promote")
    done = service.calls[-1][1]
    assert (done["dry_run"], done["expected_champion"], done["reason"]) == (False, "3", "better")
    assert (done["idempotency_key"], done["force"]) == (sent["key"], False)
    assert "answers callers." in await (await client.get(answer.headers["Location"])).text()


async def test_a_promotion_that_would_be_refused_says_so_with_its_gates_and_again_after_the_try(serve: Serve) -> None:
    client = await serve(FakeService())
    page = Page(await (await client.get(f"{ONE}/promote?challenger=4")).text())
    assert "This will not be done as things stand. Two gates do not pass: duration, outcome." in page.text
    assert "hours of mirrored time" in page.text
    answer = await client.post(f"{ONE}/promote", data=fields(page) | {"reason": "all the <same>"})
    again = Page(await answer.text())
    assert answer.status == 409
    assert "Two gates do not pass" in again.text
    assert "all the <same>" in again.text, "what was typed is not lost"


@pytest.mark.parametrize(
    ("asked", "verb", "sent", "call"),
    [
        ("rollback", "rollback", {"reason": "slow"}, ("rollback", {"to": "3", "force": False, "reason": "slow"})),
        ("rollback", "rollback", {"reason": "x", "force": "true"}, ("rollback", {"to": "3", "force": True})),
        ("shadow?enabled=false", "shadow", {"reason": ""}, ("switch", {"enabled": False})),
        ("shadow?enabled=true", "shadow", {"reason": "go"}, ("switch", {"enabled": True, "reason": "go"})),
        ("acknowledge?alarm=fraud-amount-1", "acknowledge", {"reason": "seen"}, ("acknowledge", {"reason": "seen"})),
        ("reconcile", "reconcile", {"reason": "ours"}, ("reconcile", {"take": "sidecar", "expected": "9"})),
    ],
)
async def test_every_form_does_what_it_says(
    serve: Serve, asked: str, verb: str, sent: dict[str, str], call: tuple[str, dict[str, Any]]
) -> None:
    service = FakeService(broke=True)
    service.registry = RegistryStatus(
        reachable=True, diverged=True, divergence=Divergence(alias="c", registry="9", sidecar="4", since=NOW)
    )
    client = await serve(service, tokens=TOKENS)
    page = Page(await (await client.get(f"{ONE}/{asked}", headers=bearer("operator"))).text())
    assert service.calls == [], "asking does nothing"
    answer = await client.post(
        f"{ONE}/{verb}", data=fields(page) | sent, headers=bearer("operator"), allow_redirects=False
    )
    assert answer.status == 303, await answer.text()
    name, done = service.calls[0]
    assert name == call[0]
    assert done["actor"] == "operator-person"
    assert {key: done[key] for key in call[1]} == call[1]


async def test_who_may_not_act_sees_no_form_and_does_nothing(serve: Serve) -> None:
    service = FakeService(broke=True)
    client = await serve(service, tokens=TOKENS)
    page = Page(await (await client.get(f"{ONE}/rollback", headers=bearer("viewer"))).text())
    assert "this needs the role operator" in page.text
    assert not [tag for tag, attributes in page.tags if tag == "form" and attributes.get("method") == "post"]
    answer = await client.post(f"{ONE}/rollback", data={"reason": "x"}, headers=bearer("viewer"))
    assert (answer.status, service.calls) == (403, [])


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}]
)
async def test_a_form_on_another_sites_page_changes_nothing(serve: Serve, headers: dict[str, str]) -> None:
    service = FakeService(broke=True)
    client = await serve(service)
    answer = await client.post(f"{ONE}/rollback", data={"reason": "x"}, headers=headers)
    assert (answer.status, service.calls) == (403, [])


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"reason=", "application/x-www-form-urlencoded", 400),
        (b"reason=%20", "application/x-www-form-urlencoded", 400),
        (b"reason=" + b"x" * 2_001, "application/x-www-form-urlencoded", 400),
        (b"reason=" + b"x" * 70_000, "application/x-www-form-urlencoded", 400),
        (b"&".join(b"f%d=1" % number for number in range(200)), "application/x-www-form-urlencoded", 400),
        (b'{"reason": "x"}', "application/json", 400),
        (b"reason=x", "text/plain", 400),
    ],
)
async def test_a_form_that_is_none_is_refused(serve: Serve, body: bytes, content_type: str, status: int) -> None:
    service = FakeService(broke=True)
    client = await serve(service)
    answer = await client.post(f"{ONE}/rollback", data=body, headers={"Content-Type": content_type})
    assert (answer.status, service.calls) == (status, [])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/deployments/nix", 404),
        ("/deployments/nix/inputs", 404),
        (f"{ONE}/challengers/99", 404),
        (f"{ONE}/inputs?feature=nix", 404),
        (f"{ONE}/explode", 400),
        (f"{ONE}/rollback", 409),
        (f"{ONE}/inputs?start=-1&against=odd", 200),
        (f"{ONE}/inputs?start=999999999999999", 200),
        ("/audit?before=x", 200),
    ],
)
async def test_what_is_not_there_is_a_page_with_a_sentence(serve: Serve, path: str, status: int) -> None:
    answer = await (await serve(FakeService())).get(path)
    assert (answer.status, answer.content_type) == (status, "text/html")


async def test_a_service_that_is_away_is_told_on_the_page(serve: Serve) -> None:
    service = FakeService()
    service.raises = Invalid("Not <today>.")
    answer = await (await serve(service)).get("/")
    assert answer.status == 400
    assert "Not <today>." in Page(await answer.text()).text
