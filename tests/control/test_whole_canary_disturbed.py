"""A canary through a real control while other things happen: people, full disks, settings, another model's name."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sidecar.control.canarying import Canarying
from sidecar.errors import Unavailable
from tests.control.canary_ground import (
    AUTO,
    BEGIN,
    MANUAL,
    Begin,
    actions,
    begin,
    canary,
    gone,
    passing,
    routed,
    served,
    traffic,
)
from tests.control.whole_control import ONE, Json, Stage, metrics

__all__ = ["begin"]
ABORT: Json = {"abort": True, "reason": "enough seen"}
HOLD: Json = {"version": "4", "held": True, "reason": "not on a Friday"}


async def waiting(stage: Stage, n: int) -> None:
    """So many verbs wait for the deployment's turn."""
    turn = stage.control._controller.turns.of("fraud")

    async def there() -> bool:
        return len(turn._waiters or ()) >= n

    await stage.until(there)


async def held_back(stage: Stage, says: str) -> None:
    """What the machine says of the version, once it says that."""

    async def there() -> bool:
        return says in (await stage.get(ONE))["automation"].get("4", "")

    await stage.until(there)


@pytest.mark.parametrize("path", ["canary", "rollback", "hold"])
async def test_what_a_person_has_said_first_the_machine_does_not_undo(begin: Begin, path: str) -> None:
    async with begin(AUTO) as stage:
        traffic(stage)
        await canary(stage, 1)
        served(stage, 10_000)
        await canary(stage, 2)
        body = {"canary": ABORT, "rollback": {"reason": "enough seen"}, "hold": HOLD}[path]
        async with stage.control._controller.turns.of("fraud"):
            said = asyncio.create_task(stage.post(f"{ONE}/{path}", body))
            await waiting(stage, 1)
            # The machine has judged that every step has passed, and its promotion stands in the line behind.
            served(stage, 20_000)
            await waiting(stage, 2)
        await said
        await held_back(stage, "anonymous holds it" if path == "hold" else "as canary it was stopped by anonymous")
        assert (await stage.get(ONE))["champion"]["version"] == "3"
        assert "promote" not in {action for action, _ in await actions(stage)}


async def test_a_hold_that_came_first_keeps_the_machine_from_beginning_one(begin: Begin) -> None:
    async with begin(AUTO) as stage:
        async with stage.control._controller.turns.of("fraud"):
            said = asyncio.create_task(stage.post(f"{ONE}/hold", HOLD))
            await waiting(stage, 1)
            traffic(stage)
            await waiting(stage, 2)
        await said
        await held_back(stage, "anonymous holds it")
        assert await actions(stage) == [("hold", "anonymous")]


async def test_an_end_that_the_disk_could_not_take_is_not_undone_when_it_can(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with begin(AUTO) as stage:
        traffic(stage)
        await canary(stage, 1)
        store = stage.control._store
        written = store.transition

        async def full(*_: Any, **__: Any) -> Any:
            raise Unavailable("no space left on device")

        monkeypatch.setattr(store, "transition", full)
        done = await stage.post(f"{ONE}/canary", ABORT)
        assert done["audit_seq"] is None
        await routed(stage, 0.0)

        async def refused() -> bool:
            return "cannot be written" in (await stage.get(ONE))["automation"].get("4", "")

        await stage.until(refused)
        monkeypatch.setattr(store, "transition", written)
        await held_back(stage, "as canary it was stopped by anonymous")
        assert await actions(stage) == [("canary_start", "sidecar"), ("canary_stop", "anonymous")]
        assert (await stage.get("/v1/audit/verify"))["ok"]


async def test_a_version_that_was_taken_out_of_the_shadow_can_still_be_asked_about(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with begin(MANUAL, baseline=None) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        look, looked = Canarying.look, asyncio.Event()

        async def late(*asked: Any) -> str:
            await looked.wait()
            return await look(*asked)

        monkeypatch.setattr(Canarying, "look", late)
        await stage.call("DELETE", f"{ONE}/challengers/4", {"reason": "it is of no use"})
        await routed(stage, 0.0)
        # Until the machine has looked, it stands as it stood, and answers nothing.
        assert (await stage.get(ONE))["canary"]["weight"] == 0.0
        assert "the settings name it no longer" in (await stage.get(f"{ONE}/canary"))["waits"]
        weights = {key: value for key, value in (await metrics(stage)).items() if key[0] == "sidecar_canary_weight"}
        assert set(weights.values()) <= {0.0}
        looked.set()
        await gone(stage)


async def test_none_begins_while_the_shadow_is_switched_off(begin: Begin) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/shadow", {"enabled": False})
        refused = await stage.post(f"{ONE}/canary", BEGIN, 409)
        assert "shadow work is switched off" in refused["detail"]
        await stage.post(f"{ONE}/shadow", {"enabled": True})
        await stage.post(f"{ONE}/canary", BEGIN)


async def test_a_dry_run_of_an_end_ends_nothing(begin: Begin) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        told = await stage.post(f"{ONE}/canary", ABORT | {"dry_run": True})
        assert (told["dry_run"], told["weight"], told["audit_seq"]) == (True, 0.0, None)
        assert (await stage.get(ONE))["canary"]["weight"] == 0.1
        assert len(await actions(stage)) == 1


async def test_another_model_under_the_same_number_is_taken_back(begin: Begin) -> None:
    # It never passed a gate: what passed them is what the registry called by this number before.
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        stage.control._watches.known["fraud"].evidence.forget(["4"], 0.0)
        status = await gone(stage)
        assert status["champion"]["version"] == "3"
        entry = (await stage.get("/v1/audit?after=2"))["entries"][0]
        assert "another model" in entry["reason"]


async def test_a_request_that_it_answered_tells_who_had_it_answer_whatever_came_later(begin: Begin) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        begun = await stage.post(f"{ONE}/canary", BEGIN)
        served(stage, 10_000, requests=50)

        async def kept() -> Json:
            found: Json = await stage.get("/v1/decisions/id-10049")
            return found

        async def there() -> bool:
            async with stage.session.get(f"{stage._url}/v1/decisions/id-10049") as answer:
                return answer.status == 200

        await stage.until(there)
        before = await kept()
        assert (before["version"], before["champion"]["version"]) == ("4", "4")
        assert (before["champion"]["audit_seq"], before["champion"]["until"]) == (begun["audit_seq"], None)
        assert before["champion"]["canary"] is True
        await stage.post(f"{ONE}/override", {"challenger": "4", "reason": "the champion leaks"})
        after = await kept()
        assert after["champion"]["audit_seq"] == begun["audit_seq"]
        assert after["champion"]["until"] is not None
        assert after["champion"]["reason"] == "a few first"
        # Of the champion's own requests nothing is said of a canary.
        assert (await stage.get("/v1/decisions/id-0"))["champion"]["canary"] is False


async def test_what_moves_the_champion_says_how_far_its_canary_had_come(begin: Begin) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        served(stage, 10_000)
        await canary(stage, 2)
        await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "it is good enough"})
        entry = (await stage.get("/v1/audit?after=3"))["entries"][0]
        assert json.loads(entry["details"])["canary"] == {"version": "4", "step": 2, "steps": 2, "weight": 0.5}
        report = await stage.text(f"{ONE}/transitions/{entry['seq']}/report?format=markdown")
        assert "version 4 had answered 50.00 % of the requests, at step 2 of 2" in report
        assert "a canary began, of version 4, 10.00 % of the requests, by anonymous: a few first" in report
        assert "a canary took its next step, of version 4, 50.00 % of the requests, by sidecar" in report
        begun = await stage.text(f"{ONE}/transitions/2/report?format=markdown")
        assert "10.00 % of the requests, at step 1 of 2" in begun
        assert "by sidecar (entry 3)" in begun
        assert (await stage.get("/v1/audit/verify"))["ok"]
