"""Canaries as the admin API and the machine see them: how one stands, what its step's gates say, and the verbs.

Keeps: a verb is carried out by `canaries`, and told once. Does not: decide (`decide/canary`), look by the clock.
Part of the desk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sidecar.canary import CanaryStatus
from sidecar.control.canaries import Canaries
from sidecar.control.objection import Objection
from sidecar.control.questions import Questions
from sidecar.decide.canary import step_gates, steps_of
from sidecar.decide.evidence_record import record_of
from sidecar.decide.gates import judge
from sidecar.decide.routing import canary_route
from sidecar.errors import Unknown
from sidecar.reports import GateTable
from sidecar.standing import Canary, DeploymentStatus, Event, Transition
from sidecar.wished import Wish


class CanaryDesk(Questions):
    """What the desk says and does about canaries. What stands here without a value is put in when it is made."""

    canaries: Canaries

    def deployment(self, name: str) -> DeploymentStatus:
        """One of them, with its canary and the steps for one."""
        status, watch = super().deployment(name), self._watch(name)
        steps = steps_of(watch.deployment.promotion)
        canary = None if watch.state.canary is None else self.canary(name)
        return msgspec.structs.replace(status, canary=canary, canary_steps=steps)

    def canary(self, name: str) -> CanaryStatus:
        """How a canary stands, with the gates over its present step. Raises Unknown where there is none."""
        canary, weight = self._canary_of(name), self._share(name)
        waits = self.automation.waits(name).get(canary.version)
        table = None
        if canary.version in self._watch(name).comparisons:
            table, _ = self.canary_gates(name)
        else:
            waits = "the settings name it no longer: it is taken back in a moment"
        return CanaryStatus(
            version=canary.version,
            weight=weight,
            step=canary.step + 1,
            steps=canary.steps,
            since=canary.since,
            step_since=canary.step_since,
            verdict="insufficient" if table is None else table.verdict,
            gates=() if table is None else table.gates,
            waits=waits,
        )

    def canary_weight(self, name: str) -> tuple[str, float] | None:
        """Which version answers a share of the requests, and which share."""
        canary = self._watch(name).state.canary
        return None if canary is None else (canary.version, self._share(name))

    def canary_gates(self, name: str) -> tuple[GateTable, Callable[[], Mapping[str, Any]]]:
        """The gates over the present step's evidence, and what makes the record of that, for a trail's entry."""
        watch, canary, now = self._watch(name), self._canary_of(name), self._clock()
        observer = watch.evidence.canary.observer
        whole = self.evidence(name, canary.version, now)
        if observer is None or observer.challenger != canary.version:
            raise Unknown(f"nothing is known of {name}'s canary yet: ask again in a moment")
        void_s = watch.stretches.seconds(observer.since, now)
        evidence = msgspec.structs.replace(whole, comparison=observer.report(now), quality=None, void_s=void_s)
        settings = step_gates(watch.deployment.gates, canary.now)
        return judge(settings, evidence, now), lambda: record_of(evidence, settings, now)

    async def start_canary(self, name: str, wish: Wish, *, objection: Objection | None = None) -> Transition:
        """A challenger answers a share of the requests, if every gate passes."""
        before = self._store.newest_seq
        done = await self.canaries.start(name, wish, objection=objection)
        if not wish.dry_run:
            self._tell(done, "canary_start", wish.actor, before)
        return done

    async def step_canary(self, name: str, expected: Canary, table: GateTable, record: Mapping[str, Any]) -> Transition:
        """Its next share."""
        before = self._store.newest_seq
        done = await self.canaries.step(name, expected, table, record)
        self._tell(done, "canary_step", "sidecar", before)
        return done

    async def stop_canary(
        self,
        name: str,
        version: str | None,
        *,
        actor: str,
        reason: str,
        idempotency_key: str | None,
        facts: Mapping[str, object] = {},
        record: Mapping[str, Any] = {},
        expected: Canary | None = None,
        dry_run: bool = False,
    ) -> Transition:
        """All requests are the champion's again."""
        before = self._store.newest_seq
        done = await self.canaries.stop(
            name,
            version,
            actor=actor,
            reason=reason,
            idempotency_key=idempotency_key,
            facts=facts,
            record=record,
            expected=expected,
            dry_run=dry_run,
        )
        if not dry_run:
            self._tell(done, "canary_stop", actor, before)
        return done

    def _tell(self, done: Transition, action: str, actor: str, before: int) -> None:
        """Once; the same answer to a repeated call is no news."""
        if done.audit_seq is not None and done.audit_seq <= before:
            return
        self.transitions[done.deployment][action] += 1
        event_type = "sidecar.canary.stopped" if action == "canary_stop" else "sidecar.canary.moved"
        share = 0.0 if isinstance(done.weight, msgspec.UnsetType) else done.weight
        version = done.from_version if action == "canary_stop" else done.to_version
        says = f"{actor}: version {version} answers {share:.4g} of the requests"
        self._announcer.announce(Event(type=event_type, deployment=done.deployment, at=self._clock(), says=says))

    def _share(self, name: str) -> float:
        """As the workers have it by now."""
        watch = self._watch(name)
        if not self.challengers.roster(name).enabled:
            return 0.0
        route = canary_route(watch.deployment, watch.state, self._settings())
        return 0.0 if route is None else route.weight

    def _canary_of(self, name: str) -> Canary:
        canary = self._watch(name).state.canary
        if canary is None:
            raise Unknown(f"{name} has no canary; `sidecar canary` begins one")
        return canary
