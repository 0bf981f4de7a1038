"""What control does by the clock: every second the watches, every few seconds snapshots, table on disk, registry.

Level-triggered: each round works from what stands, so a missed one or a restart is harmless. Every kind of round has
its own pace, and a slow disk or registry delays no other. A step that fails is logged and tried again next time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sidecar.config import Deployment
from sidecar.control.agreements import Agreements
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.alarm_news import AlarmNews
from sidecar.control.announcer import Announcer
from sidecar.control.automation import Automation
from sidecar.control.carryover import Carryover, Snapshot
from sidecar.control.dead_letters import DeadLetterOffice
from sidecar.control.decisions import Decisions
from sidecar.control.event_post import EventPost
from sidecar.control.gate_hours import GateHours
from sidecar.control.head_news import HeadNews
from sidecar.control.joining import Joining
from sidecar.control.noise_floor import NoiseFloorAsking
from sidecar.control.origins import Origins
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.rescoring import Rescoring
from sidecar.control.retraining import Retraining
from sidecar.control.watch import DeploymentWatch
from sidecar.decide.routing import targets
from sidecar.decide.told_event import event_of_readiness
from sidecar.errors import SidecarError
from sidecar.reports import GateTable

log = logging.getLogger("sidecar.control.rounds")

ROUND_S = 1.0
SNAPSHOT_S = 5.0
TABLE_S = 5.0
REGISTRY_S = 10.0
EXPIRY_S = 600.0
RESCORING_S = 2.0
NOISE_FLOOR_S = 0.25
RETRAINING_S = 10.0
DEAD_LETTERS_S = 10.0
GATE_HOURS_S = 20.0


class Rounds:
    """The clock's work on every deployment. `attempt` runs a step of observation, which may fail and is then counted.

    Whatever a round waits for, the watches are those that stand when the wait is over.
    """

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
        keep_table: Callable[[], Awaitable[None]],
        attempt: Callable[[Callable[[], None]], None],
        clock: Callable[[], float],
        record: Callable[[], Awaitable[None]] | None = None,
        registry_s: float | None = None,
        origins: Origins | None = None,
        rescoring: Rescoring | None = None,
        noise_floor: NoiseFloorAsking | None = None,
        retraining: Retraining | None = None,
        post: EventPost | None = None,
        head_news: HeadNews | None = None,
        dead_letters: DeadLetterOffice | None = None,
        agreements: Agreements | None = None,
        automation: Automation | None = None,
        gate_hours: GateHours | None = None,
    ) -> None:
        self._deployments = deployments
        self._watches = watches
        self._gate_table = gate_table
        self._alarms = alarms
        self._announcer = announcer
        self._news = AlarmNews(announcer)
        self._carryover = carryover
        self._decisions = decisions
        self._joining = Joining(decisions, watches)
        self._registry = registry
        self._origins = origins or Origins()
        self._rescoring = rescoring
        self._noise_floor = noise_floor
        self._retraining = retraining
        self._post = post
        self._head_news = head_news
        self._dead_letters = dead_letters
        self._agreements = agreements
        self._automation = automation
        self._gate_hours = gate_hours
        self._keep_table = keep_table
        self._attempt = attempt
        self._record = record
        self._clock = clock
        self._registry_s = registry_s
        self._ready: dict[tuple[str, str], int] = {}

    async def run(self) -> None:
        """Rounds until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(ROUND_S, "round", self.round))
            group.create_task(self._every(SNAPSHOT_S, "snapshots", self.save))
            group.create_task(self._every(TABLE_S, "routing table", self._keep_table))
            group.create_task(self._every(self._registry_s or REGISTRY_S, "registry", self.ask_registry))
            group.create_task(self._every(EXPIRY_S, "expiry", self._expire))
            if self._record is not None:
                group.create_task(self._every(ROUND_S, "record", self._record))
            if self._rescoring is not None:
                group.create_task(self._every(RESCORING_S, "rescoring", self._observing(self._rescoring.round)))
            if self._noise_floor is not None:
                asking = self._observing(self._noise_floor.round)
                group.create_task(self._every(NOISE_FLOOR_S, "noise floor", asking))
            if self._retraining is not None:
                group.create_task(self._every(RETRAINING_S, "retraining", self._retraining.round))
            if self._agreements is not None:
                group.create_task(self._every(ROUND_S, "approvals", self._agreements.end_where_gates_fail))
            if self._automation is not None:
                group.create_task(self._every(ROUND_S, "automation", self._automation.round))
            if self._dead_letters is not None:
                group.create_task(self._every(DEAD_LETTERS_S, "dead letters", self._dead_letters.count))
            if self._gate_hours is not None:
                group.create_task(self._every(GATE_HOURS_S, "hours of the gates", self._gate_hours.round))

    async def _every(self, pace_s: float, step: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(pace_s)
            try:
                await work()
            except SidecarError as error:
                log.warning("a round's step failed", extra={"fields": {"step": step, "says": str(error)}})

    def _observing(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Callers' rows are in it, so it may fail as any observation may: counted, and nothing else ends."""

        async def attempted() -> None:
            asking = asyncio.ensure_future(work())
            try:
                await asyncio.wait([asking])
            finally:
                if not asking.done():
                    asking.cancel()
                    await asyncio.wait([asking])
            self._attempt(asking.result)

        return attempted

    async def round(self) -> None:
        """Closes drift buckets, makes the alarms agree with what is so, joins outcomes that came early.

        Raises Unavailable when changed alarms could not be written: they are again in the next round.
        """
        now = self._clock()
        await self._joining.count()
        for name, watch in self._watches.items():
            self._attempt(lambda name=name, watch=watch: self._look(name, watch, now))  # type: ignore[misc]
        self._alarms.end_all_but(self._deployments(), now)
        if self._head_news is not None:
            self._head_news.look()
        if self._post is not None:  # before the alarms: what is told twice has one id, what is not told is lost
            await self._post.flush()
        for alarm in self._alarms.unsaved():
            await self._carryover.save_alarm(alarm)
            self._alarms.saved(alarm)

    def _look(self, name: str, watch: DeploymentWatch, now: float) -> None:
        for look in watch.looks(now):
            self._attempt(look)
        holding, owner = watch.alarms(now), watch.deployment.owner
        self._news.tell(self._alarms.update(name, owner, holding, now, inputs_known=watch.inputs_known), now)
        watch.leave_out(self._alarms.broken_since(name), now)
        self._announce_ready(name, watch, now)

    def _announce_ready(self, name: str, watch: DeploymentWatch, now: float) -> None:
        for challenger in watch.comparisons:
            key, generation = (name, challenger), watch.state.generation
            table = self._gate_table(name, challenger)
            if table.verdict != "pass":
                self._ready.pop(key, None)
            elif self._ready.get(key) != generation:
                self._ready[key] = generation
                since = watch.comparisons[challenger].since
                self._announcer.announce(event_of_readiness(table, generation, since, now))

    async def ask_registry(self) -> None:
        """Baselines, lineage and aliases; a baseline that came or changed begins new evidence."""
        for name, deployment in self._deployments().items():
            watch = self._watches.get(name)
            if watch is None:
                continue
            await self._registry.refresh(deployment, (*targets(deployment), watch.state.champion))
            self._attempt(lambda watch=watch: self._take_baseline(watch))  # type: ignore[misc]
            self._attempt(lambda watch=watch: self._origins.look(watch, self._clock()))  # type: ignore[misc]

    def _take_baseline(self, watch: DeploymentWatch) -> None:
        baseline = self._registry.baseline(watch.deployment, watch.state.champion)
        if baseline is not None and (watch.baseline is None or watch.baseline.digest != baseline.digest):
            watch.begin(watch.deployment, watch.state, baseline, self._clock())

    async def save(self, *, last: bool = False) -> None:
        """Writes every watch's snapshots; the `last` ones are whole. Raises Unavailable."""
        now = self._clock()
        for watch in list(self._watches.values()):
            if last:
                watch.kept_quality.hurry()
            snapshots: list[Snapshot] = []
            self._attempt(lambda watch=watch, kept=snapshots: kept.extend(watch.snapshots(now)))  # type: ignore[misc]
            await self._carryover.save_snapshots(snapshots)
            watch.kept_quality.saved(now)
        known = (watch.kept_quality.saved_seq for watch in self._watches.values())
        await self._decisions.forget_joined(min((seq for seq in known if seq is not None), default=0))
        learnt = [*self._registry.unsaved(now), *self._origins.unsaved(now)]
        if learnt:
            await self._carryover.save_snapshots(learnt)
            self._registry.saved(learnt)
            self._origins.saved(learnt)

    async def _expire(self) -> None:
        await self._decisions.expire(self._clock())
