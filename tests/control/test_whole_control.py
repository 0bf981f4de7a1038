from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from registry_client.client import open_registry
from sidecar.control.watch import DeploymentWatch
from sidecar.records import Offered
from sidecar.wire.frames import frame
from tests.control.live_samples import answer, exchange, leg
from tests.control.whole_control import (
    ONE,
    ROWS,
    FakeWorker,
    Json,
    Stage,
    evidence,
    gates_pass,
    metrics,
    sampled,
    staged,
)


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


async def test_from_shadow_to_promotion_to_a_broken_feed_and_back(stage: Stage) -> None:
    status = await stage.get(ONE)
    assert (status["champion"]["version"], status["generation"], status["state"]) == ("3", 1, "steady")
    assert status["lineage"] == {"3": {"data": "2026-01"}, "4": {"data": "2026-02"}}
    known = {name: status["registry"][name] for name in ("reachable", "diverged", "says", "divergence", "unwritten")}
    assert known == {"reachable": True, "diverged": False, "says": None, "divergence": None, "unwritten": None}

    # Refused with the table while the evidence is thin.
    refused = await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "too early"}, 409)
    assert refused["verdict"] == "insufficient"
    assert {gate["name"] for gate in refused["gates"]} >= {"pairs", "outcome", "inputs"}

    await evidence(stage)
    comparison = await stage.get(f"{ONE}/comparison?challenger=4")
    assert comparison["agreement"]["value"] == 1.0
    assert (comparison["mirrored"], comparison["due"], comparison["answered"]) == (200, 200, 200)
    drift = await stage.get(f"{ONE}/drift")
    assert (drift["rows_seen"], drift["rows_sampled"], drift["baseline"]["version"]) == (ROWS, ROWS, "3")
    assert (await stage.get(f"{ONE}/drift?against=recent"))["against"] == "recent"
    await gates_pass(stage)

    wish = {"challenger": "4", "reason": "better by far", "expected_champion": "3"}
    table = await stage.get(f"{ONE}/gates")
    dry = await stage.post(f"{ONE}/promote", wish | {"dry_run": True})
    assert (dry["from"], dry["to"], dry["audit_seq"]) == ("3", "4", None)
    done = await stage.post(f"{ONE}/promote", wish | {"evidence": table["evidence"]}, headers={"Idempotency-Key": "k1"})
    assert (done["from"], done["to"], done["generation"]) == ("3", "4", 2)
    again = await stage.post(
        f"{ONE}/promote", wish | {"evidence": table["evidence"]}, headers={"Idempotency-Key": "k1"}
    )
    assert again == done
    route = stage.worker.tables[-1].routes[0]
    assert (route.champion.version, [s.to.version for s in route.shadows]) == ("4", ["3"])
    status = await stage.get(ONE)
    assert (status["champion"]["version"], status["previous"], status["state"]) == ("4", "3", "watching")
    assert await stage.pairs() == 0, "evidence on another pair begins anew"

    async def alias_moved() -> bool:
        registry = open_registry(f"file:{stage.folder / 'registry'}")
        return (await registry.aliases("fraud"))["champion"] == "4"

    await stage.until(alias_moved)

    await broken_feed(stage)
    await rolled_back(stage)
    await recorded(stage)


async def broken_feed(stage: Stage) -> None:
    # The alarm names the cause, what comes now is no evidence, and the gates say so.
    stage.worker.offer(range(1000, 1200), generation=2, champion="4", challengers=("3",), euros=True)
    alarm = await stage.alarm("data.broken")
    assert "0.01 × trained" in alarm["says"]
    assert "do not retrain" in alarm["action"]
    assert (await stage.get(f"{ONE}/gates"))["verdict"] != "pass"
    pairs = await stage.pairs()
    stage.worker.offer(range(1200, 1210), generation=2, champion="4", challengers=("3",), euros=True)
    await stage.until(lambda: sampled(stage, 420))
    assert await stage.pairs() == pairs
    seen = await stage.post(f"/v1/alarms/{alarm['id']}/acknowledge", {"reason": "the feed's owner knows"})
    assert seen["acknowledged"]
    assert (await stage.alarm("data.broken"))["acknowledged"]


async def rolled_back(stage: Stage) -> None:
    back = await stage.post(f"{ONE}/rollback", {"reason": "answers hurt"})
    assert (back["from"], back["to"], back["generation"]) == ("4", "3", 3)
    assert stage.worker.tables[-1].routes[0].champion.version == "3"


async def recorded(stage: Stage) -> None:
    check = await stage.get("/v1/audit/verify")
    assert (check["ok"], check["entries"]) == (True, 4)
    entries = (await stage.get("/v1/audit"))["entries"]
    assert [entry["action"] for entry in entries] == ["start", "promote", "acknowledge", "rollback"]
    assert [entry["actor"] for entry in entries] == ["sidecar", "anonymous", "anonymous", "anonymous"]
    span = await stage.get(f"{ONE}/champion?at={entries[1]['at']}")
    assert (span["version"], span["until"]) == ("4", entries[3]["at"])
    assert (await stage.get(f"{ONE}/champion"))["version"] == "3"
    await stage.get(f"{ONE}/champion?at=2001-01-01T00:00:00Z", 404)

    page = await metrics(stage)
    assert page["sidecar_transitions_total", "action=promote,deployment=fraud"] == 1
    assert page["sidecar_transitions_total", "action=rollback,deployment=fraud"] == 1
    assert page["sidecar_outcomes_total", "deployment=fraud,state=matched"] == ROWS
    assert page["sidecar_champion_info", "deployment=fraud,version=3"] == 1
    assert ("sidecar_drift_psi", "against=recent,deployment=fraud,feature=amount") in page
    assert ("sidecar_drift_psi", "against=training,deployment=fraud,feature=amount") in page
    assert page["sidecar_undecodable_total", "deployment=fraud,reason=answer_json"] == 0


async def test_outcomes_are_joined_once_whenever_they_come(stage: Stage) -> None:
    stage.worker.offer(range(3))
    await stage.paired(6)

    async def post(request_id: str, outcome: int) -> Json:
        counts = await stage.post("/v1/outcomes", {"outcomes": [{"request_id": request_id, "outcome": outcome}]})
        return {state: n for state, n in counts.items() if n}

    assert await post("id-0", 1) == {"matched": 1}
    assert await post("id-0", 1) == {"duplicate": 1}
    assert await post("id-0", 0) == {"conflict": 1}
    assert await post("id-77", 1) == {"pending": 1}
    stage.worker.offer(range(77, 78))

    async def judged() -> bool:
        items = (await stage.get(f"{ONE}/performance"))["items"]
        return [item["matched"] for item in items] == [2, 2]

    await stage.until(judged)
    decision = await stage.get("/v1/decisions/id-77")
    assert (decision["version"], decision["outcome"][0], decision["challengers"][0]["version"]) == ("3", 1, "4")
    page = await metrics(stage)
    assert page["sidecar_outcomes_total", "deployment=fraud,state=conflict"] == 1


async def test_what_is_not_there_is_said_in_a_sentence(stage: Stage) -> None:
    for path, status in (
        ("/v1/deployments/nobody", 404),
        ("/v1/deployments/nobody/gates", 404),
        ("/v1/deployments/nobody/champion", 404),
        (f"{ONE}/comparison?challenger=9", 404),
        (f"{ONE}/gates?challenger=3", 404),
        ("/v1/decisions/never", 404),
        (f"{ONE}/drift?against=tomorrow", 400),
        (f"{ONE}/champion?at=soon", 400),
    ):
        assert (await stage.get(path, status))["detail"], path


async def test_a_verb_that_cannot_be_done_changes_nothing(stage: Stage) -> None:
    for path, body, status in (
        (f"{ONE}/promote", {"challenger": "9", "reason": "because"}, 404),
        (f"{ONE}/promote", {"challenger": "3", "reason": "because"}, 409),
        (f"{ONE}/promote", {"challenger": "4", "reason": "because", "expected_champion": "7"}, 409),
        (f"{ONE}/rollback", {"reason": "because"}, 409),
        (f"{ONE}/rollback", {"reason": "because", "to": "9"}, 404),
        ("/v1/deployments/nobody/rollback", {"reason": "because"}, 404),
        ("/v1/alarms/nothing/acknowledge", {"reason": "because"}, 404),
    ):
        assert (await stage.post(path, body, status))["detail"], path
    assert (await stage.get(ONE))["generation"] == 1


async def test_hostile_payloads_are_counted_and_everything_goes_on(stage: Stage) -> None:
    bad = answer(["1"], [0.5], body=b"\x00" * 50)
    worker = stage.worker
    hostile: tuple[dict[str, Any], ...] = (
        {"body": b"{"},
        {"body": b"[" * 100_000},
        {"body": b'{"inputs": [{"name": "amount", "datatype": "FP64", "shape": [9], "data": [1]}]}'},
        {"body": b"\xff", "content_encoding": "gzip"},
        {"champion": leg("3", bad)},
        {"shadows": (leg("4", bad),)},
        {"deployment": "nobody"},
        {"request_id": "x" * 5000},
        {"request_id": ""},
        {"at": 1e18},
    )
    for number, changes in enumerate(hostile):
        worker.send(Offered(exchange(number, **({"at": time.time()} | changes))))
    worker.offer(range(100, 110))

    async def taken() -> bool:
        return await stage.pairs() >= 20

    await stage.until(taken)
    page = await metrics(stage)
    undecodable = {k[1]: v for k, v in page.items() if k[0] == "sidecar_undecodable_total" and v}
    assert undecodable["deployment=fraud,reason=json"] == 2
    assert undecodable["deployment=fraud,reason=shape"] == 1
    assert undecodable["deployment=fraud,reason=encoding"] == 1
    assert undecodable["deployment=fraud,reason=answer_json"] == 2
    assert (await stage.get(f"{ONE}/drift"))["undecodable"] == 6
    assert page["sidecar_observation_failures_total", ""] == 0
    assert page["sidecar_decisions_dropped_total", ""] == 2
    assert (await stage.get("/healthz"))["status"] == "alive"


async def test_an_observer_that_raises_is_counted_and_health_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ArithmeticError("an observer's fault")

    monkeypatch.setattr(DeploymentWatch, "fold", fails)
    monkeypatch.setattr(DeploymentWatch, "looks", fails)
    stage.worker.offer(range(5))

    async def counted() -> bool:
        return (await metrics(stage))["sidecar_observation_failures_total", ""] > 6

    await stage.until(counted)
    await stage.get("/healthz")
    await stage.get(ONE)


async def test_garbage_on_the_link_ends_that_link_only(stage: Stage) -> None:
    other = FakeWorker("w1-1")
    await other.join(stage.link)
    other.send_bytes(frame(b"\xc1garbage"))
    await other.leave()
    stage.worker.offer(range(5))
    await stage.paired(10)


async def test_a_burst_does_not_keep_the_admin_api_waiting(stage: Stage) -> None:
    stage.worker.offer(range(1000))
    took_s = []
    for _ in range(20):
        began = time.perf_counter()
        await stage.get("/healthz")
        took_s.append(time.perf_counter() - began)
    await stage.until(lambda: sampled(stage, 100))
    # One or two may have waited for the machine; without slices they all wait for the end of the burst.
    assert sorted(took_s)[-3] < 1.0, took_s


async def test_a_worker_that_never_acknowledges_holds_up_no_verb_for_long(stage: Stage) -> None:
    deaf = FakeWorker("w1-1", acknowledges=False)
    await deaf.join(stage.link)
    await evidence(stage)
    await gates_pass(stage)
    done = await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})
    assert done["generation"] == 2
    assert not await stage.ready()
    await deaf.leave()
    await stage.until(stage.ready)
