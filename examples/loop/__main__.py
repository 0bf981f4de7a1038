"""Plays the loop once, with a real MLflow, a real sidecar and a real training script; exits with 1 if it did not close.

A champion serves; the world turns; outcomes say so; the sidecar recommends retraining; the event starts the training
script; its version arrives as `challenger`, shadows, passes its gates and is promoted. Nobody touches anything.
Files of a run stay in .cache/loop until the next one.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from examples.loop import stage, world
from examples.loop.receiver import RETRAIN, Receiver
from examples.loop.traffic import Traffic
from examples.loop.train import train

CACHE = Path(".cache/loop")
ONE = f"/v1/deployments/{world.MODEL}"
RATE_PER_S = 120.0
# More than the outcomes of its beginning, by which the sidecar judges a champion later.
CALM_REQUESTS = 1_300
STARTS_WITHIN_S, STEP_WITHIN_S = 180.0, 600.0


class Broken(Exception):
    """The loop did not close; the sentence says where."""


class Loop:
    """One run: what happened so far, and the way to the sidecar."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self._folder = folder
        self._session = session
        self._began = time.monotonic()
        self._data_port, self._admin_port, self._mlflow_port = stage.free_ports(3)
        self._admin = f"http://127.0.0.1:{self._admin_port}"
        self._registry = f"mlflow+http://127.0.0.1:{self._mlflow_port}"
        self._happened: dict[str, dict[str, Any]] = {}
        self._trained: list[dict[str, Any]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def play(self, stack: AsyncExitStack) -> None:
        """The whole story. Raises Broken."""
        first = await self._first_version(stack)
        traffic = await self._serve(stack, first)
        await self._until(lambda: traffic.sent > CALM_REQUESTS, "the first outcomes")
        traffic.turned = True
        self._say("the world turns: frauds have another habit, payments look as before")
        await self._until(lambda: RETRAIN in self._happened, "the recommendation")
        await self._until(lambda: bool(self._trained), "the training")
        if "version" not in self._trained[0]:
            raise Broken("the training script failed; its words are above")
        version = self._trained[0]["version"]
        await self._until(lambda: self._shadows(version), "the new version's arrival")
        self._say(f"version {version} shadows")
        await self._until(lambda: "sidecar.promotion.ready" in self._happened, "the gates")
        # Nobody promotes: the settings say `mode: auto`.
        await self._until(lambda: "sidecar.promoted" in self._happened, "the promotion's event")
        promoted = self._happened["sidecar.promoted"]["data"]
        if (promoted["from"], promoted["to"], promoted["actor"]) != (first, version, "sidecar"):
            raise Broken(f"somebody else promoted something else: {promoted}")
        await self._tell()
        if traffic.failed:
            raise Broken(f"{traffic.failed} of {traffic.sent} requests were not answered")
        self._say(f"all {traffic.sent} requests were answered; the loop is closed")

    async def _first_version(self, stack: AsyncExitStack) -> str:
        """An MLflow server, and in it a champion that has learnt the world as it was."""
        command = stage.mlflow_command(self._folder, self._mlflow_port)
        log = self._folder / "mlflow.log"
        await stack.enter_async_context(stage.running(command, log, stage.mlflow_environment(self._folder)))
        await self._until(lambda: self._answers(f"http://127.0.0.1:{self._mlflow_port}/health"), "MLflow")
        self._say("MLflow serves")
        rng = np.random.default_rng(7)
        rows = world.payments(rng, 4_000)
        truth = world.frauds(rng, rows, turned=False)
        version = await train(rows, truth, self._registry, "champion", "last year's payments")
        self._say(f"version {version} is registered as champion")
        return version

    async def _serve(self, stack: AsyncExitStack, first: str) -> Traffic:
        """The sidecar in front, callers before it, and the endpoint that starts the training script."""
        secret = secrets.token_hex(16)
        receiver = Receiver(self._folder, secret, self._registry, self._heard, self._was_trained)
        hook = await stack.enter_async_context(stage.listening(receiver))
        config = stage.configuration(self._folder, self._registry, hook, (self._data_port, self._admin_port))
        command, environment = (
            [str(stage.SIDECAR), "run", "-c", str(config)],
            dict(os.environ) | {"LOOP_SECRET": secret},
        )
        await stack.enter_async_context(stage.running(command, self._folder / "sidecar.log", environment))
        await self._until(lambda: self._answers(f"{self._admin}/readyz"), "the sidecar")
        self._say(f"the sidecar serves version {first}; dashboard: {self._admin}/")
        traffic = Traffic(f"http://127.0.0.1:{self._data_port}", self._admin, receiver.warehouse, RATE_PER_S)
        self._tasks += [asyncio.create_task(traffic.run()), asyncio.create_task(receiver.run())]
        stack.push_async_callback(self._end)
        return traffic

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tell(self) -> None:
        """What is left for whoever asks later: quality of both versions, the report, the proof."""
        for item in (await self._get(f"{ONE}/performance"))["items"]:
            accuracy = item["metrics"].get("accuracy")
            if accuracy is not None:
                self._say(f"version {item['version']}: accuracy {accuracy:.3f} over {item['matched']} outcomes")
        url = f"{self._admin}{ONE}/transitions/latest/report?format=html"
        async with self._session.get(url) as answer:
            report = self._folder / "report.html"
            report.write_text(await answer.text(), encoding="utf-8")
        self._say(f"the decision report: {report}")
        check = await self._get("/v1/audit/verify")
        if not check["ok"]:
            raise Broken(f"the audit trail does not hold: {check['fault']}")
        self._say(f"the audit trail holds: {check['entries']} entries")

    # --- looking -------------------------------------------------------------------------------------------------

    def _heard(self, event: dict[str, Any]) -> None:
        self._happened.setdefault(event["type"], event)
        self._say(f"event {event['type']}: {event['data']['says']}")

    def _was_trained(self, result: dict[str, Any]) -> None:
        self._trained.append(result)
        self._say(f"training script: {result}")

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)

    async def _get(self, path: str) -> Any:
        async with self._session.get(f"{self._admin}{path}") as answer:
            return await answer.json()

    async def _answers(self, url: str) -> bool:
        return await stage.answers(self._session, url)

    async def _shadows(self, version: str) -> bool:
        return version in {challenger["version"] for challenger in (await self._get(ONE))["challengers"]}

    async def _until(self, true: Callable[[], bool | Awaitable[bool]], what: str) -> None:
        deadline = time.monotonic() + (STEP_WITHIN_S if self._tasks else STARTS_WITHIN_S)
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            for task in self._tasks:
                if task.done():
                    raise Broken(f"while waiting for {what}: {task.exception()!r}")
            if time.monotonic() > deadline:
                raise Broken(f"{what} did not come in time; the logs are in {CACHE}")
            await asyncio.sleep(0.1)


async def play(folder: Path) -> None:
    """One run in a folder."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await Loop(folder, session).play(stack)


def main() -> int:
    """Plays it in a folder of its own."""
    if not stage.MLFLOW.exists():
        print(f"{stage.MLFLOW} is not there: run this by `make example-loop`", file=sys.stderr)
        return 2
    folder = CACHE.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        asyncio.run(play(folder))
    except Broken as fault:
        print(f"the loop is broken: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
