"""Callers that have payments scored, and the office that learns a moment later which were fraud.

Keeps: each outcome goes to the sidecar and, with the row, to the warehouse: the training script reads only there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import numpy as np

from examples.loop import warehouse, world

OUTCOME_DELAY_S = 1.0
_CALLERS = 4
_PREPARED = 256
# Known outcomes wait for each other: request id, time of the request, features, outcome.
_Known = tuple[float, str, float, Sequence[float], int]


class Traffic:
    """`rate_per_s` payments; `turned` is the day on which frauds change their habit."""

    def __init__(self, data_url: str, admin_url: str, table: Path, rate_per_s: float) -> None:
        self.turned = False
        self.sent = 0
        self.failed = 0
        self._infer = f"{data_url}/v2/models/{world.MODEL}/infer"
        self._outcomes = f"{admin_url}/v1/outcomes"
        self._table = table
        self._rate_per_s = rate_per_s
        self._rng = np.random.default_rng(20_26)
        self._ready: deque[tuple[Sequence[float], int]] = deque()
        self._prepared_turned = False
        self._known: deque[_Known] = deque()

    async def run(self) -> None:
        """Sends until cancelled."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(_CALLERS):
                group.create_task(self._call(session))
            group.create_task(self._tell(session))

    async def _call(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + _CALLERS / self._rate_per_s, loop.time() - 1.0)
            await asyncio.sleep(due - loop.time())
            row, truth = self._next()
            self.sent += 1
            request_id, at = f"card-{self.sent:08d}", time.time()
            inputs = [
                {"name": name, "datatype": "FP32", "shape": [1, 1], "data": [value]}
                for name, value in zip(world.FEATURES, row, strict=True)
            ]
            body = json.dumps({"inputs": inputs})
            try:
                async with session.post(self._infer, data=body, headers={"x-request-id": request_id}) as answer:
                    await answer.read()
                    ok = answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                ok = False
            self.failed += not ok
            if ok:
                self._known.append((loop.time() + OUTCOME_DELAY_S, request_id, at, row, truth))

    async def _tell(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.2)
            ripe: list[_Known] = []
            while self._known and self._known[0][0] <= loop.time():
                ripe.append(self._known.popleft())
            if not ripe:
                continue
            posted = [{"request_id": request_id, "outcome": truth} for _, request_id, _, _, truth in ripe]
            async with session.post(self._outcomes, json={"outcomes": posted}) as answer:
                answer.raise_for_status()
            warehouse.append(self._table, [(at, row, truth) for _, _, at, row, truth in ripe])

    def _next(self) -> tuple[Sequence[float], int]:
        if not self._ready or self._prepared_turned != self.turned:
            rows = world.payments(self._rng, _PREPARED)
            truth = world.frauds(self._rng, rows, turned=self.turned)
            self._prepared_turned = self.turned
            self._ready = deque(zip(rows.tolist(), truth.tolist(), strict=True))
        return self._ready.popleft()
