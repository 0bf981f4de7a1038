"""A whole control side that starts again, is reloaded, refused, or ends: what it knew it goes on with."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.app.control import Control
from sidecar.app.tokens import CannotStart
from sidecar.config_file import load
from sidecar.control.carryover import Carryover
from sidecar.control.intake import Intake
from sidecar.control.store import Store, StoreError
from sidecar.errors import Unavailable
from tests.control.live_samples import shadow_counts, worker_counts
from tests.control.whole_control import ONE, FakeWorker, Stage, evidence, gates_pass, metrics, sampled, staged


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


async def test_after_a_kill_everything_goes_on_from_the_last_snapshot_and_counts_nothing_twice(stage: Stage) -> None:
    stage.worker.offer(range(200), euros=True)
    stage.worker.send(worker_counts("w0-1", shadow_counts(200)))
    await stage.alarm("data.broken")
    await stage.until(lambda: sampled(stage, 400))
    outcomes = [{"request_id": f"id-{number}", "outcome": 1} for number in range(50)]
    assert (await stage.post("/v1/outcomes", {"outcomes": outcomes}))["matched"] == 50
    before = [await stage.get(f"{ONE}/{view}") for view in ("comparison", "drift", "performance")]
    alarm = await stage.alarm("data.broken")
    await stage.control._rounds.save()
    await stage.kill()
    await stage.open()
    # The worker lived on: its totals grew while control was away, and come whole.
    stage.worker.send(worker_counts("w0-1", shadow_counts(260)))

    async def counted() -> bool:
        return (await metrics(stage))["sidecar_shadow_requests_total", "deployment=fraud,outcome=ok,version=4"] == 260

    await stage.until(counted)
    comparison, drift, performance = [
        await stage.get(f"{ONE}/{view}") for view in ("comparison", "drift", "performance")
    ]
    assert comparison["pairs"] == before[0]["pairs"]
    assert comparison["mirrored"] in (before[0]["mirrored"], before[0]["mirrored"] + 60)
    assert (drift["rows_seen"], drift["rows_sampled"]) == (before[1]["rows_seen"], before[1]["rows_sampled"])
    assert drift["features"][0]["cause"]["kind"] == "scale"
    assert [(i["version"], i["matched"]) for i in performance["items"]] == [
        (i["version"], i["matched"]) for i in before[2]["items"]
    ]
    assert (await stage.alarm("data.broken"))["id"] == alarm["id"]
    check = await stage.get("/v1/audit/verify")
    assert (check["ok"], check["entries"]) == (True, 1)


async def test_evidence_under_a_broken_feed_stays_void_over_a_restart(stage: Stage) -> None:
    stage.worker.offer(range(200), euros=True)
    await stage.alarm("data.broken")
    await stage.until(lambda: sampled(stage, 400))
    await stage.control._rounds.save()
    await stage.kill()
    await stage.open()
    pairs = await stage.pairs()
    stage.worker.offer(range(300, 310), euros=True)
    await stage.until(lambda: sampled(stage, 420))
    assert await stage.pairs() == pairs


async def test_a_worker_that_loses_its_link_is_not_counted_twice(stage: Stage) -> None:
    ok = ("sidecar_shadow_requests_total", "deployment=fraud,outcome=ok,version=4")
    stage.worker.send(worker_counts("w0-1", shadow_counts(100)))

    async def is_now(n: int) -> bool:
        return (await metrics(stage))[ok] == n

    await stage.until(lambda: is_now(100))
    await stage.worker.leave()
    assert await is_now(100)
    stage.worker = FakeWorker("w0-1")
    await stage.worker.join(stage.link)
    stage.worker.send(worker_counts("w0-1", shadow_counts(130)))
    await stage.until(lambda: is_now(130))
    assert (await stage.get(f"{ONE}/comparison"))["mirrored"] == 130


async def test_the_stored_champion_beats_the_files_after_a_restart(stage: Stage) -> None:
    await evidence(stage)
    await gates_pass(stage)
    await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})
    await stage.close()
    await stage.open()
    status = await stage.get(ONE)
    assert (status["champion"]["version"], status["config_differs"]) == ("4", True)
    assert stage.worker.tables[-1].serial > 2


# --- reload -----------------------------------------------------------------------------------------------------------


async def test_a_reload_adds_and_removes_without_touching_other_evidence(stage: Stage) -> None:
    stage.worker.offer(range(10))
    await stage.paired(20)
    first = stage.document["deployments"][0]
    url = first["champion"]["url"]
    first["challengers"].append({"version": "5", "url": url})
    stage.document["deployments"].append({"name": "other", "champion": {"version": "1", "url": url}})
    stage.write()
    await stage.control.reload()
    assert [item["name"] for item in (await stage.get("/v1/deployments"))["items"]] == ["fraud", "other"]
    assert (await stage.get(f"{ONE}/comparison?challenger=4"))["pairs"] == 20
    assert (await stage.get(f"{ONE}/gates", 400))["detail"].endswith("name one")
    assert [route.deployment for route in stage.worker.tables[-1].routes] == ["fraud", "other"]
    page = await metrics(stage)
    assert math.isnan(page["sidecar_agreement_ratio", "challenger=5,deployment=fraud"])
    del stage.document["deployments"][1]
    stage.write()
    await stage.control.reload()
    await stage.get("/v1/deployments/other", 404)


async def test_a_bad_file_changes_nothing(stage: Stage) -> None:
    tables = len(stage.worker.tables)
    stage.config.write_text("deployments: [")
    await stage.control.reload()
    assert len(stage.worker.tables) == tables
    assert (await stage.get(ONE))["name"] == "fraud"


async def test_further_host_names_are_taken_and_others_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(tmp_path, monkeypatch, admin={"hosts": ["sidecar.example.com"]}) as stage:
        await stage.get(ONE, headers={"Host": "sidecar.example.com:8443"})
        await stage.get(ONE, 403, headers={"Host": "evil.example.com"})


async def test_a_part_that_ends_is_noticed(stage: Stage) -> None:
    next(task for task in stage.control._tasks if task.get_name() == "outbox").cancel()
    async with asyncio.timeout(30):
        await stage.control.stopped()


# --- starting ---------------------------------------------------------------------------------------------------------


async def test_a_second_control_on_the_folder_is_refused_and_the_first_goes_on(stage: Stage) -> None:
    second = Control(stage.config, load(stage.config), stage.link, stage.folder / "table")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(StoreError):
            await second.open(listener)
        stage.worker.offer(range(5))
        await stage.paired(10)


async def test_a_start_that_fails_half_way_gives_everything_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_self: Intake) -> None:
        raise OSError(98, "Address already in use")

    await stage.close()
    with monkeypatch.context() as patched:
        patched.setattr(Intake, "open", fails)
        with pytest.raises(OSError, match="Address already"):
            await stage.open()
    await stage.open()
    assert (await stage.get(ONE))["generation"] == 1


async def test_a_disk_that_is_full_at_the_end_is_said_and_the_rest_is_closed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Carryover, "save_snapshots", full)
        await stage.close()
    assert "not everything was kept" in caplog.text
    await stage.open()


async def test_tokens_are_read_from_the_environment_or_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = {"tokens": [{"name": "alice", "role": "viewer", "token_env": "SIDECAR_TOKEN_TEST"}]}
    monkeypatch.delenv("SIDECAR_TOKEN_TEST", raising=False)
    with pytest.raises(CannotStart, match="SIDECAR_TOKEN_TEST"):
        async with staged(tmp_path / "one", monkeypatch, admin=tokens):
            pass
    monkeypatch.setenv("SIDECAR_TOKEN_TEST", "open sesame")
    async with staged(tmp_path / "two", monkeypatch, admin=tokens) as stage:
        await stage.get(ONE, 401)
        assert (await stage.get(ONE, headers={"Authorization": "Bearer open sesame"}))["name"] == "fraud"
        await stage.post(f"{ONE}/rollback", {"reason": "because"}, 403, headers={"Authorization": "Bearer open sesame"})


async def test_a_new_deployment_whose_first_state_cannot_be_stored_does_not_stop_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    first = stage.document["deployments"][0]
    stage.document["deployments"].append({"name": "other", "champion": first["champion"]})
    stage.write()
    with monkeypatch.context() as patched:
        patched.setattr(Store, "transition", full)
        await stage.control.reload()
    await stage.control._controller.turns.publish()
    known = [(route.deployment, route.unserved) for route in stage.worker.tables[-1].routes]
    assert known == [("fraud", False), ("other", True)], "its requests are refused, and nobody else's"
    await stage.control.reload()
    assert [route.unserved for route in stage.worker.tables[-1].routes] == [False, False]
