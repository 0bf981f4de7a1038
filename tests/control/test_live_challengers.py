"""A whole control side: challengers set and removed and the kill switch thrown by calls, seen by a worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.decide.routing_table import BreakerPolicy, Shadow
from tests.control.live_samples import shadow_counts, worker_counts
from tests.control.whole_control import ONE, Json, Stage, staged

FIVE = {"url": "http://127.0.0.1:8050", "fraction": 0.5, "breaker": {"failures": 2}, "headers": {"authorization": "s3"}}


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


def shadows(stage: Stage) -> dict[str, Shadow]:
    """As the worker has them."""
    return {shadow.to.version: shadow for shadow in stage.worker.tables[-1].routes[0].shadows}


async def standing(stage: Stage) -> dict[str, Json]:
    return {challenger["version"]: challenger for challenger in (await stage.get(ONE))["challengers"]}


async def evidence(stage: Stage, pairs: int = 40) -> None:
    stage.worker.offer(range(pairs // 2))
    await stage.paired(pairs)


async def test_a_challenger_that_a_call_adds_is_routed_told_and_there_after_a_restart(stage: Stage) -> None:
    done = await stage.call("PUT", f"{ONE}/challengers/5", FIVE | {"reason": "trying it"})
    assert done == {"deployment": "fraud", "version": "5", "done": "added", "audit_seq": 2}
    five = shadows(stage)["5"]
    assert (five.to.port, five.fraction, five.headers) == (8050, 0.5, (("authorization", "s3"),))
    assert five.breaker == BreakerPolicy(2, 5.0, 60.0)
    told = (await standing(stage))["5"]
    assert (told["url"], told["fraction"], told["enabled"], told["health"]) == (FIVE["url"], 0.5, True, "unknown")
    assert (told["headers"], told["source"]) == (["authorization"], "call")
    await stage.close()
    await stage.open()
    assert shadows(stage)["5"] == five
    status = await stage.get(ONE)
    assert (status["config_differs"], status["differences"]) == (True, ["challenger 5 was added by a call"])
    assert status["generation"] == 1
    assert (await stage.get("/v1/audit/verify"))["ok"]


async def test_no_answer_log_or_trail_holds_a_headers_value(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await stage.call("PUT", f"{ONE}/challengers/5", FIVE | {"headers": {"authorization": "Bearer hush-hush"}})
        await stage.call("PUT", f"{ONE}/challengers/5", {"headers": {"x-é": "hush-hush"}}, 400)
        await stage.call("PUT", f"{ONE}/challengers/5", {"headers": {"x-a": "hush-hush\n"}}, 400)
    paths = ("/v1/deployments", "/v1/audit", "/metrics", "/", "/audit", "/deployments/fraud")
    pages = [await stage.text(path) for path in paths]
    assert "hush-hush" not in "".join(pages) + caplog.text


async def test_bounds_that_change_keep_the_evidence_and_another_address_begins_it_anew(stage: Stage) -> None:
    await evidence(stage)
    await stage.call("PUT", f"{ONE}/challengers/4", {"fraction": 0.5, "max_per_s": 9, "headers": {"x-a": "1"}})
    await stage.call("POST", f"{ONE}/shadow", {"enabled": False})
    await stage.call("POST", f"{ONE}/shadow", {"enabled": True})
    await stage.paired(40)
    await stage.call("PUT", f"{ONE}/challengers/4", {"path": "/elsewhere"})
    await stage.paired(0)


async def test_a_challenger_removed_and_added_again_begins_anew_also_over_a_kill(stage: Stage) -> None:
    await evidence(stage)
    await stage.control._rounds.save()
    await stage.call("DELETE", f"{ONE}/challengers/4")
    assert list(shadows(stage)) == []
    await stage.get(f"{ONE}/comparison?challenger=4", 404)
    await stage.control._rounds.save()
    await stage.kill()
    await stage.open()
    assert list(shadows(stage)) == []
    url = stage.document["deployments"][0]["challengers"][0]["url"]
    await stage.call("PUT", f"{ONE}/challengers/4", {"url": url})
    await stage.paired(0)
    await stage.kill()
    await stage.open()
    await stage.paired(0)
    assert (await stage.get(ONE))["config_differs"] is False, "the file says the same again"


async def test_the_kill_switch_counts_at_once_over_restarts_and_for_challengers_that_come(stage: Stage) -> None:
    await stage.call("POST", f"{ONE}/shadow", {"enabled": False, "reason": "load test"})
    assert [shadow.enabled for shadow in shadows(stage).values()] == [False]
    await stage.kill()
    await stage.open()
    await stage.call("PUT", f"{ONE}/challengers/5", FIVE)
    assert [shadow.enabled for shadow in shadows(stage).values()] == [False, False]
    status = await stage.get(ONE)
    assert (status["shadow_enabled"], {c["enabled"] for c in status["challengers"]}) == (False, {False})
    assert status["differences"] == ["challenger 5 was added by a call"]
    await stage.call("POST", f"{ONE}/shadow", {"enabled": True})
    assert [shadow.enabled for shadow in shadows(stage).values()] == [True, True]
    trail = (await stage.get("/v1/audit"))["entries"]
    assert [(e["action"], e["reason"]) for e in trail[1:]] == [
        ("shadow_off", "load test"), ("set_challenger", ""), ("shadow_on", "")
    ]  # fmt: skip


async def test_a_challenger_of_a_call_can_be_promoted_and_then_be_neither_changed_nor_removed(stage: Stage) -> None:
    server = stage.document["deployments"][0]["champion"]["url"]
    await stage.call("PUT", f"{ONE}/challengers/5", {"url": server})
    body = {"reason": "it was better before", "to": "5"}
    assert (await stage.post(f"{ONE}/rollback", body))["to"] == "5"
    for method, version, sent in (("PUT", "5", {"fraction": 0.5}), ("DELETE", "5", None), ("DELETE", "3", None)):
        answer = await stage.call(method, f"{ONE}/challengers/{version}", sent, 409)
        assert f"version {version} is" in answer["detail"]
    assert (await stage.call("PUT", f"{ONE}/challengers/3", {"fraction": 0.0}))["done"] == "changed"
    assert shadows(stage)["3"].fraction == 0.0
    await stage.close()
    await stage.open()
    table = stage.worker.tables[-1].routes[0]
    assert (table.champion.version, {s.to.version: s.fraction for s in table.shadows}) == ("5", {"3": 0.0, "4": 1.0})


async def test_a_reload_lets_a_call_stand_until_the_file_says_the_same(stage: Stage) -> None:
    await stage.call("PUT", f"{ONE}/challengers/4", {"fraction": 0.5})
    (four,) = stage.document["deployments"][0]["challengers"]

    async def reload(**changes: Any) -> float:
        four.update(changes)
        stage.write()
        await stage.control.reload()
        return shadows(stage)["4"].fraction

    assert await reload(fraction=0.25) == 0.5
    assert await reload(fraction=0.5) == 0.5
    assert (await stage.get(ONE))["config_differs"] is False
    assert await reload(fraction=0.25) == 0.25


async def test_removals_and_promotions_at_once_leave_a_champion_that_is_known(stage: Stage) -> None:
    server = stage.document["deployments"][0]["champion"]["url"]
    await stage.call("PUT", f"{ONE}/challengers/5", {"url": server})

    async def tried(method: str, path: str, body: Json | None) -> int:
        async with stage.session.request(method, stage._url + path, json=body) as answer:
            return answer.status

    statuses = await asyncio.gather(
        tried("DELETE", f"{ONE}/challengers/5", None),
        tried("POST", f"{ONE}/rollback", {"reason": "to five", "to": "5"}),
        tried("DELETE", f"{ONE}/challengers/5", None),
        tried("POST", f"{ONE}/shadow", {"enabled": False}),
    )
    assert sorted(statuses)[:2] == [200, 200]
    assert set(statuses) <= {200, 404, 409}
    status = await stage.get(ONE)
    assert status["champion"]["url"] in (server, stage.document["deployments"][0]["champion"]["url"])
    assert (await stage.get("/v1/audit/verify"))["ok"]


async def test_a_challengers_health_is_told_by_its_workers_counters(stage: Stage) -> None:
    async def health() -> str:
        return str((await standing(stage))["4"]["health"])

    async def is_now(expected: str) -> bool:
        return await health() == expected

    stage.worker.send(worker_counts("w0-1", shadow_counts(0, dropped={"connect_error": 9})))
    await stage.until(lambda: is_now("unreachable"))
    stage.worker.send(worker_counts("w0-1", shadow_counts(0, dropped={"connect_error": 12}, breaker="open")))
    await stage.until(lambda: is_now("paused"))
    await stage.worker.leave()
    await stage.until(lambda: is_now("unreachable"))
    await stage.worker.join(stage.link)


async def test_a_state_that_cannot_be_written_refuses_the_switch_and_says_why(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stage.folder / "state" / "sidecar.db").rename(stage.folder / "away.db")
    answer = await stage.call("POST", f"{ONE}/shadow", {"enabled": False}, 503)
    assert "was removed or replaced" in answer["detail"]
    assert [shadow.enabled for shadow in shadows(stage).values()] == [True]
    (stage.folder / "away.db").rename(stage.folder / "state" / "sidecar.db")
