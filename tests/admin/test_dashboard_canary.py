"""A canary on the dashboard: where it stands, what its step waits for, and the forms that begin and end one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.canary import CanaryStatus
from sidecar.standing import DeploymentStatus
from tests.admin.api_ground import TOKENS, Serve, bearer
from tests.admin.fake_reports import EVIDENCE
from tests.admin.fake_service import FakeService
from tests.admin.fake_standing import STEPS
from tests.admin.screens_shown import VIEWER, html, screen

ONE = "/deployments/fraud"


class Away(FakeService):
    """The settings do not name the canary any more."""

    def canary(self, name: str) -> CanaryStatus:
        return msgspec.structs.replace(super().canary(name), weight=0.0, gates=())


def trying(service: FakeService | None = None, **options: Any) -> FakeService:
    service = service or FakeService(**options)
    service.steps, service.trying = STEPS, True
    return service


async def test_it_has_a_panel_with_its_steps_and_what_the_present_one_waits_for() -> None:
    page = await screen(trying())
    text = " ".join(page.text.split())
    assert "Version 4 answers 5.0% of the requests as canary" in text
    assert "5.0% 1 h, 500 rows 25.0% 1 h, 500 rows 50.0% 2 h, 2,000 rows 100% by a person" in text
    assert "Step 1 of 3 goes on until duration, outcome pass" in text
    assert "Step 1 of 3 has passed every gate. step 1 of 2." in " ".join((await screen(trying(calm=True))).text.split())
    assert "by itself, version 4" not in text
    assert "Take all requests back …" in text


async def test_who_only_looks_is_offered_no_end_and_no_beginning() -> None:
    assert "/abort" not in await html(trying(), "deployment", VIEWER)
    calm = FakeService(calm=True)
    calm.steps = STEPS
    assert "/canary?" not in await html(calm, "deployment", VIEWER)


async def test_one_that_is_asked_for_nothing_says_why() -> None:
    text = (await screen(trying(Away()))).text
    assert "the settings do not name it as it began" in text
    assert "Nothing is judged yet." in text


@pytest.mark.parametrize("which", ["deployment", "challenger"])
async def test_a_beginning_is_offered_where_there_are_steps_and_the_gates_pass(which: str) -> None:
    service = FakeService(calm=True)
    assert "/canary?challenger=4" not in await html(service, which)
    service.steps = STEPS
    assert "/canary?challenger=4" in await html(service, which)
    service.trying = True
    assert "/canary?challenger=4" not in await html(service, which)
    waiting = FakeService()
    waiting.steps = STEPS
    assert "/canary?challenger=4" not in await html(waiting, which)


async def test_a_beginning_is_rehearsed_and_bound_to_what_its_page_has_shown(serve: Serve) -> None:
    service = FakeService(calm=True)
    service.steps = STEPS
    ground = await serve(service)
    async with ground.get(f"{ONE}/canary?challenger=4") as shown:
        page = await shown.text()
    assert "answers 5.0% of the requests, then 25.0%, 50.0%; 3 stays the champion" in page
    assert f'name="evidence" value="{EVIDENCE}"' in page
    form = {"challenger": "4", "champion": "3", "evidence": EVIDENCE, "key": "k" * 32, "reason": "a few first"}
    async with ground.post(f"{ONE}/canary", data=form, allow_redirects=False) as done:
        assert done.status == 303
    rehearsed, begun = (call for name, call in service.calls if name == "start_canary")
    assert (rehearsed["dry_run"], begun["dry_run"]) == (True, False)
    assert (begun["expected_champion"], begun["evidence"], begun["reason"]) == ("3", EVIDENCE, "a few first")
    assert begun["idempotency_key"] == "k" * 32


async def test_an_end_is_told_and_bound_to_the_version(serve: Serve) -> None:
    service = trying()
    ground = await serve(service)
    async with ground.get(f"{ONE}/abort") as shown:
        page = await shown.text()
    assert "Version 3 answers every new request" in page
    assert 'name="challenger" value="4"' in page
    form = {"challenger": "4", "key": "k" * 32, "reason": "enough seen"}
    async with ground.post(f"{ONE}/abort", data=form, allow_redirects=False) as done:
        assert done.status == 303
    ((name, call),) = service.calls
    assert (name, call["version"], call["reason"], call["idempotency_key"]) == (
        "stop_canary", "4", "enough seen", "k" * 32,
    )  # fmt: skip
    async with ground.get(f"{ONE}/abort") as shown:
        assert "there is nothing to take back" in await shown.text()


async def test_what_cannot_begin_says_so_before_and_after_the_try(serve: Serve) -> None:
    service = FakeService()
    service.steps = STEPS
    ground = await serve(service)
    async with ground.get(f"{ONE}/canary?challenger=4") as shown:
        assert "This will not be done as things stand." in await shown.text()
    async with ground.post(f"{ONE}/canary", data={"challenger": "4", "reason": "a few first"}) as done:
        assert "gate errors says insufficient" in await done.text()
    assert not service.trying


@pytest.mark.parametrize("verb", ["canary", "abort"])
async def test_they_are_an_operators(serve: Serve, verb: str) -> None:
    service = trying()
    ground = await serve(service, tokens=TOKENS)
    form = {"challenger": "4", "reason": "a few first"}
    async with ground.post(f"{ONE}/{verb}", data=form, headers=bearer("viewer")) as refused:
        assert refused.status == 403
    assert service.calls == []


@pytest.mark.parametrize("verb", ["promote?challenger=4", "override?challenger=4", "rollback?to=3"])
async def test_what_moves_the_champion_says_that_it_ends_the_canary(serve: Serve, verb: str) -> None:
    class Former(FakeService):
        def deployment(self, name: str) -> DeploymentStatus:
            return msgspec.structs.replace(super().deployment(name), previous="2")

    ground = await serve(trying(Former()))
    async with ground.get(f"{ONE}/{verb}") as shown:
        assert "Version 4 is no canary any more; it was at step 1 of 3, 5.0% of the requests." in await shown.text()
