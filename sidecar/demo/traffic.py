"""The demo's callers: payments scored one by one through the sidecar, and their outcomes, which come later."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from dataclasses import dataclass, field

import aiohttp
import numpy as np

from sidecar.demo import payments

OUTCOME_DELAY_S = 2.0
_CALLERS = 8
_PREPARED = 500


@dataclass
class Traffic:
    """Callers that send `rate_per_s` payments, and the office that learns some seconds later what was fraud.

    With `in_euros` the feed is broken: amounts come in euros instead of cents, and nobody says so.
    """

    data_url: str
    admin_url: str
    rate_per_s: float
    in_euros: bool = False
    sent: int = 0
    failed: int = 0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _ready: deque[tuple[bytes, int]] = field(default_factory=deque)
    _truths: deque[tuple[float, str, int]] = field(default_factory=deque)
    _rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(20_26))
    _prepared_in_euros: bool = False

    async def run(self) -> None:
        """Sends until cancelled."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for _ in range(_CALLERS):
                group.create_task(self._call(session))
            group.create_task(self._tell_outcomes(session))

    async def _call(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + _CALLERS / self.rate_per_s, loop.time() - 1.0)
            await asyncio.sleep(due - loop.time())
            body, truth = self._next()
            request_id = f"payment-{next(self._numbers):08d}"
            try:
                async with session.post(
                    f"{self.data_url}/v2/models/payments/infer", data=body, headers={"x-request-id": request_id}
                ) as answer:
                    await answer.read()
                    ok = answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                ok = False
            self.sent += 1
            self.failed += not ok
            if ok:
                self._truths.append((loop.time() + OUTCOME_DELAY_S, request_id, truth))

    def _next(self) -> tuple[bytes, int]:
        if not self._ready or self._prepared_in_euros != self.in_euros:
            self._prepare()
        return self._ready.popleft()

    def _prepare(self) -> None:
        rows = payments.stream(self._rng, _PREPARED)
        truth = payments.outcomes(self._rng, rows)
        seen = payments.in_euros(rows) if self.in_euros else rows
        self._prepared_in_euros = self.in_euros
        self._ready.clear()
        for row in range(_PREPARED):
            one = {name: column[row : row + 1] for name, column in seen.items()}
            body = json.dumps({"inputs": payments.inference_inputs(one)}).encode()
            self._ready.append((body, int(truth[row])))

    async def _tell_outcomes(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.5)
            due: list[dict[str, object]] = []
            while self._truths and self._truths[0][0] <= loop.time():
                _, request_id, truth = self._truths.popleft()
                due.append({"request_id": request_id, "outcome": truth})
            if due:
                async with session.post(f"{self.admin_url}/v1/outcomes", json={"outcomes": due}) as answer:
                    answer.raise_for_status()
