"""Approvals, overrides and bound dry runs through a real control with people's tokens, over restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.config_gates import Gates
from tests.control.live_samples import GATES, shadow_counts, worker_counts
from tests.control.whole_control import ONE, ROWS, Json, Stage, metrics, staged

ROLES = {"ann": "operator", "bob": "operator", "eve": "admin"}
# Gates that traffic alone satisfies.
OTHERS = {"outcome", "calibration", "segments", "inputs", "prediction"} & Gates.model_fields.keys()
SOON: Json = GATES | dict.fromkeys(OTHERS, False) | {"approvals": {"min": 2}}


def of(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer secret-{name}"}


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    tokens = [{"name": name, "role": role, "token_env": f"TOKEN_OF_{name}"} for name, role in ROLES.items()]
    for name in ROLES:
        monkeypatch.setenv(f"TOKEN_OF_{name}", f"secret-{name}")
    admin = {"tokens": tokens}
    async with staged(tmp_path, monkeypatch, admin, gates=SOON, baseline=None) as standing:
        yield standing


async def table(stage: Stage) -> Json:
    return await stage.get(f"{ONE}/gates", headers=of("ann"))


async def verdicts(stage: Stage) -> dict[str, str]:
    return {gate["name"]: gate["verdict"] for gate in (await table(stage))["gates"]}


async def but_approvals(stage: Stage) -> None:
    """Enough traffic for every other gate."""
    stage.worker.offer(range(ROWS // 2))
    stage.worker.send(worker_counts("w0-1", shadow_counts(ROWS // 2)))

    async def passed() -> bool:
        others = {verdict for name, verdict in (await verdicts(stage)).items() if name != "approvals"}
        return others == {"pass", "off"}

    await stage.until(passed)


async def approve(stage: Stage, who: str, status: int = 200, **wishes: object) -> Json:
    body = {"challenger": "4", "reason": "read it all", "evidence": (await table(stage))["evidence"]}
    return await stage.post(f"{ONE}/approvals", body | wishes, status, of(who))


async def promote(stage: Stage, who: str, status: int = 200, **wishes: object) -> Json:
    return await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"} | wishes, status, of(who))


async def given(stage: Stage) -> dict[str, str | None]:
    items = (await stage.get(f"{ONE}/approvals", headers=of("ann")))["items"]
    return {item["by"]: item["void"] for item in items}


async def test_two_people_agree_a_restart_forgets_neither_and_a_third_promotes(stage: Stage) -> None:
    await but_approvals(stage)
    assert (await verdicts(stage))["approvals"] == "insufficient"
    read = (await table(stage))["evidence"]
    first = await approve(stage, "ann", evidence=read)
    assert (first["done"], first["people"], first["needed"]) == ("approved", ["ann"], 2)
    again = await approve(stage, "ann")
    assert (again["done"], again["audit_seq"]) == ("unchanged", None)
    # More traffic is another digest and voids nothing: bob agrees to what he has read before it came.
    stage.worker.offer(range(ROWS, ROWS + 50))

    async def more() -> bool:
        return bool((await stage.get(f"{ONE}/comparison", headers=of("ann")))["pairs"] == ROWS + 100)

    await stage.until(more)
    assert (await table(stage))["evidence"] != read
    assert (await approve(stage, "bob", evidence=read))["people"] == ["ann", "bob"]
    # What an orderly end has kept is the evidence; that people agreed is in the trail at once.
    await stage.close()
    await stage.open()
    assert await given(stage) == {"ann": None, "bob": None}
    assert (await verdicts(stage))["approvals"] == "pass"
    refused = await promote(stage, "bob", 409)
    assert "1 of 2 people have agreed" in refused["detail"]
    done = await promote(stage, "eve")
    entry = (await stage.get(f"/v1/audit?after={done['audit_seq'] - 1}", headers=of("ann")))["entries"][0]
    for name in ("ann", "bob"):
        assert f'"by":"{name}"' in entry["details"]
    assert (await stage.get("/v1/audit/verify", headers=of("ann")))["ok"]
    report = stage.session.get(f"{stage._url}{ONE}/transitions/latest/report?format=markdown", headers=of("ann"))
    async with report as answer:
        text = await answer.text()
        assert "same table, the same digest" in text
        assert "ann" in text
    # Nobody has agreed to the way back.
    assert await given(stage) == {}


async def test_an_approval_is_taken_back_and_ends_for_good_when_a_gate_fails(stage: Stage) -> None:
    await but_approvals(stage)
    await approve(stage, "ann")
    body = {"challenger": "4", "reason": "not so sure", "withdraw": True}
    assert (await stage.post(f"{ONE}/approvals", body, headers=of("ann")))["done"] == "withdrawn"
    assert (await stage.post(f"{ONE}/approvals", body, headers=of("ann")))["done"] == "unchanged"
    assert await given(stage) == {"ann": "withdrawn"}
    await approve(stage, "ann")
    await approve(stage, "bob")
    dropped = {"queue_full": 50}
    stage.worker.send(worker_counts("w0-1", shadow_counts(ROWS // 2, dropped=dropped)))

    async def ended() -> bool:
        return set((await given(stage)).values()) == {"gate completeness failed"}

    await stage.until(ended)
    refused = await approve(stage, "ann", 409)
    assert "gate completeness fails" in refused["detail"]
    assert (await verdicts(stage))["approvals"] == "insufficient"
    await stage.kill()
    await stage.open()
    assert set((await given(stage)).values()) == {"gate completeness failed"}
    actions = [entry["action"] for entry in (await stage.get("/v1/audit", headers=of("ann")))["entries"]]
    assert actions.count("void_approvals") == 1


async def test_nobody_agrees_to_what_was_not_shown_or_is_not_so_any_more(stage: Stage) -> None:
    before = (await table(stage))["evidence"]
    await but_approvals(stage)
    assert "read the gates again" in (await approve(stage, "ann", 409, evidence="sha256:made-up"))["detail"]
    assert "gate " in (await approve(stage, "ann", 409, evidence=before))["detail"]
    assert (await approve(stage, "ann", 404, challenger="9"))["status"] == 404
    assert await given(stage) == {}


async def test_a_dry_run_can_be_done_exactly_and_an_override_needs_an_admin(stage: Stage) -> None:
    await but_approvals(stage)
    for name in ("ann", "bob"):
        await approve(stage, name)
    plan = (await promote(stage, "eve", dry_run=True))["plan"]
    assert (plan["rollback_to"], plan["approvals"], plan["verdicts"]["approvals"]) == ("3", ["ann", "bob"], "pass")
    withdraw = {"challenger": "4", "reason": "not so sure", "withdraw": True}
    await stage.post(f"{ONE}/approvals", withdraw, headers=of("bob"))
    await approve(stage, "bob")
    assert (await promote(stage, "eve", plan=plan["digest"]))["to"] == "4"

    wish = {"challenger": "3", "reason": "the new one leaks memory"}
    await stage.post(f"{ONE}/override", wish, 403, of("ann"))
    short = await stage.post(f"{ONE}/override", wish | {"reason": "leaks"}, 400, of("eve"))
    assert "at least 10 characters" in short["detail"]
    dry = await stage.post(f"{ONE}/override", wish | {"dry_run": True}, headers=of("eve"))
    assert dry["plan"]["watch_s"] == 0
    key = of("eve") | {"Idempotency-Key": "one"}
    done = await stage.post(f"{ONE}/override", wish | {"plan": dry["plan"]["digest"]}, headers=key)
    again = await stage.post(f"{ONE}/override", wish | {"plan": dry["plan"]["digest"]}, headers=key)
    assert (done["from"], done["to"]) == ("4", "3")
    assert again["audit_seq"] == done["audit_seq"]
    await stage.kill()
    await stage.open()
    status = await stage.get(ONE, headers=of("ann"))
    assert (status["champion"]["version"], status["state"], status["watch_until"]) == ("3", "steady", None)
    assert (await stage.get("/v1/audit/verify", headers=of("ann")))["ok"]
    steps = (await stage.get(f"{ONE}/transitions", headers=of("ann")))["items"]
    assert [step["action"] for step in steps] == ["start", "promote", "override"]
    await stage.post(f"{ONE}/rollback", {"reason": "not that bad"}, headers=of("ann"))


async def test_overrides_are_counted(stage: Stage) -> None:
    assert (await metrics(stage))["sidecar_transitions_total", "action=override,deployment=fraud"] == 0
    wish = {"challenger": "4", "reason": "the champion leaks memory"}
    await stage.post(f"{ONE}/override", wish, headers=of("eve"))
    assert (await metrics(stage))["sidecar_transitions_total", "action=override,deployment=fraud"] == 1
