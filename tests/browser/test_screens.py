"""The dashboard in a real Chromium: for everybody, on every screen, with and without a script."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from sidecar.reports import DriftReport
from sidecar.standing import ChallengerStatus, DeploymentStatus
from tests.admin.api_ground import TOKENS
from tests.admin.fake_reports import NOW, numeric
from tests.admin.fake_service import FakeService
from tests.admin.fake_standing import STEPS
from tests.browser.conftest import Open, Serve

ONE = "/deployments/fraud"
SCREENS = (
    "/", ONE, f"{ONE}/challengers/3", f"{ONE}/inputs", f"{ONE}/inputs?feature=amount", f"{ONE}/outcomes", "/audit",
    f"{ONE}/rollback", f"{ONE}/override?challenger=3", f"{ONE}/approve?challenger=3", f"{ONE}/release?version=3",
)  # fmt: skip
PHONE = {"width": 360, "height": 740}


class Wide(FakeService):
    """Fifty features and five challengers."""

    def _against(self, challenger: str | None) -> str:
        return challenger or "4"

    def deployment(self, name: str) -> DeploymentStatus:
        many = tuple(
            ChallengerStatus(
                version=str(number), url="http://127.0.0.1:1", fraction=1.0, enabled=True, health="healthy"
            )
            for number in range(4, 9)
        )
        return msgspec.structs.replace(super().deployment(name), challengers=many)

    def drift(self, name: str, against: Any) -> DriftReport:
        moved = [
            numeric(f"feature_{index:02}", alarm=index < 5, since=NOW, kl_lower=0.01 * index) for index in range(50)
        ]
        return msgspec.structs.replace(super().drift(name, against), features=tuple(moved))


def busy(**options: Any) -> FakeService:
    """Something to see on every screen: a watch, approvals, a hold."""
    service = FakeService(broke=True, **options)
    service.needed, service.mode = 2, "auto"
    service.held = {service.challenger: "ann holds it: not before May"}
    return service


def grave(page: Page) -> list[str]:
    """What axe-core finds that is serious or worse."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:160]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_screen(serve: Serve, open_page: Open, scheme: str) -> None:
    base = serve(busy())
    found = {}
    page = open_page(base, color_scheme=scheme)
    for path in SCREENS:
        page.goto(base + path)
        found[path] = grave(page)
    assert [fault for faults in found.values() for fault in faults] == []


def test_no_screen_is_wider_than_a_phone(serve: Serve, open_page: Open) -> None:
    base = serve(Wide(text="_" + "long" * 20, broke=True))
    page = open_page(base, viewport=PHONE)
    for path in (*SCREENS[:2], *SCREENS[3:4], *SCREENS[5:8]):
        page.goto(base + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], (path, width)


@pytest.mark.parametrize("attack", ["<img src=x onerror=alert(1)>", "'\"><script>alert(1)</script>", "{{7*7}}\u202e"])
def test_hostile_texts_stay_texts(serve: Serve, open_page: Open, attack: str) -> None:
    base = serve(FakeService(broke=True, text=attack))
    page = open_page(f"{base}{ONE}")
    expect(page.get_by_role("heading", level=1)).to_have_text("fraud")
    assert page.locator("main img, main script").count() == 0
    page.get_by_role("link", name="Challenger 3").click()
    expect(page.get_by_role("heading", name="Gates", exact=True)).to_be_visible()
    assert page.locator("main img, main script").count() == 0


def test_a_person_promotes_and_sees_it(serve: Serve, open_page: Open) -> None:
    service = FakeService(calm=True)
    page = open_page(serve(service))
    page.get_by_role("link", name="fraud").first.click()
    page.get_by_role("link", name="Promote 4 …").click()
    expect(page.get_by_role("heading", name="Promote version 4")).to_be_visible()
    page.get_by_role("button", name="Promote 4").click()
    assert page.locator("#reason:invalid").count() == 1, "a reason is asked for"
    page.get_by_label("Reason").fill("better on every outcome")
    page.get_by_role("button", name="Promote 4").click()
    expect(page.get_by_role("status").filter(has_text="Promoted")).to_be_visible()
    assert [call["dry_run"] for _, call in service.calls] == [True, False]
    page.go_back()
    expect(page.get_by_role("heading", name="Promote version 4")).to_be_visible()


def test_no_form_and_no_challenger_is_wider_than_a_phone(serve: Serve, open_page: Open) -> None:
    base = serve(busy(text="_" + "long" * 20))
    page = open_page(base, viewport=PHONE)
    for path in (SCREENS[2], *SCREENS[8:]):
        page.goto(base + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], (path, width)


def test_people_agree_hold_release_and_override(serve: Serve, open_page: Open) -> None:
    service = FakeService()
    service.needed, service.mode = 2, "auto"
    page = open_page(f"{serve(service, tokens=TOKENS)}{ONE}/challengers/4", faulty=True)
    page.get_by_role("textbox", name="Token").fill("secret-admin")
    page.get_by_role("button", name="Open the dashboard").click()
    page.get_by_role("link", name="Approve 4 …").click()
    expect(page.get_by_text("1 person has agreed so far, 2 asked for.")).to_be_visible()
    page.get_by_label("Reason").fill("I have read the gates")
    page.get_by_role("button", name="Approve 4").click()
    expect(page.get_by_role("status").filter(has_text="Your approval is in the audit trail")).to_be_visible()
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("link", name="Hold 4 …").click()
    page.get_by_label("Reason").fill("not before May")
    page.get_by_role("button", name="Hold version 4").click()
    expect(page.get_by_role("status").filter(has_text="will not promote it by itself")).to_be_visible()
    service.held = {"4": "admin-person holds it: not before May"}
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("link", name="Release 4 …").click()
    expect(page.get_by_text("It is kept back now: admin-person holds it: not before May.")).to_be_visible()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Override …").click()
    expect(page.get_by_text("past the gates: duration, outcome do not pass")).to_be_visible()
    page.get_by_label("Reason").fill("too short")
    page.get_by_role("button", name="Override, and promote 4").click()
    assert page.locator("#reason:invalid").count() == 1, "the browser says what an override's reason needs"
    page.get_by_label("Reason").fill("the champion is on fire, all agree")
    page.get_by_role("button", name="Override, and promote 4").click()
    expect(page.get_by_role("status").filter(has_text="Overridden")).to_be_visible()
    assert [name for name, _ in service.calls] == ["approve", "hold", "override", "override"]
    assert (service.calls[-1][1]["plan"], service.calls[-1][1]["actor"]) == (service.plan, "admin-person")


def test_what_is_refused_is_said_where_it_was_asked_and_the_reason_stays(serve: Serve, open_page: Open) -> None:
    page = open_page(f"{serve(FakeService())}{ONE}/promote?challenger=4", faulty=True)
    page.get_by_label("Reason").fill("all the same")
    page.get_by_role("button", name="Promote 4").click()
    expect(page.get_by_role("alert").filter(has_text="Two gates do not pass")).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value("all the same")


def test_everything_works_without_a_script(serve: Serve, open_page: Open) -> None:
    service = FakeService(broke=True)
    page = open_page(serve(service), java_script_enabled=False)
    page.get_by_role("link", name="fraud").first.click()
    page.get_by_role("link", name="Roll back to 3 …").first.click()
    page.get_by_label("Reason").fill("the feed is broken")
    page.get_by_role("button", name="Roll back to 3").click()
    expect(page.get_by_role("status").filter(has_text="Rolled back")).to_be_visible()
    assert service.calls[-1][0] == "rollback"
    page.get_by_role("link", name="Inputs").first.click()
    expect(page.get_by_role("heading", name="Inputs and predictions, the worst first")).to_be_visible()


def test_the_keyboard_alone_is_enough(serve: Serve, open_page: Open) -> None:
    service = FakeService(broke=True)
    page = open_page(f"{serve(service)}{ONE}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    link = page.get_by_role("link", name="Acknowledge …")
    for _ in range(40):
        page.keyboard.press("Tab")
        if link.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("seen")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="acknowledged")).to_be_visible()
    assert service.calls == [("acknowledge", {"actor": "anonymous", "reason": "seen"})]


def test_a_token_is_asked_for_kept_in_the_tab_and_carried_by_links_and_forms(serve: Serve, open_page: Open) -> None:
    service = FakeService(broke=True)
    page = open_page(f"{serve(service, tokens=TOKENS)}{ONE}", faulty=True)
    expect(page.get_by_role("dialog")).to_be_visible()
    assert "amount" not in page.content()
    page.get_by_role("textbox", name="Token").fill("wrong")
    page.get_by_role("button", name="Open the dashboard").click()
    expect(page.get_by_text("This token is not known here.")).to_be_visible()
    page.get_by_role("textbox", name="Token").fill("secret-operator")
    page.get_by_role("button", name="Open the dashboard").click()
    expect(page.get_by_role("heading", name=re.compile("^amount: live = 0.01"))).to_be_visible()
    page.get_by_role("link", name="Roll back to 3 …").first.click()
    page.get_by_label("Reason").fill("the feed is broken")
    page.get_by_role("button", name="Roll back to 3").click()
    expect(page.get_by_role("status").filter(has_text="Rolled back")).to_be_visible()
    assert service.calls[-1][1]["actor"] == "operator-person"
    assert "secret-operator" not in page.url + page.content()


def test_a_screen_follows_what_happens_and_leaves_the_reader_alone(serve: Serve, open_page: Open) -> None:
    service = FakeService()
    service.lineage = {"3": {"code": "aaa"}, "4": {"code": "bbb"}}
    page = open_page(f"{serve(service)}{ONE}")
    page.get_by_text("What made these versions").click()
    expect(page.get_by_role("cell", name="aaa")).to_be_visible()
    service.broke, service.verdict = True, "fail"
    expect(page.get_by_role("heading", name=re.compile("^amount: live = 0.01"))).to_be_visible()
    expect(page.get_by_role("cell", name="aaa")).to_be_visible()


def test_fifty_features_and_five_challengers_do_not_stutter(serve: Serve, open_page: Open) -> None:
    page = open_page(f"{serve(Wide(broke=True))}{ONE}")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? performance.now()")
    started = page.evaluate("performance.now()")
    page.get_by_role("link", name="Inputs").first.click()
    expect(page.get_by_role("heading", name="Inputs and predictions, the worst first")).to_be_visible()
    went = page.evaluate("performance.now()") - started
    assert paint < 10_000, "300 ms on a quiet machine"
    assert went < 10_000, "100 ms on a quiet machine"
    assert page.locator("*").count() < 2_500


def test_a_person_begins_a_canary_sees_its_steps_and_takes_it_back(serve: Serve, open_page: Open) -> None:
    service = FakeService(calm=True)
    service.steps = STEPS
    page = open_page(f"{serve(service)}{ONE}", viewport=PHONE)
    page.get_by_role("link", name="Begin 4 as canary …").click()
    page.get_by_label("Reason").fill("a few first")
    page.get_by_role("button", name="Begin with 5.0%").click()
    expect(page.get_by_role("status").filter(has_text="The canary has begun")).to_be_visible()
    steps = page.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps).to_have_count(len(STEPS) + 1)
    expect(page.locator("[aria-current=step]")).to_contain_text("5.0%")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert grave(page) == []
    page.get_by_role("link", name="Take all requests back …").click()
    page.get_by_label("Reason").fill("enough seen")
    page.get_by_role("button", name="Take them back").click()
    expect(page.get_by_role("status").filter(has_text="Version 3 answers every request again")).to_be_visible()
    assert page.get_by_role("list", name="Steps").count() == 0
