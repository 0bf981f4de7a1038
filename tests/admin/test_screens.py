"""The dashboard's forms: what they ask, what they do, what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import Invalid
from sidecar.standing import Divergence, RegistryStatus
from tests.admin.api_ground import TOKENS, Serve, bearer
from tests.admin.fake_reports import EVIDENCE, NOW
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
    assert (done["plan"], sent["plan"]) == (service.plan, service.plan), "done as it was shown, or not at all"
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
        ("approve?challenger=3", "approve", {"reason": "yes"}, ("approve", {"evidence": EVIDENCE, "challenger": "3"})),
        ("withdraw?challenger=3", "withdraw", {"reason": "no"}, ("withdraw", {"challenger": "3", "reason": "no"})),
        ("hold?version=3", "hold", {"reason": "May"}, ("hold", {"version": "3", "held": True, "reason": "May"})),
        ("release?version=3", "release", {"reason": "now"}, ("hold", {"version": "3", "held": False})),
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


@pytest.mark.parametrize(("force", "plan"), [({}, "sha256:" + "9f" * 32), ({"force": "true"}, None)])
async def test_an_override_is_an_admins_rehearsed_told_and_bound_to_what_was_seen(
    serve: Serve, force: dict[str, str], plan: str | None
) -> None:
    service = FakeService()
    client = await serve(service, tokens=TOKENS)
    asked = f"{ONE}/override?challenger=4"
    refused = Page(await (await client.get(asked, headers=bearer("operator"))).text())
    assert "this needs the role admin" in refused.text
    page = Page(await (await client.get(asked, headers=bearer("admin"))).text())
    for said in (
        "past the gates: duration, outcome do not pass.",
        "No watch opens",
        "4 answered a probe just now",
        "Watched for not at all",
        "A rollback goes to 3",
        "of 10 characters or more",
    ):
        assert said in page.text, page.text
    sent = fields(page) | {"reason": "the old one is on fire"} | force
    answer = await client.post(f"{ONE}/override", data=sent, headers=bearer("operator"))
    assert (answer.status, [call["dry_run"] for _, call in service.calls]) == (403, [True])
    answer = await client.post(f"{ONE}/override", data=sent, headers=bearer("admin"), allow_redirects=False)
    assert answer.status == 303
    done = service.calls[-1][1]
    assert (done["dry_run"], done["expected_champion"], done["plan"]) == (False, "3", plan)
    assert (done["force"], done["idempotency_key"]) == (bool(force), sent["key"])
    assert "Overridden: version" in await (await client.get(answer.headers["Location"], headers=bearer("admin"))).text()


async def test_what_cannot_be_agreed_to_says_so_before(serve: Serve) -> None:
    service = FakeService(broke=True)
    nameless = Page(await (await (await serve(service)).get(f"{ONE}/approve?challenger=3")).text())
    assert "An approval is a named person's" in nameless.text
    client = await serve(service, tokens=TOKENS)
    page = Page(await (await client.get(f"{ONE}/approve?challenger=3", headers=bearer("operator"))).text())
    assert "Gate inputs fails: there is nothing to agree to." in page.text
    page = Page(await (await client.get(f"{ONE}/withdraw?challenger=3", headers=bearer("operator"))).text())
    assert "You have given no approval that counts." in page.text
    assert service.calls == []
    assert (await client.get(f"{ONE}/hold?version=9", headers=bearer("operator"))).status == 404


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
