from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from sidecar.admin.api import build_app
from sidecar.admin.auth import Caller, auth_token
from sidecar.admin.dashboard import Dashboard, static_file
from sidecar.errors import Invalid
from sidecar.reports import ComparisonReport, DriftReport, GateTable, VersionQuality
from sidecar.standing import Acknowledgement, Alarm, ChallengerStatus, DeploymentStatus, Divergence, RegistryStatus
from tests.admin.fake_reports import NOW, alarm, numeric
from tests.admin.fake_service import FakeService

ADMIN = Caller("anonymous", "admin")
VIEWER = Caller("vera", "viewer")
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "path", "rect", "line", "circle"}


class Page(HTMLParser):
    """Collects tags and attributes, and fails on a tag that was never closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.extend(data.split())

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def buttons(self) -> dict[str | None, dict[str, str | None]]:
        return {attributes["data-verb"]: attributes for tag, attributes in self.tags if "data-verb" in attributes}


async def fragment(service: FakeService, caller: Caller = ADMIN) -> Page:
    return Page(await Dashboard(service, lambda: NOW).fragment(caller))


async def test_the_page_tells_the_story_of_a_broken_feed() -> None:
    page = await fragment(FakeService(broke=True))
    for said in (
        "1 open alarm",
        "amount: live = 0.01 × trained (as when cents become euros)",
        "Fix the feed, do not retrain.",
        "owner risk-ml@example.com",
        "watching, 19 min left",
        "Blocked by inputs; duration, outcome still need more data.",
        "96.8% agree on labels",
        "96.1% to 97.4%, required 90.0%",
        "dropped: queue full 24",
        "failed: timeout 3",
        "explains 98.1% of the move, confirmed",
        "2 entries verified",
        "1 alarm ended in the last day",
        "never seen 1.4%",
    ):
        assert said in page.text, said


async def test_buttons_say_what_will_happen_and_only_those_who_may_press_them_see_them() -> None:
    buttons = (await fragment(FakeService(broke=True))).buttons()
    assert set(buttons) == {"promote", "rollback", "acknowledge"}
    assert "New requests go to 3; requests in flight end at 4." in (buttons["rollback"]["data-says"] or "")
    assert "disabled" in buttons["promote"]
    assert (await fragment(FakeService(broke=True), VIEWER)).buttons() == {}


async def test_a_divergence_is_told_with_both_sides_and_our_side_can_be_taken() -> None:
    service = FakeService()
    assert "names version" not in (await fragment(service)).text
    service.registry = RegistryStatus(
        reachable=True,
        diverged=True,
        divergence=Divergence(alias="champion", registry="9<b>", sidecar="3", since=NOW - 60),
    )
    page = await fragment(service)
    assert "alias champion names version 9<b>; version 3 answers callers here." in page.text
    button = page.buttons()["reconcile"]
    assert (button["data-expected"], button["data-deployment"]) == ("9<b>", "fraud")
    assert "reconcile" not in (await fragment(service, VIEWER)).buttons()
    service.registry = RegistryStatus(reachable=False, diverged=False, unwritten="alias champion is to be moved")
    assert "The registry was not told yet: alias champion is to be moved" in (await fragment(service)).text


async def test_what_made_the_versions_stands_side_by_side() -> None:
    service = FakeService()
    service.lineage = {"3": {"code": "aaa", "metrics.auc": "0.90"}, "4": {"code": "bbb", "metrics.auc": "0.91"}}
    text = (await fragment(service)).text
    assert (
        "What made these versions Field 3 champion 4 challenger code differs aaa bbb metrics.auc differs 0.90 0.91"
        in text
    )


async def test_promotion_is_offered_once_every_gate_passes() -> None:
    promote = (await fragment(FakeService(calm=True))).buttons()["promote"]
    assert "disabled" not in promote
    assert (promote["data-challenger"], promote["data-champion"]) == ("4", "3")


ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 191 }}{% raw %}",
    "</title></svg><style>*{display:none}</style>",
    "\u202e\x00<b>",
]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_hostile_texts_are_shown_and_never_become_markup(attack: str) -> None:
    calm, hostile = await fragment(FakeService(broke=True)), await fragment(FakeService(broke=True, text=attack))
    assert [(tag, sorted(attributes)) for tag, attributes in hostile.tags] == [
        (tag, sorted(attributes)) for tag, attributes in calm.tags
    ]
    assert "1337" not in hostile.text


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_hostile_deployment_name_is_shown_and_never_becomes_markup(attack: str) -> None:
    page = await fragment(FakeService(name=attack))
    assert not {"script", "img", "style"} & {tag for tag, _ in page.tags}
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)


async def test_nothing_inline_and_no_other_host() -> None:
    html = await Dashboard(FakeService(broke=True), lambda: NOW).page(ADMIN, asks=False)
    page = Page(html.removeprefix("<!doctype html>"))
    for tag, attributes in page.tags:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "style"
        for name in ("src", "href"):
            assert re.match(r"[/#]", attributes.get(name) or "/")
        if tag == "script":
            assert attributes["src"] == "/static/dashboard.js"


async def test_without_a_token_the_page_is_a_frame_that_asks(aiohttp_client: Any) -> None:
    app = build_app(
        FakeService(broke=True), tokens=[auth_token("vera", "viewer", "s")], metrics_text=bytes, metrics_open=True
    )
    client = await aiohttp_client(app)
    frame = await (await client.get("/")).text()
    assert "data-asks" in frame
    assert "amount" not in frame
    assert "amount" in await (await client.get("/", headers={"Authorization": "Bearer s"})).text()


async def test_a_part_that_the_service_refuses_shows_its_sentence_and_the_rest_stands() -> None:
    class Partly(FakeService):
        def gates(self, name: str, challenger: str | None) -> GateTable:
            raise Invalid("No gates today.")

        def comparison(self, name: str, challenger: str | None) -> ComparisonReport:
            raise Invalid("No comparison today.")

        def drift(self, name: str, against: Any) -> DriftReport:
            raise Invalid("No drift today.")

        def performance(self, name: str) -> tuple[VersionQuality, ...]:
            raise Invalid("No quality today.")

    page = await fragment(Partly())
    for part in ("gates", "comparison", "drift", "quality"):
        assert f"No {part} today." in page.text
    assert "answers callers for" in page.text


async def test_a_deployment_at_its_beginning_says_what_is_missing_instead_of_zeros() -> None:
    class Young(FakeService):
        def deployment(self, name: str) -> DeploymentStatus:
            return msgspec.structs.replace(super().deployment(name), challengers=())

        def drift(self, name: str, against: Any) -> DriftReport:
            return msgspec.structs.replace(super().drift(name, "training"), baseline_digest=None, features=())

        def performance(self, name: str) -> tuple[VersionQuality, ...]:
            return ()

    page = await fragment(Young())
    for said in ("No version scores in the shadow.", "There is no baseline", "No outcome has come yet."):
        assert said in page.text


async def test_several_challengers_each_have_their_gates_and_comparison() -> None:
    class Two(FakeService):
        def _against(self, challenger: str | None) -> str:
            return challenger or "4"

        def deployment(self, name: str) -> DeploymentStatus:
            status = super().deployment(name)
            other = ChallengerStatus(version="5", url="http://a:1", fraction=0.1, enabled=False, health="failing")
            return msgspec.structs.replace(status, challengers=(*status.challengers, other))

    page = await fragment(Two())
    assert "Gates 4 against 3" in page.text
    assert "Gates 5 against 3" in page.text
    assert "shadow off" in page.text


async def test_features_that_moved_come_first_and_many_quiet_ones_fold_away() -> None:
    class Wide(FakeService):
        def drift(self, name: str, against: Any) -> DriftReport:
            quiet = [numeric(f"quiet_{index:03}") for index in range(300)]
            moved = numeric("zzz_moved", alarm=True, since=NOW, kl_lower=0.4)
            return msgspec.structs.replace(super().drift(name, "training"), features=(*quiet, moved))

    page = await fragment(Wide())
    assert page.text.index("zzz_moved") < page.text.index("quiet_000")
    assert "289 more, none of them moved" in page.text


async def test_when_everything_moved_the_pictures_are_still_bounded() -> None:
    class Wild(FakeService):
        def drift(self, name: str, against: Any) -> DriftReport:
            moved = tuple(numeric(f"moved_{index:04}", alarm=True, since=NOW) for index in range(1000))
            return msgspec.structs.replace(super().drift(name, "training"), features=moved)

    html = await Dashboard(Wild(), lambda: NOW).fragment(ADMIN)
    assert html.count('class="plot"') == 37
    assert "964 more, 964 of them moved" in Page(html).text
    assert len(html) < 1_000_000


async def test_the_trail_is_verified_at_most_once_a_minute_and_shows_what_came_since() -> None:
    service = FakeService(broke=True)
    now = NOW
    dashboard = Dashboard(service, lambda: now)
    first = await dashboard.fragment(ADMIN)
    assert "the feed team is on it" in first  # the third entry, though the check counted two
    now += 59
    await dashboard.fragment(ADMIN)
    assert service.verified == 1
    now += 1
    await dashboard.fragment(ADMIN)
    assert service.verified == 2


@pytest.mark.parametrize("name", ["api.py", "../api.py", "", "dashboard.css/..", "page.html.j2"])
def test_only_the_pages_own_files_are_served(name: str) -> None:
    assert static_file(name) is None


async def test_a_static_file_that_did_not_change_is_not_sent_again(aiohttp_client: Any) -> None:
    app = build_app(FakeService(), tokens=(), metrics_text=bytes, metrics_open=True)
    client = await aiohttp_client(app)
    first = await client.get("/static/dashboard.css")
    again = await client.get("/static/dashboard.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status, again.status, await again.read()) == (200, 304, b"")


async def test_one_story_is_one_card_with_what_it_explains() -> None:
    service = Broken()
    page = await fragment(service)
    cards = [
        attributes for tag, attributes in page.tags if tag == "section" and "alarm" in (attributes.get("class") or "")
    ]
    assert len(cards) == 1
    assert "prediction.shifted the champion's predictions moved" in page.text
    assert "1 open alarm" in page.text


async def test_an_alarm_whose_explanation_is_gone_stands_for_itself() -> None:
    service = Broken()
    service.raised = service.raised[1:]
    assert "prediction.shifted" in (await fragment(service)).text


async def test_an_acknowledgement_shows_who_when_and_why() -> None:
    service = Broken()
    seen = Acknowledgement(by="alice", at=NOW - 60, reason="the feed team <b>is</b> on it")
    service.raised = (alarm(acknowledged=True, acknowledgement=seen),)
    page = await fragment(service)
    assert "Acknowledged by alice, 31 Dec 23:59:00 UTC: the feed team <b>is</b> on it" in page.text
    assert "acknowledge" not in page.buttons()


async def test_inputs_are_shown_against_training_or_against_live_traffic() -> None:
    dashboard = Dashboard(FakeService(broke=True), lambda: NOW)
    for against, says in (("training", "trained (fraud 4)"), ("recent", "No reference is frozen yet")):
        page = Page(await dashboard.fragment(ADMIN, against))  # type: ignore[arg-type]
        pressed = {
            attributes["data-against"] for tag, attributes in page.tags
            if "data-against" in attributes and attributes["aria-pressed"] == "true"
        }  # fmt: skip
        assert pressed == {against}
        assert says in page.text


async def test_rows_of_two_pipelines_are_a_table_where_any_were_compared() -> None:
    assert "Rows as two pipelines wrote them" not in (await fragment(FakeService())).text
    page = await fragment(FakeService(broke=True, text="<i>"))
    assert "400 rows compared" in page.text
    assert "amount<i>" in page.text


class Broken(FakeService):
    """One broken feature, and the shift that it explains."""

    def __init__(self) -> None:
        super().__init__(broke=True)
        shifted = alarm(
            id="shift", kind="prediction.shifted", severity="info", says="the champion's predictions moved",
            explained_by="fraud-amount-1",
        )  # fmt: skip
        self.raised: tuple[Alarm, ...] = (alarm(), shifted)

    def alarms(self) -> tuple[Alarm, ...]:
        return self.raised
