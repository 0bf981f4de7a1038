"""Joins on their way to whoever counts quality by them, while later ones are still being looked up on disk.

Keeps: their order, each once, and the event loop free: some at a time. Does not: match outcomes (`decisions` does).
Called by: the desk for posted outcomes, the rounds for those that came before their request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from sidecar.control.decision_row import Joined
from sidecar.control.decisions import Decisions
from sidecar.control.watch import DeploymentWatch
from sidecar.records import Outcome
from sidecar.reports import OutcomeCounts

AT_ONCE = 200  # a few milliseconds


class Joining:
    """Between the decisions and the watches."""

    def __init__(self, decisions: Decisions, watches: Mapping[str, DeploymentWatch]) -> None:
        self._decisions = decisions
        self._watches = watches

    async def post(
        self, outcomes: Sequence[Outcome], now: float, early_s: float, window_s: float
    ) -> tuple[OutcomeCounts, tuple[Joined, ...]]:
        """As `Decisions.post`; what was joined counts when it returns."""
        counting = asyncio.create_task(self._count_on(), name="counting joins")
        try:
            answer = await self._decisions.post(outcomes, now, early_s, window_s)
        finally:
            counting.cancel()
            await asyncio.wait([counting])
        if not counting.cancelled():
            counting.result()  # it ended by a fault
        await self.count()
        return answer

    async def count(self) -> None:
        """All that there is."""
        while self._some():  # noqa: ASYNC110  it gives others their turn, it does not wait
            await asyncio.sleep(0)

    async def _count_on(self) -> None:
        while True:
            await self._decisions.joins.wait()
            self._some()
            await asyncio.sleep(0)

    def _some(self) -> bool:
        taken = self._decisions.take_joined(AT_ONCE)
        for joined in taken:
            if joined.deployment in self._watches:
                self._watches[joined.deployment].fold_joined(joined)
        return bool(taken)
