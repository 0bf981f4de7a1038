"""Every deployment's watch, in step with what is routed; what comes from the workers is handed to the one it concerns.

Keeps: a watch exists for each deployment that is routed, under the state and the settings that are in force; a
deployment that is gone takes its watch along. Does not observe (`watch` does). Called by control's composition root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sidecar.config import Deployment
from sidecar.control.decisions import Decisions
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.watch import DeploymentWatch
from sidecar.records import Exchange, WorkerCounts
from sidecar.standing import DeploymentState
from sidecar.telemetry.counts import WorkerTotals


class Watches:
    """`known` is every watch by its deployment's name; others may hold on to that mapping."""

    def __init__(
        self, decisions: Decisions, registry: RegistrySync, totals: WorkerTotals, clock: Callable[[], float]
    ) -> None:
        self.known: dict[str, DeploymentWatch] = {}
        self._decisions = decisions
        self._registry = registry
        self._totals = totals
        self._clock = clock

    def challengers(self) -> tuple[tuple[str, str], ...]:
        """Every deployment with each of its challengers."""
        return tuple((name, challenger) for name, watch in self.known.items() for challenger in watch.comparisons)

    def fold(self, exchange: Exchange) -> None:
        """One exchange; its rows are kept until their outcomes come."""
        watch = self.known.get(exchange.deployment)
        if watch is not None:
            self._decisions.record(watch.fold(exchange))

    def count(self, counts: WorkerCounts) -> None:
        """A worker's newest counters."""
        self._totals.update(counts)
        now = self._clock()
        for shadow in counts.shadows:
            watch = self.known.get(shadow.deployment)
            if watch is None:
                continue
            if shadow.champion == watch.state.champion:
                watch.fold_counts(counts.worker, shadow, now)
            else:  # of what a canary answered, the copies to the champion
                watch.evidence.canary.fold_counts(counts.worker, shadow, now, void=watch.void)

    def left(self, worker: str) -> None:
        """A worker's link ended."""
        self._totals.ended(worker)
        for watch in self.known.values():
            watch.left(worker)

    def follow(self, deployments: Mapping[str, Deployment], states: Mapping[str, DeploymentState]) -> None:
        """Evidence begins anew wherever the generation, or what a comparison is about, has changed."""
        now = self._clock()
        routed = {name: deployment for name, deployment in deployments.items() if name in states}
        for name in [name for name in self.known if name not in routed]:
            del self.known[name]
        for name, deployment in routed.items():
            state, watch = states[name], self.known.get(name)
            baseline = self._registry.baseline(deployment, state.champion)
            if watch is None:
                self.known[name] = DeploymentWatch(deployment, state, baseline, now)
            elif watch.state != state or watch.deployment != deployment:
                watch.begin(deployment, state, baseline, now)
