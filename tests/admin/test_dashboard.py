from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from sidecar.admin.auth import Caller
from sidecar.admin.dashboard import Dashboard
from sidecar.errors import Invalid
from sidecar.reports import ComparisonReport, DriftReport, GateTable, VersionQuality
from sidecar.standing import Acknowledgement, Alarm, ChallengerStatus, DeploymentStatus, Divergence, RegistryStatus
from tests.admin.fake_reports import NOW, alarm, numeric
from tests.admin.fake_service import FakeService
from tests.admin.html_page import Page
from tests.admin.screens_shown import ADMIN, VIEWER, html, screen


@pytest.mark.parametrize(
    ("which", "told"),
    [
        (
            "overview",
            ["fraud needs attention", "Broken input", "Fix the feed, do not retrain.", "Blocked", "1 of 6 moved"],
        ),
        (
            "deployment",
            [
                "amount: live = 0.01 × trained (as when cents become euros)",
                "Fix the feed, do not retrain.",
                "risk-ml@example.com",
                "watched, 19 min left",
                "Roll back to 3 …",
                "1 alarm ended in the last day",
                "Promoted to 4 by alice",
                "never seen 1.4%",
            ],
        ),
        (
            "challenger",
            [
                "Version 3 is blocked by inputs",
                "96.8% of 18,240 pairs",
                "surely 96.1% to 97.4%",
                "106 more h",
                "not sent: queue full 24",
                "failed: timeout 3",
                "on or beside the diagonal",
            ],
        ),
        ("inputs", ["amount", "live = 0.01 × trained", "explains 98.1% of the move, confirmed", "400 rows compared"]),
        ("feature", ["moved since 31 Dec 23:58:25 UTC", "scale", "2.91 nats or more", "by chance 0.0013"]),
        ("outcomes", ["Accuracy", "0.958", "only the challenger was right on 9", "not told apart yet"]),
        ("audit", ["2 entries verified, unbroken", "promote fraud 3 → 4", "the feed team is on it"]),
    ],
)
async def test_the_screens_tell_the_story_of_a_broken_feed(which: str, told: list[str]) -> None:
    page = await screen(FakeService(broke=True), which)
    for said in told:
        assert said in page.text, (said, page.text)


async def test_actions_are_offered_to_those_who_may_and_when_they_can_be() -> None:
    links = (await screen(FakeService(broke=True))).links()
    assert {"/deployments/fraud/rollback", "/deployments/fraud/acknowledge?alarm=fraud-amount-1"} <= links
    assert not [link for link in links if "promote" in link], "the gates do not pass"
    assert "/deployments/fraud/promote?challenger=4" in (await screen(FakeService(calm=True))).links()
    seen = (await screen(FakeService(broke=True), caller=VIEWER)).links()
    assert not [link for link in seen if re.search("promote|rollback|acknowledge|shadow", link)]


async def test_a_watch_shows_until_when_what_it_sees_and_what_would_roll_back() -> None:
    service = FakeService(broke=True)
    page = await screen(service)
    for said in (
        "Version 4 is watched until 1 Jan 00:19:20 UTC, 19 min left",
        "The former champion 3 scores the same requests in the shadow.",
        "Once either test has enough, the sidecar probes 3 and rolls back to it by itself, once.",
        "nothing is judged until that alarm has ended",
        "requests that failed E 0.4 of 200 7 2 18,240 0.10%",
        "rows that were wrong E 61 of 200 31 9 412 0.50%",
    ):
        assert said in page.text, (said, page.text)
    assert "/deployments/fraud/challengers/3" in page.links()
    assert "is watched" not in (await screen(FakeService())).text


async def test_who_agreed_and_what_may_be_said_of_a_version() -> None:
    service = FakeService()
    service.needed, service.mode = 2, "auto"
    asked = "/deployments/fraud/{}?challenger=4"
    page = await screen(service, "challenger")
    assert "Approvals 1 of 2" in page.text
    assert {asked.format("approve"), asked.format("override"), "/deployments/fraud/hold?version=4"} <= page.links()
    service.held = {"4": "ann holds it: not before May"}
    bob = await screen(service, "challenger", Caller("bob", "operator"))
    assert {asked.format("withdraw"), "/deployments/fraud/release?version=4"} <= bob.links()
    assert asked.format("override") not in bob.links(), "an admin's alone"
    assert "does not promote 4 by itself: ann holds it: not before May." in bob.text
    seen = await screen(service, "challenger", VIEWER)
    assert "looks good" in seen.text
    assert not [link for link in seen.links() if re.search("approve|withdraw|override|hold|release", link)]


async def test_gates_are_rehearsed_on_a_challengers_screen_and_not_at_each_look() -> None:
    service, now = FakeService(), NOW
    dashboard = Dashboard(service, lambda: now)
    page = Page(await dashboard.challenger(ADMIN, "fraud", "4"))
    for said in (
        "first have passed at 1 Jan 00:00:00 UTC",
        "Of 2 looks 1 pass, 0 fail, 1 lack data",
        "waits for outcome",
    ):
        assert said in page.text, page.text
    now += 290
    await dashboard.challenger(ADMIN, "fraud", "4")
    assert service.record.asked == [("fraud", "4", None, 7)]
    now += 11
    await dashboard.challenger(ADMIN, "fraud", "4")
    await dashboard.challenger(ADMIN, "fraud", "4", 30)
    assert service.record.asked[1:] == [("fraud", "4", None, 7), ("fraud", "4", None, 30)]


async def test_a_divergence_is_told_with_both_sides_and_our_side_can_be_taken() -> None:
    service = FakeService()
    assert "names version" not in (await screen(service)).text
    service.registry = RegistryStatus(
        reachable=True,
        diverged=True,
        divergence=Divergence(alias="champion", registry="9<b>", sidecar="3", since=NOW - 60),
    )
    page = await screen(service)
    assert "alias champion names version 9<b>; version 3 answers callers here" in page.text
    assert "/deployments/fraud/reconcile" in page.links()
    assert "Registry disagrees" in (await screen(service, "overview")).text
    assert "/deployments/fraud/reconcile" not in (await screen(service, caller=VIEWER)).links()
    service.registry = RegistryStatus(reachable=False, diverged=False, unwritten="alias champion is to be moved")
    assert "The registry was not told yet: alias champion is to be moved" in (await screen(service)).text


async def test_what_made_the_versions_stands_side_by_side() -> None:
    service = FakeService()
    service.lineage = {"3": {"code": "aaa", "metrics.auc": "0.90"}, "4": {"code": "bbb", "metrics.auc": "0.91"}}
    text = (await screen(service)).text
    assert (
        "What made these versions Field 3 champion 4 challenger code differs aaa bbb metrics.auc differs 0.90 0.91"
        in text
    )


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

    for which, part in (
        ("challenger", "gates"),
        ("challenger", "comparison"),
        ("deployment", "drift"),
        ("inputs", "drift"),
        ("outcomes", "quality"),
    ):
        page = await screen(Partly(), which)
        assert f"No {part} today." in page.text
        assert "risk-ml@example.com" in page.text


async def test_a_deployment_at_its_beginning_says_what_is_missing_instead_of_zeros() -> None:
    class Young(FakeService):
        def deployment(self, name: str) -> DeploymentStatus:
            return msgspec.structs.replace(super().deployment(name), challengers=())

        def drift(self, name: str, against: Any) -> DriftReport:
            return msgspec.structs.replace(super().drift(name, "training"), baseline_digest=None, features=())

        def performance(self, name: str) -> tuple[VersionQuality, ...]:
            return ()

    page = await screen(Young())
    for said in ("No version scores in the shadow.", "There is no baseline", "Not watched"):
        assert said in page.text
    assert "No outcome has come yet." in (await screen(Young(), "outcomes")).text


async def test_several_challengers_each_have_a_screen_and_a_place_on_the_others() -> None:
    class Two(FakeService):
        def _against(self, challenger: str | None) -> str:
            return challenger or "4"

        def deployment(self, name: str) -> DeploymentStatus:
            status = super().deployment(name)
            other = ChallengerStatus(version="5", url="http://a:1", fraction=0.1, enabled=False, health="failing")
            return msgspec.structs.replace(status, challengers=(*status.challengers, other))

    page = await screen(Two())
    assert {"/deployments/fraud/challengers/4", "/deployments/fraud/challengers/5"} <= page.links()
    assert "Shadow off" in page.text
    assert "Challenger sick" in page.text
    other = Page(await Dashboard(Two(), lambda: NOW).challenger(ADMIN, "fraud", "5"))
    assert "Gates" in other.text


async def test_features_that_moved_come_first_and_many_quiet_ones_wait_for_a_click() -> None:
    class Wide(FakeService):
        def drift(self, name: str, against: Any) -> DriftReport:
            quiet = [numeric(f"quiet_{index:03}") for index in range(300)]
            moved = numeric("zzz_moved", alarm=True, since=NOW, kl_lower=0.4)
            return msgspec.structs.replace(super().drift(name, "training"), features=(*quiet, moved))

    page = await screen(Wide(), "inputs")
    assert page.text.index("zzz_moved") < page.text.index("quiet_000")
    assert "289 more, none of them moved" in page.text
    assert "/deployments/fraud/inputs?against=training&start=12" in page.links()
    later = Page(Dashboard(Wide(), lambda: NOW).inputs(ADMIN, "fraud", "training", 300))
    assert "quiet_299" in later.text
    assert "zzz_moved" not in later.text


async def test_when_everything_moved_the_pictures_are_still_bounded() -> None:
    class Wild(FakeService):
        def drift(self, name: str, against: Any) -> DriftReport:
            moved = tuple(numeric(f"moved_{index:04}", alarm=True, since=NOW) for index in range(1000))
            return msgspec.structs.replace(super().drift(name, "training"), features=moved)

    for which, pictures in (("inputs", 13), ("deployment", 7)):
        text = await html(Wild(), which)
        assert text.count('class="plot"') == pictures
        assert len(text) < 300_000


async def test_what_the_sidecar_waits_for_is_shown_and_a_persons_words_are_text() -> None:
    class Held(FakeService):
        def deployment(self, name: str) -> DeploymentStatus:
            waits = {"4": "ann holds it: <u>not</u> before May; a person may promote it, or release it"}
            return msgspec.structs.replace(super().deployment(name), automation=waits)

    page = await screen(Held())
    assert "The sidecar by itself, version 4: ann holds it: <u>not</u> before May" in page.text
    assert "u" not in [tag for tag, _ in page.tags]


async def test_one_story_is_one_card_with_what_it_explains() -> None:
    page = await screen(Broken())
    cards = [
        attributes
        for tag, attributes in page.tags
        if tag == "section" and (attributes.get("class") or "").startswith("alarm")
    ]
    assert len(cards) == 1
    assert "and so prediction.shifted: the champion's predictions moved" in page.text


async def test_an_alarm_whose_explanation_is_gone_stands_for_itself() -> None:
    service = Broken()
    service.raised = service.raised[1:]
    assert "prediction.shifted" in (await screen(service)).text


async def test_an_acknowledgement_shows_who_when_and_why() -> None:
    service = Broken()
    seen = Acknowledgement(by="alice", at=NOW - 60, reason="the feed team <b>is</b> on it")
    service.raised = (alarm(acknowledged=True, acknowledgement=seen),)
    page = await screen(service)
    assert "Acknowledged by alice, 31 Dec 23:59:00 UTC: the feed team <b>is</b> on it" in page.text
    assert not [link for link in page.links() if "acknowledge" in link]


async def test_inputs_are_shown_against_training_or_against_live_traffic() -> None:
    for which, says in (("inputs", "in training fraud 4"), ("recent", "No reference is frozen yet")):
        page = await screen(FakeService(broke=True), which)
        chosen = {attributes["href"] for _, attributes in page.tags if attributes.get("aria-current") == "true"}
        assert chosen == {f"/deployments/fraud/inputs?against={'training' if which == 'inputs' else 'recent'}"}
        assert says in page.text


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
