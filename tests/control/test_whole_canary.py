"""A canary through a real control: begun by a person or the machine, judged step by step, taken back at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sidecar.decide import canary as canary_rules
from sidecar.errors import Unavailable
from tests.control.canary_ground import (
    AUTO,
    BEGIN,
    MANUAL,
    Begin,
    actions,
    begin,
    canary,
    copied,
    gone,
    passing,
    routed,
    served,
    traffic,
)
from tests.control.live_samples import shadow_counts, worker_counts
from tests.control.test_whole_automation import SOON
from tests.control.whole_control import ONE, ROWS, Json, metrics

__all__ = ["begin"]


async def test_a_person_begins_one_its_steps_pass_and_a_person_promotes_it(begin: Begin) -> None:
    async with begin(MANUAL) as stage:
        refused = await stage.post(f"{ONE}/canary", BEGIN, 409)
        assert {gate["verdict"] for gate in refused["gates"]} >= {"insufficient"}
        await passing(stage)
        dry = await stage.post(f"{ONE}/canary", BEGIN | {"dry_run": True})
        assert (dry["dry_run"], dry["weight"], dry["audit_seq"]) == (True, 0.1, None)
        assert (await stage.get(ONE))["state"] == "steady"
        done = await stage.post(f"{ONE}/canary", BEGIN, headers={"Idempotency-Key": "k1"})
        assert (done["from"], done["to"], done["weight"], done["generation"]) == ("3", "4", 0.1, 1)
        assert await stage.post(f"{ONE}/canary", BEGIN, headers={"Idempotency-Key": "k1"}) == done
        await stage.post(f"{ONE}/canary", BEGIN, 409)
        assert stage.worker.tables[-1].routes[0].canary is not None
        status = await stage.get(ONE)
        assert (status["state"], status["champion"]["version"]) == ("canary", "3")
        standing = await canary(stage, 1)
        assert (standing["weight"], standing["verdict"], len(standing["steps"])) == (0.1, "insufficient", 2)
        assert (await metrics(stage))["sidecar_canary_weight", "challenger=4,deployment=fraud"] == 0.1
        # The shadow's requests are no evidence of the step; those that it answered are.
        stage.worker.offer(range(5_000, 5_200))
        served(stage, 10_000, requests=99)
        await asyncio.sleep(0.3)
        assert (await canary(stage, 1))["step"] == 1
        served(stage, 10_099, requests=1, before=99)
        await canary(stage, 2)
        await routed(stage, 0.5)
        assert (await stage.get("/v1/decisions/id-10000"))["version"] == "4"
        assert (await stage.get(f"{ONE}/champion"))["version"] == "3"
        served(stage, 20_000)

        async def ready() -> bool:
            return "a person may promote it" in (await stage.get(ONE))["automation"].get("4", "")

        await stage.until(ready)
        done = await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "it did well"})
        assert done["generation"] == 2
        await routed(stage, 0.0)
        status = await gone(stage)
        assert (status["state"], status["champion"]["version"]) == ("watching", "4")
        assert (await stage.get("/v1/audit/verify"))["ok"]
        steps = [("canary_start", "anonymous"), ("canary_step", "sidecar"), ("promote", "anonymous")]
        assert await actions(stage) == steps
        report = await stage.text(f"{ONE}/transitions/3/report?format=markdown")
        assert "a canary took its next step, of version 4" in report
        assert "the same table, the same digest" in report
        assert (await metrics(stage))["sidecar_transitions_total", "action=canary_step,deployment=fraud"] == 1


@pytest.mark.parametrize("mode", [MANUAL, AUTO], ids=["manual", "auto"])
async def test_one_that_fails_is_taken_back_at_once_and_not_tried_again(begin: Begin, mode: Json) -> None:
    async with begin(mode) as stage:
        await passing(stage)
        if mode is MANUAL:
            await stage.post(f"{ONE}/canary", BEGIN)
        await canary(stage, 1)
        served(stage, 10_000, requests=200, failed=True)
        status = await gone(stage)
        assert (status["state"], status["champion"]["version"], status["generation"]) == ("steady", "3", 1)
        await routed(stage, 0.0)
        entry = (await stage.get("/v1/audit?after=2"))["entries"][0]
        told = json.loads(entry["details"])
        assert (entry["action"], entry["actor"], entry["from"], entry["to"]) == ("canary_stop", "sidecar", "4", "3")
        assert "gate errors fails" in entry["reason"]
        assert (told["canary"]["weight"], told["all_evidence"]["errors"]) == (0.0, "fail")
        assert (await stage.get("/v1/audit/verify"))["ok"]
        # Evidence on the pair went on: the caller was served by the champion, and the canary alone failed.
        compared = await stage.get(f"{ONE}/comparison")
        assert compared["challenger_only_failures"] == 200
        await stage.get(f"{ONE}/canary", 404)
        await stage.post(f"{ONE}/canary", {"abort": True, "reason": "once more"}, 409)
        if mode is AUTO:

            async def held() -> bool:
                return "as canary it was stopped by sidecar" in (await stage.get(ONE))["automation"].get("4", "")

            await stage.until(held)


async def test_in_mode_auto_it_takes_its_steps_and_is_promoted(begin: Begin) -> None:
    async with begin(AUTO) as stage:
        traffic(stage)
        await canary(stage, 1)
        served(stage, 10_000)
        await canary(stage, 2)
        await routed(stage, 0.5)
        served(stage, 20_000)

        async def promoted() -> bool:
            return bool((await stage.get(ONE))["champion"]["version"] == "4")

        await stage.until(promoted)
        assert await actions(stage) == [(name, "sidecar") for name in ("canary_start", "canary_step", "promote")]
        assert (await stage.get(ONE))["state"] == "watching"
        assert (await stage.get("/v1/audit/verify"))["ok"]


async def test_a_kill_loses_neither_step_nor_salt_and_its_evidence_begins_anew(begin: Begin) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        served(stage, 10_000)
        await canary(stage, 2)
        await routed(stage, 0.5)
        before = stage.worker.tables[-1].routes[0].canary
        served(stage, 20_000, requests=60)
        await stage.kill()
        await stage.open()
        assert stage.worker.tables[-1].routes[0].canary == before
        standing = await canary(stage, 2)
        assert next(gate for gate in standing["gates"] if gate["name"] == "pairs")["observed"] == 0
        assert (await stage.get("/v1/audit/verify"))["ok"]
        done = await stage.post(f"{ONE}/canary", {"abort": True, "reason": "enough seen"})
        assert (done["weight"], done["from"], done["to"]) == (0.0, "4", "3")
        await routed(stage, 0.0)
        await stage.kill()
        await stage.open()
        assert stage.worker.tables[-1].routes[0].canary is None
        assert (await stage.get("/v1/audit/verify"))["ok"]


async def test_a_hold_stops_the_steps_and_a_release_lets_them_go_on(begin: Begin) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        hold = {"version": "4", "held": True, "reason": "not on a Friday"}
        await stage.post(f"{ONE}/hold", hold)
        served(stage, 10_000)

        async def waits() -> bool:
            return "anonymous holds it: not on a Friday" in (await stage.get(ONE))["automation"].get("4", "")

        await stage.until(waits)
        assert (await stage.get(f"{ONE}/canary"))["step"] == 1
        await stage.post(f"{ONE}/hold", hold | {"held": False})
        await canary(stage, 2)


@pytest.mark.parametrize(
    ("verb", "body", "champion"),
    [
        ("rollback", {"reason": "something is wrong"}, "3"),
        ("override", {"challenger": "4", "reason": "the champion leaks"}, "4"),
        ("promote", {"challenger": "4", "reason": "it is good enough"}, "4"),
    ],
)
async def test_other_verbs_end_it(begin: Begin, verb: str, body: Json, champion: str) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        done = await stage.post(f"{ONE}/{verb}", body)
        assert done["to"] == champion
        status = await gone(stage)
        assert status["champion"]["version"] == champion
        await routed(stage, 0.0)
        assert (await stage.get("/v1/audit/verify"))["ok"]


async def test_a_version_that_the_settings_name_no_longer_is_no_canary(begin: Begin) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        # More steps in the file change nothing about one that has begun.
        stage.document["deployments"][0]["promotion"] = {"canary": {"steps": [{"weight": 0.9}]}}
        stage.write()
        await stage.control.reload()
        assert len((await canary(stage, 1))["steps"]) == 2
        stage.document["deployments"][0]["challengers"][0]["path"] = "/five"
        stage.write()
        await stage.control.reload()
        await gone(stage)
        entry = (await stage.get("/v1/audit?after=2"))["entries"][0]
        assert "at another address by now" in entry["reason"]


async def test_the_kill_switch_leaves_all_requests_to_the_champion(begin: Begin) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        await stage.post(f"{ONE}/shadow", {"enabled": False})
        await routed(stage, 0.0)
        assert (await canary(stage, 1))["weight"] == 0.0
        await stage.post(f"{ONE}/shadow", {"enabled": True})
        await routed(stage, 0.1)


async def test_one_whose_connections_fail_for_long_is_taken_back(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary_rules, "UNWELL_S", 0.3)
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        stage.worker.send(worker_counts("w0-1", shadow_counts(ROWS // 2, errors={"connect": 5}, breaker="open")))
        await gone(stage)
        entry = (await stage.get("/v1/audit?after=2"))["entries"][0]
        assert "has not answered properly" in entry["reason"]


async def test_copies_of_the_champion_that_were_not_sent_hold_the_step_up_or_end_it(begin: Begin) -> None:
    completeness = {"completeness": {"min": 0.9}}
    async with begin(MANUAL, gates=SOON | completeness) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        served(stage, 10_000, requests=50)
        copied(stage, 50, dropped={"inflight_limit": 150})
        await gone(stage)
        entry = (await stage.get("/v1/audit?after=2"))["entries"][0]
        assert "gate completeness fails" in entry["reason"]


async def test_approvals_are_asked_for_before_the_first_step(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN", "a" * 20)
    monkeypatch.setenv("BOB", "b" * 20)
    tokens = [{"name": name, "role": "operator", "token_env": name.upper()} for name in ("ann", "bob")]
    ann, bob = ({"Authorization": f"Bearer {name * 20}"} for name in "ab")
    gates = SOON | {"approvals": {"min": 1}}
    async with begin(MANUAL, admin={"tokens": tokens}, gates=gates) as stage:
        traffic(stage)

        async def waits() -> bool:
            table = await stage.get(f"{ONE}/gates", headers=ann)
            return {gate["name"] for gate in table["gates"] if gate["verdict"] == "insufficient"} == {"approvals"}

        await stage.until(waits)
        refused = await stage.post(f"{ONE}/canary", BEGIN, 409, ann)
        assert "gate approvals" in refused["detail"]
        evidence = (await stage.get(f"{ONE}/gates", headers=ann))["evidence"]
        approval = {"challenger": "4", "evidence": evidence, "reason": "looks fine"}
        await stage.post(f"{ONE}/approvals", approval, headers=bob)
        assert (await stage.post(f"{ONE}/canary", BEGIN, headers=ann))["weight"] == 0.1


async def test_it_is_taken_back_whatever_the_disk_says(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    async with begin(MANUAL) as stage:
        await passing(stage)
        await stage.post(f"{ONE}/canary", BEGIN)
        store = stage.control._store
        written = store.transition

        async def full(*_: Any, **__: Any) -> Any:
            raise Unavailable("no space left on device")

        monkeypatch.setattr(store, "transition", full)
        await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "it did well"}, 503)
        done = await stage.post(f"{ONE}/canary", {"abort": True, "reason": "the disk is full"})
        assert (done["weight"], done["audit_seq"]) == (0.0, None)
        assert "the end of a canary that the audit trail does not have yet" in done["unrecorded"]
        await routed(stage, 0.0)
        assert (await stage.get(ONE))["unrecorded"] is not None
        monkeypatch.setattr(store, "transition", written)

        async def recorded() -> bool:
            return (await stage.get(ONE))["unrecorded"] is None

        await stage.until(recorded)
        assert [action for action, _ in await actions(stage)] == ["canary_start", "canary_stop"]
        assert (await stage.get("/v1/audit/verify"))["ok"]
