"""The offline pipeline's rows, the frozen reference and acknowledgements, through a whole control."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.control.live_samples import amounts
from tests.control.whole_control import ONE, Json, Stage, staged


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch, sampling={"keep_rows": 1_000}) as standing:
        yield standing


def rows(numbers: range, factor: float) -> list[Json]:
    """What the offline pipeline computed for the rows of these requests."""
    return [
        {"request_id": f"id-{number}", "row": row, "features": {"amount": value * factor}}
        for number in numbers
        for row, value in enumerate(amounts(number, 2))
    ]


async def seen(stage: Stage, rows: int) -> None:
    async def there() -> bool:
        return bool((await stage.get(f"{ONE}/drift"))["rows_sampled"] >= rows)

    await stage.until(there)


async def test_rows_that_differ_raise_an_alarm_that_names_the_cause_and_is_acknowledged_with_a_reason(
    stage: Stage,
) -> None:
    stage.worker.offer(range(60))
    await seen(stage, 120)
    same = await stage.post(f"{ONE}/features", {"rows": rows(range(10), 1.0)})
    assert same == {"compared": 20, "duplicate": 0, "unknown": 0, "ignored_values": 0}
    other = await stage.post(f"{ONE}/features", {"rows": [*rows(range(5, 60), 100.0), *rows(range(900, 901), 1.0)]})
    assert other == {"compared": 100, "duplicate": 10, "unknown": 2, "ignored_values": 0}
    (feature,) = (await stage.get(f"{ONE}/features"))["features"]
    assert (feature["compared"], feature["differs"], feature["alarm"]) == (120, 100, True)
    assert (feature["cause"]["kind"], feature["cause"]["factor"]) == ("scale", 0.01)

    alarm = await stage.alarm("data.broken")
    assert "cents become euros" in alarm["says"]
    assert alarm["acknowledgement"] is None
    answer = await stage.post(f"/v1/alarms/{alarm['id']}/acknowledge", {"reason": "the feed team is on it"})
    (listed,) = [item for item in (await stage.get("/v1/alarms"))["items"] if item["id"] == alarm["id"]]
    assert listed["acknowledgement"] == answer["acknowledgement"]
    assert {name: answer["acknowledgement"][name] for name in ("by", "reason")} == {
        "by": "anonymous", "reason": "the feed team is on it",
    }  # fmt: skip
    (entry,) = [e for e in (await stage.get("/v1/audit"))["entries"] if e["action"] == "acknowledge"]
    assert entry["reason"] == "the feed team is on it"
    page = {
        sample.name: sample.value
        for family in text_string_to_metric_families(await stage.text("/metrics"))
        for sample in family.samples
        if sample.name in ("sidecar_rows_compared_total", "sidecar_row_skew_features")
    }
    assert page == {"sidecar_rows_compared_total": 120.0, "sidecar_row_skew_features": 1.0}

    await stage.close()
    await stage.open()
    (kept,) = (await stage.get(f"{ONE}/features"))["features"]
    assert (kept["differs"], kept["alarm"], kept["cause"]) == (100, True, feature["cause"])
    (still,) = [item for item in (await stage.get("/v1/alarms"))["items"] if item["id"] == alarm["id"]]
    assert (still["ended"], still["acknowledgement"]) == (None, answer["acknowledgement"])


async def test_a_reference_is_frozen_by_name_once_there_is_something_to_freeze(stage: Stage) -> None:
    refused = await stage.post(f"{ONE}/drift/reference", {"reason": "too early"}, 409)
    assert "No row was judged yet" in refused["detail"]
    stage.worker.offer(range(60))
    await seen(stage, 120)
    frozen: list[Json] = []

    async def judged() -> bool:
        async with stage.session.post(f"{stage._url}{ONE}/drift/reference", json={"reason": "a quiet week"}) as answer:
            frozen.append(await answer.json())
            return answer.status == 200

    await stage.until(judged)
    assert frozen[-1]["rows"] > 0
    recent = await stage.get(f"{ONE}/drift?against=recent")
    assert (recent["reference_at"] is not None, recent["reference_rows"]) == (True, frozen[-1]["rows"])
    (entry,) = [e for e in (await stage.get("/v1/audit"))["entries"] if e["action"] == "freeze_reference"]
    assert (entry["seq"], entry["reason"]) == (frozen[-1]["audit_seq"], "a quiet week")


async def test_without_kept_rows_nothing_can_be_compared_and_the_answer_says_which_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path, monkeypatch) as stage:
        refused = await stage.post(f"{ONE}/features", {"rows": rows(range(1), 1.0)}, 409)
        assert "sampling.keep_rows" in refused["detail"]
        assert (await stage.get(f"{ONE}/features"))["compared"] == 0
        await stage.post("/v1/deployments/none/features", {"rows": rows(range(1), 1.0)}, 404)
