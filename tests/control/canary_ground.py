"""A real control with a challenger that may begin as a canary, and what its worker would tell of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from sidecar.control import automation
from sidecar.records import Offered
from tests.control.live_samples import exchange, leg, shadow_counts, worker_counts
from tests.control.test_whole_automation import SOON
from tests.control.whole_control import ONE, ROWS, Json, Stage, deployment, staged

STEPS: list[Json] = [{"weight": 0.1, "dwell_s": 0, "min_pairs": 100}, {"weight": 0.5, "dwell_s": 0, "min_pairs": 100}]
MANUAL: Json = {"canary": {"steps": STEPS}}
AUTO: Json = {"mode": "auto", "dwell_s": 0.1, "canary": {"steps": STEPS}}
BEGIN: Json = {"challenger": "4", "reason": "a few first"}
Begin = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    monkeypatch.setattr(automation, "RETRY_S", 0.3)

    def staged_with(promotion: Json, admin: Json | None = None, **changes: Any) -> AbstractAsyncContextManager[Stage]:
        def made(server: str) -> Json:
            challengers = [{"version": "4", "url": server, "path": "/four"}]
            fields: Json = {"gates": SOON, "baseline": None, "promotion": promotion, "challengers": challengers}
            return deployment(server, **fields | changes)

        return staged(tmp_path, monkeypatch, admin, made)

    return staged_with


def traffic(stage: Stage) -> None:
    """Enough of the shadow for every gate."""
    stage.worker.offer(range(ROWS // 2))
    stage.worker.send(worker_counts("w0-1", shadow_counts(ROWS // 2)))


async def passing(stage: Stage) -> None:
    traffic(stage)

    async def there() -> bool:
        return bool((await stage.get(f"{ONE}/gates"))["verdict"] == "pass")

    await stage.until(there)


def step_since(stage: Stage) -> float:
    """The mark of the canary's step, as the worker's newest table has it."""
    canary = stage.worker.tables[-1].routes[0].canary
    return canary.step_since if canary is not None else 0.0


def copied(stage: Stage, mirrored: int, **changes: Any) -> None:
    """The worker's counts so far: of copies to the challenger, and of those that the champion got at this step."""
    beside = shadow_counts(mirrored, champion="4", version="3", **{"step_since": step_since(stage)} | changes)
    stage.worker.send(worker_counts("w0-1", shadow_counts(ROWS // 2), beside))


def served(stage: Stage, first: int, *, requests: int = 120, failed: bool = False, before: int = 0) -> None:
    """Requests that the canary was asked for first: it answers, or fails and the champion does.

    `before`: as many had been answered by it at this step when these began.
    """
    for number in range(first, first + requests):
        made = exchange(number, at=time.time())
        mine = leg("4", None, error="connect") if failed else made.shadows[0]
        asked: Json = {"canary": "4", "step_since": step_since(stage), "shadows": (mine,)}
        stage.worker.send(Offered(exchange(number, at=time.time(), **asked)))
    if not failed:
        copied(stage, before + requests)


async def canary(stage: Stage, step: int) -> Json:
    async def there() -> bool:
        status = await stage.get(ONE)
        return bool(status["canary"] and status["canary"]["step"] == step)

    await stage.until(there)
    standing = await stage.get(f"{ONE}/canary")
    await routed(stage, standing["weight"])
    return standing


async def gone(stage: Stage) -> Json:
    async def there() -> bool:
        return (await stage.get(ONE))["canary"] is None

    await stage.until(there)
    return await stage.get(ONE)


async def routed(stage: Stage, weight: float) -> None:
    async def there() -> bool:
        route = stage.worker.tables[-1].routes[0]
        return (route.canary.weight if route.canary else 0.0) == weight

    await stage.until(there)


async def actions(stage: Stage) -> list[tuple[str, str]]:
    entries = (await stage.get("/v1/audit?after=1"))["entries"]
    return [(entry["action"], entry["actor"]) for entry in entries]
