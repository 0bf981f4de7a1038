"""Plays flights through the sidecar on a virtual clock: predictions when they are due, outcomes after the landing.

Keeps: nothing is sent before its moment; within a step of half a virtual hour requests go out in order, a few at a
time. Whatever is not answered with 200 ends the run: this example is to show a year without an error.
Called by the main program.
"""

from __future__ import annotations

import asyncio
from time import time

import aiohttp
import orjson

from examples.flights.cleaning import Flights
from examples.flights.schedule import Batch, Clock, Landing, batches_of, inference_inputs, landings_of

STEP_S = 1_800
AT_ONCE = 4


class Refused(Exception):
    """The sidecar did not take a request or an outcome; one sentence says what it answered."""


class Traffic:
    """The flights that are still to come. `infer_url` is the sidecar's data plane, `admin_url` its admin API."""

    def __init__(self, session: aiohttp.ClientSession, infer_url: str, admin_url: str, flights: Flights) -> None:
        self._session = session
        self._infer_url = infer_url
        self._outcomes_url = f"{admin_url}/v1/outcomes"
        self._flights = flights
        batches = batches_of(flights)
        # The next one is at the end, where it is cheap to take away.
        self._batches = batches[::-1]
        self._landings = landings_of(flights, batches)[::-1]
        self.requests = self.flights = self.landed = self.late = 0
        self._posting: asyncio.Task[None] | None = None
        self.behind_s = 0.0

    @property
    def last_landing_s(self) -> int:
        """When all is over."""
        return self._landings[0].lands_s if self._landings else self._flights.departs_s[-1].item()

    async def play(self, clock: Clock, until_s: int) -> None:
        """Everything before the virtual moment `until_s`. Raises Refused."""
        step_s = int(clock.virtual_s(time())) // STEP_S * STEP_S
        while step_s < until_s:
            step_s = min(step_s + STEP_S, until_s)
            wait_s = clock.wall_s(step_s) - time()
            self.behind_s = max(self.behind_s, -wait_s)
            await asyncio.sleep(max(0.0, wait_s))
            await self._step(step_s)
        if self._posting is not None:
            await self._posting

    async def _step(self, until_s: int) -> None:
        due: list[Batch] = []
        while self._batches and self._batches[-1].due_s < until_s:
            due.append(self._batches.pop())
        for start in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self._predict(batch) for batch in due[start : start + AT_ONCE]))
        landed: list[Landing] = []
        while self._landings and self._landings[-1].lands_s < until_s:
            landed.append(self._landings.pop())
        # Posted while the next step's predictions run; the step after waits for it.
        if self._posting is not None:
            await self._posting
        self._posting = asyncio.create_task(self._post(landed)) if landed else None

    async def _predict(self, batch: Batch) -> None:
        body = orjson.dumps({"inputs": inference_inputs(self._flights, batch)})
        headers = {"content-type": "application/json", "x-request-id": batch.request_id}
        async with self._session.post(self._infer_url, data=body, headers=headers) as answer:
            if answer.status != 200:
                raise Refused(f"{batch.request_id} was answered with {answer.status}: {await answer.text()}")
            await answer.read()
        self.requests += 1
        self.flights += batch.last - batch.first

    async def _post(self, landed: list[Landing]) -> None:
        # Without `at`: the sidecar made its decisions today, and an outcome of 2013 would be older than they are.
        outcomes = [{"request_id": one.request_id, "row": one.row, "outcome": one.late} for one in landed]
        body = orjson.dumps({"outcomes": outcomes})
        headers = {"content-type": "application/json"}
        async with self._session.post(self._outcomes_url, data=body, headers=headers) as answer:
            if answer.status != 200:
                raise Refused(f"outcomes were answered with {answer.status}: {await answer.text()}")
            await answer.read()
        self.landed += len(landed)
        self.late += sum(one.late for one in landed)
