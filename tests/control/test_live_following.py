"""A whole control side whose champion and challengers a folder registry names, seen by a worker and by callers."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_client.client import Registry, open_registry
from registry_client.webhook import signature
from sidecar.app.tokens import CannotStart
from tests.control.live_samples import baseline
from tests.control.whole_control import ONE, Json, Stage, by_alias, staged

NO_GATES = dict.fromkeys(
    (
        "pairs",
        "duration",
        "completeness",
        "errors",
        "latency",
        "agreement",
        "prediction",
        "outcome",
        "inputs",
        "lineage",
        "approvals",
    ),
    False,
)


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch, made=by_alias) as standing:
        await registry(standing).register("fraud", "5", baseline=baseline(3))
        yield standing


def registry(stage: Stage) -> Registry:
    return open_registry(f"file:{stage.folder / 'registry'}")


def scoring(stage: Stage) -> list[str]:
    """Versions in the shadow, as the worker has them."""
    return [shadow.to.version for shadow in stage.worker.tables[-1].routes[0].shadows]


async def moved(stage: Stage, version: str) -> None:
    await registry(stage).set_alias("fraud", "challenger", version)
    await follows(stage, version)


async def follows(stage: Stage, *versions: str) -> None:
    async def there() -> bool:
        return scoring(stage) == list(versions)

    await stage.until(there)


async def actions(stage: Stage) -> list[tuple[str, str | None, str | None]]:
    entries = (await stage.get("/v1/audit"))["entries"]
    return [(entry["action"], entry["from"], entry["to"]) for entry in entries]


async def test_champion_and_challenger_are_those_of_the_aliases(stage: Stage) -> None:
    await moved(stage, "4")
    status = await stage.get(ONE)

    assert (status["champion"]["version"], status["config_differs"]) == ("3", False)
    [challenger] = status["challengers"]
    assert (challenger["version"], challenger["path"], challenger["source"]) == ("4", "/4", "registry")
    assert status["from_registry"] == {
        "model": "fraud",
        "aliases": {"champion": "3", "challenger": "4"},
        "waits": [],
    }
    assert await actions(stage) == [("start", "3", "3"), ("follow_registry", None, "4")]
    assert (await stage.get("/v1/audit"))["entries"][0]["reason"].endswith("the registry's alias champion names")
    assert (await stage.get("/v1/audit/verify"))["ok"]


async def test_an_alias_that_moves_begins_evidence_anew_also_when_it_comes_back(stage: Stage) -> None:
    await moved(stage, "4")
    stage.worker.offer(range(20))
    await stage.paired(40)
    await moved(stage, "5")
    other = (await stage.get(f"{ONE}/comparison?challenger=5"))["pairs"]
    gone = await stage.get(f"{ONE}/comparison?challenger=4", 404)
    await moved(stage, "4")

    assert other == 0
    assert gone["status"] == 404
    await stage.paired(0)
    assert (await actions(stage))[1:] == [
        ("follow_registry", None, "4"),
        ("follow_registry", "4", "5"),
        ("follow_registry", "5", "4"),
    ]


async def test_a_restart_without_the_registry_keeps_champion_challenger_and_evidence(stage: Stage) -> None:
    await moved(stage, "4")
    stage.worker.offer(range(20))
    await stage.paired(40)
    generation = (await stage.get(ONE))["generation"]
    await stage.close()
    (stage.folder / "registry").rename(stage.folder / "away")
    await stage.open()

    status = await stage.get(ONE)
    assert (status["champion"]["version"], scoring(stage), status["generation"]) == ("3", ["4"], generation)
    assert await stage.pairs() == 40
    assert len(await actions(stage)) == 2


async def test_with_every_copy_lost_the_trail_says_who_scored(stage: Stage) -> None:
    await moved(stage, "4")
    await stage.close()
    (stage.folder / "registry").rename(stage.folder / "away")
    shutil.rmtree(stage.folder / "state" / "last-known-good")
    await stage.open()

    assert scoring(stage) == ["4"]


async def test_a_champion_alias_that_someone_moves_is_told_and_not_followed(stage: Stage) -> None:
    await registry(stage).set_alias("fraud", "champion", "5")

    async def told() -> bool:
        return bool((await stage.get(ONE))["registry"]["diverged"])

    await stage.until(told)
    status = await stage.get(ONE)
    assert (status["champion"]["version"], scoring(stage)) == ("3", [])
    assert (status["registry"]["divergence"]["registry"], status["registry"]["divergence"]["sidecar"]) == ("5", "3")
    await stage.close()
    await stage.open()
    assert (await stage.get(ONE))["champion"]["version"] == "3"


async def test_what_a_call_removed_stays_away_until_the_alias_moves(stage: Stage) -> None:
    await moved(stage, "4")
    await stage.call("DELETE", f"{ONE}/challengers/4")
    removed = scoring(stage)
    await stage.control.reload()
    still = scoring(stage)
    await moved(stage, "5")
    await moved(stage, "4")

    assert (removed, still) == ([], [])
    assert (await stage.get(ONE))["differences"] == []


async def test_bounds_set_by_a_call_count_for_that_version(stage: Stage) -> None:
    await moved(stage, "4")
    await stage.call("PUT", f"{ONE}/challengers/4", {"fraction": 0.25})
    [challenger] = (await stage.get(ONE))["challengers"]

    assert (challenger["fraction"], challenger["path"], challenger["source"]) == (0.25, "/4", "call")


async def test_after_a_promotion_the_former_champion_scores_and_the_restart_keeps_it_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path, monkeypatch, made=by_alias, gates=NO_GATES) as stage:
        await moved(stage, "4")
        await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})
        promoted = (await stage.get(ONE))["champion"]["version"], scoring(stage)

        async def written() -> bool:
            return (await registry(stage).aliases("fraud"))["champion"] == "4"

        await stage.until(written)
        await stage.close()
        await stage.open()
        again = (await stage.get(ONE))["champion"]["version"], scoring(stage)
        await stage.post(f"{ONE}/rollback", {"reason": "worse after all"})
        back = (await stage.get(ONE))["champion"]["version"], scoring(stage)

        assert promoted == again == ("4", ["3"])
        assert back == ("3", ["4"])
        assert (await stage.get("/v1/audit/verify"))["ok"]


async def test_a_reload_turns_a_file_deployment_into_a_registrys_and_keeps_its_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path, monkeypatch) as stage:
        await registry(stage).set_alias("fraud", "challenger", "4")
        url = stage.document["deployments"][0]["champion"]["url"]
        stage.document["deployments"][0] = by_alias(url)
        stage.write()
        await stage.control.reload()

        await follows(stage, "4")
        assert (await stage.get(ONE))["champion"]["version"] == "3"


# --- nothing is known -------------------------------------------------------------------------------------------------


async def test_a_deployment_of_which_nothing_is_known_is_not_routed_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path, monkeypatch) as stage:
        await stage.close()
        server = stage.document["deployments"][0]["champion"]["url"]
        stage.document["deployments"].append(by_alias(server, name="churn", match={"path": "/churn"}))
        stage.write()
        await stage.open(unready=True)
        said = (await stage.get("/readyz", 503))["detail"]
        names = [item["name"] for item in (await stage.get("/v1/deployments"))["items"]]
        one = await stage.get("/v1/deployments/churn", 503)
        table = stage.worker.tables[-1]
        await registry(stage).register("churn", "1", baseline=baseline(1))
        await registry(stage).set_alias("churn", "champion", "1")
        await stage.until(stage.ready)

        assert "churn: the registry's alias champion is not known" in said
        assert names == ["fraud"]
        assert "churn is not routed yet" in one["detail"]
        assert [(route.deployment, route.unserved) for route in table.routes] == [("fraud", False), ("churn", True)]
        assert table.upstream is None, "another deployment's champion must not answer in its place"
        assert (await stage.get("/v1/deployments/churn"))["champion"]["version"] == "1"


# --- webhook ----------------------------------------------------------------------------------------------------------


def message(delivery: str, key: str = "hush", at: float | None = None) -> tuple[bytes, dict[str, str]]:
    data = {"name": "fraud", "alias": "challenger", "version": "5"}
    body = json.dumps({"entity": "model_version_alias", "action": "created", "data": data}).encode()
    stamp = str(int(time.time() if at is None else at))
    return body, {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": signature(key.encode(), delivery, stamp, body),
    }


async def sent(stage: Stage, body: bytes, headers: dict[str, str]) -> tuple[int, Json]:
    async with stage.session.post(f"{stage._url}/v1/registry/webhook", data=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_a_signed_webhook_has_the_alias_followed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_TEST_WEBHOOK", "hush")
    async with staged(tmp_path, monkeypatch, made=by_alias) as stage:
        await stage.close()
        stage.document["registry"] |= {"poll_s": 3600, "webhook_secret_env": "SIDECAR_TEST_WEBHOOK"}
        stage.write()
        await stage.open()
        await registry(stage).set_alias("fraud", "challenger", "4")
        wrong = await sent(stage, *message("1", key="guess"))
        old = await sent(stage, *message("1", at=time.time() - 3600))
        before = scoring(stage)
        body, headers = message("1")
        taken = await sent(stage, body, headers | {"Host": "sidecar.models.svc"})
        await follows(stage, "4")
        again = await sent(stage, body, headers)

        assert [wrong[0], old[0], taken[0], again[0]] == [401, 401, 202, 409]
        assert before == []


async def test_without_a_secret_no_webhook_is_taken(stage: Stage) -> None:
    status, document = await sent(stage, *message("1"))

    assert status == 404
    assert "webhook_secret_env" in document["detail"]


async def test_a_secret_that_is_not_there_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIDECAR_TEST_WEBHOOK", raising=False)
    async with staged(tmp_path, monkeypatch, made=by_alias) as stage:
        await stage.close()
        stage.document["registry"]["webhook_secret_env"] = "SIDECAR_TEST_WEBHOOK"
        stage.write()
        with pytest.raises(CannotStart, match="SIDECAR_TEST_WEBHOOK"):
            await stage.open()
        del stage.document["registry"]["webhook_secret_env"]
        stage.write()
        await stage.open()


async def test_a_reload_of_the_bounds_counts_at_once_and_keeps_the_evidence(stage: Stage) -> None:
    await moved(stage, "4")
    stage.worker.offer(range(20))
    await stage.paired(40)
    stage.document["deployments"][0]["from_registry"]["shadow"] = {"fraction": 0.5, "max_per_s": 9}
    stage.write()
    await stage.control.reload()
    [shadow] = stage.worker.tables[-1].routes[0].shadows

    assert (shadow.fraction, shadow.max_per_s) == (0.5, 9.0)
    await stage.paired(40)


async def test_another_address_template_moves_the_champion_there_and_back(stage: Stage) -> None:
    await moved(stage, "4")
    stage.document["deployments"][0]["from_registry"]["path"] = "/v2/{version}"
    stage.write()
    await stage.control.reload()
    route = stage.worker.tables[-1].routes[0]

    assert (route.champion.path, [shadow.to.path for shadow in route.shadows]) == ("/v2/3", ["/v2/4"])
    assert (await stage.get(ONE))["generation"] == 2
    assert (await stage.get("/v1/audit/verify"))["ok"]
