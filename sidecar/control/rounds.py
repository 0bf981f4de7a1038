"""What control does by the clock: once a second the watches, every few seconds snapshots and the registry.

Level-triggered: each round works from what stands, so a missed one or a restart is harmless. Every step that needs
disk or network may fail by itself: it is logged, and tried again in its next round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sidecar.config import Deployment
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.carryover import Carryover
from sidecar.control.decisions import Decisions
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.watch import DeploymentWatch
from sidecar.decide.routing import targets
from sidecar.errors import SidecarError
from sidecar.observe.alarms import alarms_in
from sidecar.reports import GateTable
from sidecar.standing import Alarm, Event

log = logging.getLogger("sidecar.control.rounds")

ROUND_S = 1.0
SNAPSHOT_ROUNDS = 5
REGISTRY_ROUNDS = 10
EXPIRY_ROUNDS = 600
_EVENT_OF = {"data.broken": "sidecar.data.broken", "drift.detected": "sidecar.drift.detected"}


class Rounds:
    """The clock's work on every deployment."""

    def __init__(
        self,
        *,
        deployments: Callable[[], Mapping[str, Deployment]],
        watches: Mapping[str, DeploymentWatch],
        gate_table: Callable[[str, str], GateTable],
        alarms: AlarmBook,
        announcer: Announcer,
        carryover: Carryover,
        decisions: Decisions,
        registry: RegistrySync,
        clock: Callable[[], float],
    ) -> None:
        self._deployments = deployments
        self._watches = watches
        self._gate_table = gate_table
        self._alarms = alarms
        self._announcer = announcer
        self._carryover = carryover
        self._decisions = decisions
        self._registry = registry
        self._clock = clock
        self._ready: set[tuple[str, str, int]] = set()

    async def run(self) -> None:
        """Rounds until cancelled."""
        number = 0
        while True:
            await asyncio.sleep(ROUND_S)
            number += 1
            await self.round()
            if number % REGISTRY_ROUNDS == 0:
                await self.ask_registry()
            if number % SNAPSHOT_ROUNDS == 0:
                await self._tried("snapshots", self.save())
            if number % EXPIRY_ROUNDS == 0:
                await self._tried("expiry", self._decisions.expire(self._clock()))

    async def round(self) -> None:
        """Closes drift buckets, makes the alarms agree with what is so, joins outcomes that came early."""
        now = self._clock()
        for joined in self._decisions.take_joined():
            if joined.deployment in self._watches:
                self._watches[joined.deployment].fold_joined(joined)
        for name, watch in self._watches.items():
            watch.tick(now)
            changed = self._alarms.update(name, watch.deployment.owner, alarms_in(watch.drift()), now)
            watch.void = any(alarm.kind == "data.broken" for alarm in self._alarms.open(name))
            for alarm in changed:
                self._announce_alarm(alarm, now)
                await self._tried("alarm", self._carryover.save_alarm(alarm))
            self._announce_ready(name, watch, now)

    def _announce_alarm(self, alarm: Alarm, now: float) -> None:
        event_type = _EVENT_OF.get(alarm.kind)
        if event_type is not None and alarm.ended is None:
            self._announcer.announce(Event(type=event_type, deployment=alarm.deployment, at=now, says=alarm.says))

    def _announce_ready(self, name: str, watch: DeploymentWatch, now: float) -> None:
        for challenger in watch.comparisons:
            key = (name, challenger, watch.state.generation)
            if self._gate_table(name, challenger).verdict != "pass":
                self._ready.discard(key)
            elif key not in self._ready:
                self._ready.add(key)
                says = f"every gate passes for version {challenger}"
                self._announcer.announce(Event(type="sidecar.promotion.ready", deployment=name, at=now, says=says))

    async def ask_registry(self) -> None:
        """Baselines, lineage and aliases; a baseline that came or changed begins new evidence."""
        for name, deployment in self._deployments().items():
            watch = self._watches.get(name)
            if watch is None:
                continue
            await self._registry.refresh(deployment, watch.state, (*targets(deployment), watch.state.champion))
            baseline = self._registry.baseline(name, watch.state.champion)
            if baseline is not None and (watch.baseline is None or watch.baseline.digest != baseline.digest):
                watch.begin(deployment, watch.state, baseline, self._clock())

    async def save(self) -> None:
        """Writes every watch's snapshots."""
        now = self._clock()
        for watch in self._watches.values():
            await self._carryover.save_snapshots(watch.snapshots(now))

    async def _tried(self, step: str, work: Awaitable[object]) -> None:
        try:
            await work
        except SidecarError as error:
            log.warning("a round's step failed", extra={"fields": {"step": step, "says": str(error)}})
