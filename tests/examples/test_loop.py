"""The loop's parts that decide something: which deliveries count, and which rows are learnt from."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from examples.loop import warehouse, world
from examples.loop.receiver import RETRAIN, Receiver
from sidecar.control.event_sender import signed

SECRET = "a secret of the example"


class Endpoint:
    """The receiver on a port, and what it made of deliveries."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[str] = []
        self.results: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        script = ("/bin/sh", "-c", 'grep -q \'"id": "good"\' "$0" && echo \'{"version": "2"}\'')
        self.receiver = Receiver(folder, SECRET, "mlflow+http://x", self._hear, self.results.put_nowait, script)
        self.url = ""

    def _hear(self, event: dict[str, Any]) -> None:
        self.heard.append(event["id"])

    async def post(self, told: str, *, secret: str = SECRET, at: float | None = None, spoilt: bool = False) -> int:
        body = json.dumps({"id": told, "type": RETRAIN, "data": {"says": "train"}}).encode()
        timestamp = str(int(time.time() if at is None else at))
        signature = signed(secret, told, timestamp, body)
        headers = {"webhook-id": told, "webhook-timestamp": timestamp, "webhook-signature": signature}
        sent = body + b" " if spoilt else body
        async with aiohttp.ClientSession() as session, session.post(self.url, data=sent, headers=headers) as answer:
            return answer.status


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    made = Endpoint(tmp_path)
    app = web.Application()
    app.router.add_post("/events", made.receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    yield made
    await runner.cleanup()


async def test_a_delivery_that_repeats_starts_one_training(endpoint: Endpoint) -> None:
    assert [await endpoint.post("a"), await endpoint.post("a"), await endpoint.post("b")] == [202, 202, 202]
    assert endpoint.heard == ["a", "b"]
    assert endpoint.receiver._due.qsize() == 2


@pytest.mark.parametrize(
    "changes", [{"secret": "guessed"}, {"at": 1_000.0}, {"spoilt": True}], ids=["other secret", "old", "changed"]
)
async def test_a_delivery_that_is_not_ours_starts_nothing(endpoint: Endpoint, changes: dict[str, Any]) -> None:
    assert await endpoint.post("a", **changes) == 401
    assert endpoint.heard == []


def test_rows_of_broken_stretches_and_half_written_lines_are_not_learnt_from(tmp_path: Path) -> None:
    table = tmp_path / "warehouse.jsonl"
    warehouse.append(table, [(float(at), (at, 0.0, 0.0), at % 2) for at in range(10)])
    with table.open("a") as file:
        file.write("[11, 1.0")
    rows, truth = warehouse.between(table, 2.0, 9.0, [(4.0, 6.0)])
    assert rows[:, 0].tolist() == [2, 3, 6, 7, 8]
    assert truth.tolist() == [0, 1, 0, 1, 0]
    assert len(warehouse.between(tmp_path / "none", 0.0, 9.0)[0]) == 0


def test_nothing_in_the_inputs_tells_of_the_turn_and_the_outcomes_do() -> None:
    rows = world.payments(np.random.default_rng(1), 20_000)
    before, after = (world.frauds(np.random.default_rng(2), rows, turned=turned) for turned in (False, True))
    assert abs(before.mean() - after.mean()) < 0.02
    assert np.corrcoef(before, rows[:, 0])[0, 1] > 0.3
    assert np.corrcoef(after, rows[:, 0])[0, 1] < -0.3


async def test_a_training_that_fails_is_told_and_the_next_one_runs(endpoint: Endpoint) -> None:
    for told in ("bad", "good"):
        await endpoint.post(told)
    running = asyncio.create_task(endpoint.receiver.run())
    async with asyncio.timeout(60):
        found = [await endpoint.results.get(), await endpoint.results.get()]
    running.cancel()
    assert found == [{"failed": 1}, {"version": "2"}]
