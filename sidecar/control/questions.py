"""What the admin API may ask of the control side, answered from what the watches know.

Keeps: a question changes nothing, and never waits for disk or registry unless it is about disk. Does not: decide
(`decide`), observe (`observe`). `desk` adds the verbs; wired by control's composition root.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal

import msgspec

from sidecar.address import Address
from sidecar.config import Deployment, Settings
from sidecar.config_gates import Gates
from sidecar.control.agreements import Agreements
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.automation import Automation
from sidecar.control.challengers import Challengers
from sidecar.control.controller import Controller
from sidecar.control.decisions import Decisions
from sidecar.control.following import AliasFollower
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.store import Store
from sidecar.control.watch import DeploymentWatch
from sidecar.control.write_back import WriteBack
from sidecar.decide.evidence import Evidence
from sidecar.decide.evidence_record import record_of
from sidecar.decide.gates import judge
from sidecar.decide.history import CANARY_STEPS, champion_at, champion_spans, span_of
from sidecar.decide.promotion import phase
from sidecar.decide.roster import differences, source_of
from sidecar.decide.routing import shadows
from sidecar.decide.routing_table import Shadow
from sidecar.errors import Invalid, Unavailable, Unknown
from sidecar.reports import (
    ComparisonReport,
    ComparisonShape,
    DriftReport,
    GateTable,
    LabelWants,
    PairedQuality,
    RowSkewReport,
    VersionQuality,
)
from sidecar.standing import (
    Alarm,
    AuditCheck,
    AuditEntry,
    ChallengerStatus,
    ChampionSpan,
    ChampionStatus,
    Decision,
    DeploymentStatus,
    Event,
    RegistryStatus,
)


class Questions:
    """The asking half of `admin.service.Service`. What stands here without a value is put in when it is made."""

    agreements: Agreements
    automation: Automation
    controller: Controller
    follower: AliasFollower
    challengers: Challengers

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        store: Store,
        decisions: Decisions,
        registry: RegistrySync,
        write_back: WriteBack,
        watches: Mapping[str, DeploymentWatch],
        alarms: AlarmBook,
        announcer: Announcer,
        ready: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._decisions = decisions
        self._registry = registry
        self._write_back = write_back
        self._watches = watches
        self._alarms = alarms
        self._announcer = announcer
        self._ready = ready
        self._clock = clock
        # What the verbs have counted, by deployment; "" for outcomes of which nobody knows whose they are.
        self.outcome_counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.transitions: dict[str, Counter[str]] = defaultdict(Counter)
        self._told: dict[str, int] = {}
        # What each challenger's newest table was judged on, by deployment and challenger, with the table's digest.
        self._judged: dict[tuple[str, str], tuple[str, Evidence, Gates, float]] = {}

    # --- looking ---------------------------------------------------------------------------------------------

    def waits(self) -> str | None:
        """None while every worker routes by the present table, none stops, and each deployment has a champion."""
        if not self._ready():
            return "No worker routes traffic yet; ask again in a moment."
        unserved = self.follower.unserved()
        return f"Not everything is served yet. {'; '.join(unserved)}." if unserved else None

    def remarks(self) -> tuple[str, ...]:
        """What somebody should know though traffic may come."""
        unrecorded, aside = self.controller.recording.unrecorded, self._decisions.set_aside
        waiting = tuple(f"{name}: {unrecorded.says(name)}" for name in unrecorded.names)
        return waiting if aside is None else (*waiting, aside)

    def named(self) -> dict[str, Deployment]:
        """The deployments that are in force, by name: the settings' with what calls have changed."""
        return self.challengers.in_force()

    def deployments(self) -> tuple[DeploymentStatus, ...]:
        """All of them that are routed."""
        return tuple(self.deployment(name) for name in self.named() if name in self._watches)

    def deployment(self, name: str) -> DeploymentStatus:
        """One of them."""
        watch, now = self._watch(name), self._clock()
        deployment, state, roster = watch.deployment, watch.state, self.challengers.roster(name)
        differs = differences(self._in_file(name), state, roster)
        scoring = shadows(deployment, state, self._settings(), enabled=roster.enabled)
        return DeploymentStatus(
            name=name,
            owner=deployment.owner,
            generation=state.generation,
            state=phase(state, now),
            champion=ChampionStatus(version=state.champion, url=state.champion_target.url, since=state.champion_since),
            previous=state.previous,
            challengers=tuple(self._challenger(watch, shadow) for shadow in scoring),
            registry=self.registry(name),
            config_differs=bool(differs),
            differences=differs,
            shadow_enabled=roster.enabled,
            from_registry=self.follower.status(name),
            unrecorded=self.controller.recording.unrecorded.says(name),
            automation=self.automation.waits(name),
            mode=deployment.promotion.mode,
            held=self.automation.held(name),
            watch=self.automation.watched(name, now),
            watch_until=state.watch_until if phase(state, now) == "watching" else None,
            lineage={
                version: self._registry.lineage(name, version) for version in (state.champion, *watch.comparisons)
            },
        )

    def registry(self, name: str) -> RegistryStatus:
        """What is known of the registry, and where the champion's alias is there."""
        watch = self._watch(name)
        return self._write_back.told(self._registry.status(name), watch.deployment, watch.state)

    def comparison(self, name: str, challenger: str | None) -> ComparisonReport:
        """A challenger beside the champion."""
        watch = self._watch(name)
        return watch.comparisons[_challenger_of(watch, challenger)].report(self._clock())

    def comparison_shape(self, name: str, challenger: str | None) -> ComparisonShape:
        """The distributions behind a comparison."""
        watch = self._watch(name)
        return watch.comparisons[_challenger_of(watch, challenger)].shape()

    def drift(self, name: str, against: Literal["training", "recent"]) -> DriftReport:
        """Live against the baseline, or the last buckets against all before."""
        return self._watch(name).drift(against)

    def row_skew(self, name: str) -> RowSkewReport:
        """Live rows beside an offline pipeline's."""
        return self._watch(name).truths.skew()

    def gates(self, name: str, challenger: str | None) -> GateTable:
        """May the challenger take over?"""
        watch, now = self._watch(name), self._clock()
        gates, generation = watch.deployment.gates, watch.state.generation
        evidence = self.evidence(name, _challenger_of(watch, challenger), now)
        evidence = self.agreements.joined(evidence, gates, generation, now)
        table = judge(gates, evidence, now)
        self.agreements.seen(table, evidence, gates, generation)
        self._judged[name, evidence.challenger] = (table.evidence, evidence, gates, now)
        return table

    def evidence(self, name: str, version: str, now: float) -> Evidence:
        """All that the gates read of a challenger."""
        watch = self._watch(name)
        paired = watch.paired.paired(watch.state.champion, version, now)
        registry, from_file = self._settings().registry, watch.deployment.baseline not in (None, "registry")
        limit_s = None if registry is None else registry.max_age_s
        return Evidence(
            deployment=name,
            champion=watch.state.champion,
            challenger=version,
            baseline_digest=watch.baseline.digest if watch.baseline is not None else None,
            baseline_limit_s=None if from_file else limit_s,
            baseline_age_s=self._registry.baseline_age_s(watch.deployment, watch.state.champion),
            watched_rows=watch.watched_rows,
            comparison=watch.comparisons[version].report(now),
            quality=paired if paired.matched or paired.gaps else None,
            open_alarms=self._alarms.open(name),
            lineage=self._registry.lineage(name, version) if self._registry.knows(name, version) else None,
            lineage_limit_s=limit_s,
            lineage_age_s=self._registry.lineage_age_s(name, version),
            segments=watch.evidence.named_segments,
            void_s=watch.stretches.seconds(watch.comparisons[version].since, now),
        )

    def kept_record(self, name: str, version: str, now: float) -> Mapping[str, Any]:
        """What the gates can read now, for rehearsals of other gates."""
        watch = self._watch(name)
        gates, generation = watch.deployment.gates, watch.state.generation
        evidence = self.agreements.joined(self.evidence(name, version, now), gates, generation, now)
        return record_of(evidence, gates, now, whole_lineage=True)

    def basis(self, table: GateTable) -> Mapping[str, Any]:
        """What a table that was just made was judged on, for its audit entry; empty where another came meanwhile."""
        judged = self._judged.get((table.deployment, table.challenger))
        if judged is None or judged[0] != table.evidence:
            return {}
        _, evidence, gates, at = judged
        return record_of(evidence, gates, at)

    def performance(self, name: str) -> tuple[VersionQuality, ...]:
        """Quality per version, the champion first."""
        watch = self._watch(name)
        versions = dict.fromkeys((watch.state.champion, *watch.comparisons, *watch.quality.versions))
        estimated = watch.truths.estimated(watch.drift("training"))
        return tuple(
            msgspec.structs.replace(
                watch.quality.report(version), estimated=estimated if version == watch.state.champion else None
            )
            for version in versions
        )

    def paired(self, name: str, challenger: str | None) -> PairedQuality:
        """Champion and challenger on the same rows with the same outcome."""
        watch = self._watch(name)
        version = _challenger_of(watch, challenger)
        return watch.paired.paired(watch.state.champion, version, self._clock())

    def label_queue(self, name: str, challenger: str | None, limit: int) -> LabelWants:
        """The rows whose outcome would tell most about a challenger."""
        watch = self._watch(name)
        return watch.evidence.label_queues.of(_challenger_of(watch, challenger)).report(limit)

    def alarms(self) -> tuple[Alarm, ...]:
        """Open ones first."""
        return self._alarms.all()

    def events(self) -> AsyncIterator[Event]:
        """Facts from now on."""
        return self._announcer.listen()

    # --- the record ------------------------------------------------------------------------------------------

    async def audit(self, after: int, limit: int) -> tuple[AuditEntry, ...]:
        """Entries with seq > after, oldest first."""
        return await self._store.audit_entries(after, limit)

    async def verify_audit(self) -> AuditCheck:
        """Reads the whole trail again."""
        return await self._store.verify()

    async def champion_at(self, name: str, at: float | None) -> ChampionSpan:
        """Which version answered then."""
        # Of a deployment that is gone from the settings, too: who asks a year later asks the trail.
        spans = champion_spans(await self._store.transitions_of(name), name)
        if not spans:
            self._watch(name)
        span = champion_at(spans, self._clock() if at is None else at)
        if span is None:
            raise Unknown(f"{name} had no champion then: its record begins later")
        return span

    async def decision(self, request_id: str) -> Decision:
        """What was answered to one request."""
        found = await self._decisions.decision(request_id)
        entries = await self._store.transitions_of(found.deployment, CANARY_STEPS)
        return msgspec.structs.replace(found, champion=span_of(entries, found.deployment, found.version, found.at))

    # --- parts -----------------------------------------------------------------------------------------------

    def _in_file(self, name: str) -> Deployment:
        """As the settings file has it, with the versions that the registry has named."""
        deployment = self.follower.deployments().get(name)
        if deployment is None:
            raise Unknown(f"deployment {name!r} is gone from the settings")
        return deployment

    def _challenger(self, watch: DeploymentWatch, shadow: Shadow) -> ChallengerStatus:
        to, name = shadow.to, watch.deployment.name
        address = Address(to.host, to.port, to.unix)
        scheme = "" if to.unix else "http://" if to.trust is None else "https://"
        return ChallengerStatus(
            version=to.version,
            url=f"{scheme}{address}",
            path=to.path,
            fraction=shadow.fraction,
            enabled=shadow.enabled,
            health=watch.health(to.version),
            timeout_s=shadow.timeout_s,
            max_inflight=shadow.max_inflight,
            copy_bytes=shadow.copy_bytes,
            max_per_s=shadow.max_per_s,
            ramp_s=shadow.ramp_s,
            headers=tuple(header for header, _ in shadow.headers),
            source=source_of(self._in_file(name), self.challengers.roster(name), to.version),
        )

    def _watch(self, name: str) -> DeploymentWatch:
        watch = self._watches.get(name)
        if watch is None:
            following = self.follower.status(name)
            if following is not None:
                raise Unavailable(f"{name} is not routed yet: {'; '.join(following.waits) or 'ask again in a moment'}")
            raise Unknown(f"there is no deployment {name!r}; there are: {', '.join(self._watches) or 'none'}")
        return watch


def _challenger_of(watch: DeploymentWatch, challenger: str | None) -> str:
    name, known = watch.deployment.name, tuple(watch.comparisons)
    if challenger is not None:
        if challenger not in watch.comparisons:
            raise Unknown(f"{name} has no challenger {challenger!r}; it has {', '.join(known) or 'none'}")
        return challenger
    if len(known) != 1:
        raise Invalid(f"{name} has {len(known)} challengers ({', '.join(known) or 'none'}): name one")
    return known[0]
