"""Proves named causes: asks the champion what it would have said of kept rows, had the feed not broken.

Keeps: spare capacity only (`spare_capacity`); one question at a time over all deployments. Rows reach nobody but the
champion that had answered them. No row is kept here, and none is logged.
Does not: judge (`counterfactual` does), keep rows (`kept_rows` does), or count as traffic.
Called by: the rounds, each few seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sidecar.control.shift_shares import ShiftShares
from sidecar.control.spare_capacity import Ask, Asked, Attempts, SpareCapacity, newest_rows, said_then
from sidecar.control.watch import DeploymentWatch
from sidecar.observe.counterfactual import FEWEST_ROWS, proven, shift_removed, undone
from sidecar.reports import Cause
from sidecar.telemetry.counts import Totals

log = logging.getLogger("sidecar.control.rescoring")

# The onset's bucket holds rows from before the change, too: the cause's share is told by the buckets after it.
FIRST_BUCKETS = 3

Key = tuple[str, int, str, str, float]  # deployment, generation, feature, kind of cause, onset


class Rescoring:
    """`ask` sends one body to a target and path; `clock` gives seconds since the epoch; `pause` waits."""

    def __init__(
        self,
        watches: Mapping[str, DeploymentWatch],
        *,
        ask: Ask,
        totals: Callable[[], Totals],
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._watches = watches
        self._clock = clock
        self._capacity = SpareCapacity(ask=ask, totals=totals, clock=clock, pause=pause)
        self._shares = ShiftShares(watches, self._capacity)
        self._attempts: dict[Key, Attempts] = {}

    async def round(self) -> None:
        """Tries to prove causes, and then to share out shifts, where the champion has time for it."""
        standing: set[Key] = set()
        for name, watch in list(self._watches.items()):
            for feature, cause, since in _unproven(watch):
                key = (name, watch.state.generation, feature, cause.kind, since)
                standing.add(key)
                attempts = self._attempts.setdefault(key, Attempts())
                now = self._clock()
                early = now < since + FIRST_BUCKETS * watch.deployment.drift.bucket_s
                if early or not attempts.due(now) or not self._capacity.calm(name, watch):
                    continue
                attempts.begin(now)
                asked = await self._prove(watch, feature, cause, since)
                if asked is not None:
                    attempts.ended(asked, self._clock())
        self._attempts = {key: tried for key, tried in self._attempts.items() if key in standing}
        await self._shares.round()

    async def _prove(self, watch: DeploymentWatch, feature: str, cause: Cause, since: float) -> Asked | None:
        """What came of asking, proven or not; None where rows are too few yet."""
        baseline, now = watch.baseline, self._clock()
        if baseline is None or baseline.prediction is None:
            return None
        rows = newest_rows(watch, baseline.prediction, since, now)
        would = undone(rows, feature, cause, baseline.by_name) if len(rows) >= FEWEST_ROWS else None
        if would is None:
            return None
        generation = watch.state.generation
        asked = await self._capacity.said_of(watch, baseline.prediction, would.rows, would.values)
        if asked.said is None or watch.state.generation != generation or watch.baseline is not baseline:
            return asked
        before = [said_then(row, baseline.prediction) for row in would.rows]
        removed = shift_removed(baseline.prediction, before, asked.said)
        fields = {"deployment": watch.deployment.name, "feature": feature, "cause": cause.kind, "removed": removed}
        log.info("a cause was re-scored", extra={"fields": fields})
        if removed is not None and watch.drift_observer is not None:
            watch.drift_observer.confirm(feature, proven(cause, removed))
        return asked


def _unproven(watch: DeploymentWatch) -> list[tuple[str, Cause, float]]:
    """Features under alarm whose cause has a name and no proof yet, with the onset."""
    if watch.drift_observer is None or not watch.kept_rows.enabled or not len(watch.kept_rows):
        return []
    return [
        (feature.name, feature.cause, feature.since)
        for feature in watch.drift_observer.report().features
        if feature.alarm and feature.since is not None and feature.cause is not None
        if not feature.cause.confirmed and feature.cause.kind not in ("unexplained", "new_category")
    ]
