"""A payload logger's events through the API of a whole control: watched, decided, judged, measured."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.control.live_samples import exchange
from tests.control.whole_control import ONE, Stage, staged


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


async def send(stage: Stage, side: str, number: int) -> str:
    """One half of request `number`, as KServe's logger sends it; what became of it."""
    made = exchange(number, rows=2)
    assert made.champion.answer is not None
    headers = {
        "ce-specversion": "1.0",
        "ce-id": made.request_id,
        "ce-source": "http://localhost:9081/",
        "ce-type": f"org.kubeflow.serving.inference.{side}",
        "ce-time": datetime.fromtimestamp(time.time(), UTC).isoformat(),
        "ce-inferenceservicename": "fraud",
        "ce-endpoint": "default",
        "content-type": "application/json",
    }
    body = made.body if side == "request" else made.champion.answer.body
    async with stage.session.post(f"{stage._url}/v1/ingest", data=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["result"])


async def test_drift_predictions_and_outcomes_work_without_a_sidecar_in_the_path(stage: Stage) -> None:
    for number in range(20):
        order = ("request", "response") if number % 2 else ("response", "request")
        assert [await send(stage, side, number) for side in order] == ["waiting", "joined"]
    assert await send(stage, "request", 5) == "duplicate"
    assert await send(stage, "request", 99) == "waiting"

    drift = await stage.get(f"{ONE}/drift")
    assert (drift["rows_sampled"], drift["undecodable"]) == (40, 0)
    assert {feature["name"]: feature["n"] for feature in drift["features"]} == {"amount": 40}
    assert drift["prediction"]["n"] == 40

    decision = await stage.get("/v1/decisions/id-7")
    assert (decision["deployment"], decision["version"], len(decision["prediction"])) == ("fraud", "3", 2)
    counts = await stage.post("/v1/outcomes", {"outcomes": [{"request_id": "id-7", "row": 1, "outcome": 1}]})
    assert counts["matched"] == 1
    quality = (await stage.get(f"{ONE}/performance"))["items"][0]
    assert (quality["version"], quality["predicted"], quality["matched"]) == ("3", 40, 1)

    families = text_string_to_metric_families(await stage.text("/metrics"))
    halves = {
        sample.labels["result"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "sidecar_ingested_halves_total" and sample.labels["deployment"] == "fraud"
    }
    assert halves == {
        "joined": 40, "duplicate": 1, "request_alone": 0, "response_alone": 0, "evicted": 0, "unknown_endpoint": 0
    }  # fmt: skip
