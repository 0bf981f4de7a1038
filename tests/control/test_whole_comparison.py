"""What is known of a challenger by pairs, outcomes and repeats, through a whole control."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.control.live_samples import amounts, answer, leg
from tests.control.whole_control import ONE, Stage, metrics, staged

DIFFERS: dict[str, Any] = {
    "champion": leg("3", answer(["1", "0"], [0.9, 0.1])),
    "shadows": (leg("4", answer(["0", "0"], [0.2, 0.1])),),
}


class Repeated:
    """A champion that answers, every other time with the other label; `asked` are the marks of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        rows = len(json.loads(await request.read() or b"{}").get("inputs", [{"data": []}])[0]["data"])
        if "sidecar-shadow" in request.headers:
            self.asked.append(request.headers["sidecar-shadow"])
        label = str(len(self.asked) % 2)
        said = answer([label] * rows, [0.9] * rows)
        return web.Response(body=said.body, content_type="application/json")


@pytest.fixture
async def champion() -> AsyncIterator[Repeated]:
    repeated = Repeated()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", repeated.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    repeated.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield repeated
    await runner.cleanup()


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


async def test_outcomes_tell_who_was_right_and_what_is_worth_labelling_and_a_restart_keeps_both(stage: Stage) -> None:
    stage.worker.offer(range(200), **DIFFERS)
    await stage.paired(400)
    queue = await stage.get(f"{ONE}/label-queue?limit=3")
    assert (queue["differing"], queue["waiting"], len(queue["items"])) == (200, 200, 3)
    assert set(queue["items"][0]) == {"request_id", "row", "at", "champion", "challenger"}
    truths = [{"request_id": f"id-{number}", "row": row, "outcome": 1 - row} for number in range(150) for row in (0, 1)]
    assert (await stage.post("/v1/outcomes", {"outcomes": truths}))["matched"] == 300

    async def told() -> None:
        found = await stage.get(f"{ONE}/comparison")
        outcomes = found["outcomes"]
        assert (outcomes["matched"], outcomes["better"], outcomes["worse"], outcomes["same"]) == (300, 0, 150, 150)
        assert outcomes["gaps"]["accuracy"]["upper"] < -0.3
        assert outcomes["maturity"]["after_s"] is not None
        assert (found["cohen_kappa"], found["threshold_flips"]) == (0.0, {"n": 400, "up": 0, "down": 200})
        assert "champion's own address" in found["self_test"]
        assert "other hardware" in found["latency_ms"]["caveat"]
        assert (await stage.get(f"{ONE}/label-queue"))["waiting"] == 50
        (three, four) = (await stage.get(f"{ONE}/performance"))["items"]
        assert (three["metrics"]["auc"], three["auc_error"], four["metrics"]["accuracy"]) == (1.0, 0.0, 0.5)
        assert three["intervals"]["accuracy"]["upper"] == 1.0
        assert [one["n"] for one in three["reliability"]] == [150, 150]

    await told()
    page = await metrics(stage)
    assert page["sidecar_quality", "deployment=fraud,metric=accuracy,version=4"] == 0.5
    assert page["sidecar_label_queue_rows", "challenger=4,deployment=fraud"] == 50
    await stage.close()
    await stage.open()
    await told()


async def test_a_champion_that_contradicts_itself_is_told_and_disagreement_stands_above_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, champion: Repeated
) -> None:
    first = itertools.count(0, 100)
    changes: dict[str, Any] = {
        "champion": {"version": "3", "url": champion.url},
        "noise_floor": {"share": 0.1, "max_per_s": 100.0},
    }
    async with staged(tmp_path, monkeypatch, **changes) as stage:

        async def told() -> bool:
            # Ever new requests: those of the share wait for no longer than some seconds.
            start = next(first)
            stage.worker.offer(range(start, start + 100), **DIFFERS)
            noise = (await stage.get(f"{ONE}/comparison"))["noise"]
            return noise is not None and noise["rows"] >= 8

        await stage.until(told)
        found = await stage.get(f"{ONE}/comparison")
    assert set(champion.asked) == {"noise-floor"}
    noise = found["noise"]
    assert 0.0 < found["noise_floor"] == noise["self_disagreement"] < 1.0
    assert noise["disagreement"] == 0.5
    assert "not deterministic" in noise["says"]


async def test_the_segment_in_which_a_challenger_is_worse_is_named_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"comparison": {"segments": [{"feature": "amount", "edges": [3_000.0]}]}}
    async with staged(tmp_path, monkeypatch, **changes) as stage:
        for number in range(200):
            labels = ["0" if amount < 3_000.0 else "1" for amount in amounts(number, 2)]
            wrong = leg("4", answer(labels, [0.5, 0.5]))
            stage.worker.offer(
                range(number, number + 1), champion=leg("3", answer(["1"] * 2, [0.9] * 2)), shadows=(wrong,)
            )
        await stage.paired(400)
        truths = [{"request_id": f"id-{number}", "row": row, "outcome": 1} for number in range(200) for row in (0, 1)]
        assert (await stage.post("/v1/outcomes", {"outcomes": truths}))["matched"] == 400

        async def told() -> None:
            found = await stage.get(f"{ONE}/comparison")
            low, high = found["outcomes"]["segments"]
            assert [one["segment"] for one in (low, high)] == ["amount<3000", "amount>=3000"]
            assert [one["inferior"] for one in (low, high)] == [True, False]
            assert low["matched"] + high["matched"] == 400
            assert [one["agreement"]["value"] for one in found["segments"]] == [0.0, 1.0]

        await told()
        await stage.close()
        await stage.open()
        await told()
