"""The verbs that change what stands: start, promote, override, roll back, acknowledge.

Keeps: one verb at a time for each deployment; read, judge, decide, probe, commit state and audit entry at once, then
publish the routing table, then wake the outbox (`turns` has the order). An override asks no gate; a rollback asks
neither gates nor registry, and is done whatever the disk says (`recording`).
Does not: judge or decide (`decide` does), speak HTTP, probe or send by itself: those callables are handed in.
Called by: the service that the admin API sees; `start` by control's composition root.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from sidecar.config import Deployment
from sidecar.control.acknowledging import acknowledge
from sidecar.control.objection import Objection, unobjected
from sidecar.control.probe import probed
from sidecar.control.recording import Recording
from sidecar.control.repeated_calls import answer_of, first_answer, receipt_of, request_of
from sidecar.control.store import Delivery, Receipt, Store
from sidecar.control.turns import Turns
from sidecar.control.unattended import no_deliveries, nobody_asked, settled_at_once, unknown_basis, unknown_lineage
from sidecar.control.unrecorded import Transit
from sidecar.decide.approvals import Agreed
from sidecar.decide.audit_chain import Deed
from sidecar.decide.canary import decide_stop
from sidecar.decide.evidence_record import with_record
from sidecar.decide.harm import Harm
from sidecar.decide.lineage import with_lineage
from sidecar.decide.promotion import (
    Plan,
    Rollback,
    candidate,
    checked_reason,
    decide_override,
    decide_promotion,
    decide_rollback,
    decide_start,
)
from sidecar.decide.routing import targets
from sidecar.errors import SidecarError, Unavailable, Unknown
from sidecar.reports import GateTable
from sidecar.standing import Alarm, DeploymentState, Target, Transition
from sidecar.wished import Wish


class Controller:
    """Carries out plans. `states` is what was last committed, and what the routing table is made from.

    Args:
        store: open.
        deployments: the settings' deployments by name, asked at each verb, so that a reload counts at once.
        gate_table: (deployment, challenger) -> the table as of now; raises Unknown for a version without evidence.
        probe: None when the target answers, else a sentence; it has its own deadline and does not raise.
        publish: sends the routing table of these states, one call at a time; what is committed must go out, so it
            does not raise.
        settle: waits until the table is on disk and with the workers; a slow one holds up no other verb.
        clock: seconds since the epoch.
        deliveries: what a transition has to tell others, written with it.
        lineage: (deployment, version) -> the registry's fields, as last known, for the audit entry.
        wake: there is something in the outbox.
        basis: what a table was just judged on (`decide.evidence_record`), for the audit entry.
        agreed: what a table that was just judged stands on, who agreed, and what evidence of this digest stood on.
        recording: the way into the store, by default straight.
        stand_back: whoever keeps the event loop busy gives way for a moment; what `publish` sends ends it.
    """

    def __init__(
        self,
        store: Store,
        *,
        deployments: Callable[[], Mapping[str, Deployment]],
        gate_table: Callable[[str, str], GateTable],
        probe: Callable[[Target], Awaitable[str | None]],
        publish: Callable[[Mapping[str, DeploymentState]], Awaitable[None]],
        clock: Callable[[], float],
        settle: Callable[[], Awaitable[None]] = settled_at_once,
        deliveries: Callable[[Plan], Sequence[Delivery]] = no_deliveries,
        wake: Callable[[], None] = lambda: None,
        lineage: Callable[[str, str], Mapping[str, str]] = unknown_lineage,
        basis: Callable[[GateTable], Mapping[str, Any]] = unknown_basis,
        agreed: Callable[[GateTable, str | None], Agreed | None] = nobody_asked,
        recording: Recording | None = None,
        stand_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.states: dict[str, DeploymentState] = {}
        self._store = store
        self._deployments = deployments
        self._gate_table = gate_table
        self._probe = probe
        self.turns = Turns(lambda: publish(dict(self.states)), settle)
        self._clock = clock
        self._deliveries = deliveries
        self._wake = wake
        self._lineage = lineage
        self._basis = basis
        self._agreed = agreed
        self.recording = recording or Recording(store, clock)
        self._stand_back = stand_back

    async def take_up(self) -> None:
        """Reads the stored states, so that others know them before `start`."""
        stored = await self._store.states()
        if not self.states:
            stored |= self.recording.unrecorded.take_up(stored)
        self.states = stored | self.states

    async def start(self, names: Collection[str] | None = None) -> None:
        """Takes up the stored states, makes the first one of a new deployment, publishes. Also after a reload.

        The stored champion beats the settings'; only its address is taken from them when they name that version.
        `names`: the deployments that this is about, by default all.
        """
        await self.take_up()
        for name in self._deployments() if names is None else names:
            async with self.turns.of(name):
                await self._begin(name)
        await self.turns.publish()

    async def promote(self, name: str, wish: Wish, *, objection: Objection | None = None) -> Transition:
        """Makes the challenger the champion if every gate passes and it answers its probe.

        `objection`: what is asked where the machine calls.

        Raises Unknown, Invalid, Refused (with the gate table where it is the reason), Unavailable.
        """
        wish = msgspec.structs.replace(wish, reason=checked_reason(wish.reason))
        deployment = self.deployment(name)
        request = request_of("promote", name, wish)
        async with self.turns.of(name):
            self._stand_back()
            first = await self.first_answer(wish, request)
            if first is not None:
                return first
            await self.recording.catch_up(name)
            await unobjected(objection)
            state, known = self.state(name), targets(deployment)
            candidate(state, wish, known)
            table = self._gate_table(name, wish.challenger)
            watch_s, agreed = deployment.promotion.watch_s, self._agreed(table, wish.evidence)
            decided = decide_promotion(state, wish, table, known, now=self._clock(), watch_s=watch_s, agreed=agreed)
            decided = dataclasses.replace(decided, details=with_record(decided.details, self._basis(table)))
            await probed(self._probe, decided.target, decided.to_version, force=wish.force)
            # The probe took its time, and a gate may have turned. The plan keeps the table that was asked about.
            seen_again = msgspec.structs.replace(wish, evidence=None, plan=None)
            latest = self._gate_table(name, wish.challenger)
            agreed = self._agreed(latest, None)
            decide_promotion(state, seen_again, latest, known, now=self._clock(), watch_s=watch_s, agreed=agreed)
            return await self.told_or_done(decided, request, wish.idempotency_key, dry_run=wish.dry_run)

    async def override(self, name: str, wish: Wish) -> Transition:
        """Makes a version the champion whatever the gates say; what they say is kept with it. Raises as `promote`."""
        wish = msgspec.structs.replace(wish, reason=checked_reason(wish.reason))
        deployment = self.deployment(name)
        request = request_of("override", name, wish)
        async with self.turns.of(name):
            self._stand_back()
            first = await self.first_answer(wish, request)
            if first is not None:
                return first
            await self.recording.catch_up(name)
            state, known = self.state(name), targets(deployment)
            candidate(state, wish, known)
            try:
                table = self._gate_table(name, wish.challenger)
            except SidecarError:  # nothing is known of it: that is no reason to hold up an override
                table = None
            agreed = None if table is None else self._agreed(table, wish.evidence)
            decided = decide_override(state, wish, table, known, now=self._clock(), agreed=agreed)
            basis = {} if table is None else self._basis(table)
            decided = dataclasses.replace(decided, details=with_record(decided.details, basis))
            await probed(self._probe, decided.target, decided.to_version, force=wish.force)
            return await self.told_or_done(decided, request, wish.idempotency_key, dry_run=wish.dry_run)

    async def rollback(
        self,
        name: str,
        *,
        actor: str,
        reason: str,
        to: str | None,
        force: bool,
        idempotency_key: str | None,
        harm: Harm | None = None,
    ) -> Transition:
        """Back to the previous champion, or to another known version, without gates. `harm`: what the machine found.

        Where the store cannot be written it is done all the same, and its answer says so.
        """
        command = Rollback(actor, checked_reason(reason), to, force, harm)
        deployment = self.deployment(name)
        request = request_of("rollback", name, command)
        async with self.turns.of(name):
            self._stand_back()
            try:
                first = await first_answer(self.recording, self._store, idempotency_key, request)
            except Unavailable:
                first = None
            if first is not None:
                return first
            state = self.state(name)
            if state.canary is not None and harm is None and to in (None, state.champion):
                # What was done last is taken back: the champion itself is not what the canary has changed.
                plan = decide_stop(state, None, actor, reason, self._clock())
                return await self.commit(plan, idempotency_key, request)
            plan = decide_rollback(state, command, targets(deployment), self._clock())
            await probed(self._probe, plan.target, plan.to_version, force=force)
            return await self.commit(plan, idempotency_key, request)

    async def acknowledge(self, alarm_id: str, *, actor: str, reason: str) -> Alarm:
        """A person has seen the alarm; the trail says who and why. A second time changes nothing."""
        return await acknowledge(self._store, self.turns, alarm_id, actor=actor, reason=reason, clock=self._clock)

    async def record(self) -> None:
        """Writes rollbacks that the store could not take before, and keeps the reserve. Raises Unavailable."""
        for name in self.recording.unrecorded.names:
            async with self.turns.of(name):
                await self.turns.to_its_end(self.recording.catch_up(name))
            self._wake()
        await self.recording.replenish()

    async def finish(self) -> None:
        """Waits for verbs whose caller went away; before the store is closed."""
        await self.turns.finish()

    # --- the steps ----------------------------------------------------------------------------------------------

    async def _begin(self, name: str) -> None:
        """A deployment's first state, or another address of its champion, where there is something of it to write."""
        deployment, stored = self._deployments().get(name), self.states.get(name)
        if deployment is None:
            return
        named = deployment.champion.version if deployment.champion is not None else None
        version = named if stored is None else stored.champion
        target = None if version is None else targets(deployment).get(version)
        if version is None or target is None:
            return
        source = deployment.from_registry
        named_by = "the settings name" if source is None else f"the registry's alias {source.champion} names"
        plan = decide_start(stored, name, version, target, self._clock(), named_by)
        if plan is not None:
            await self._write(plan, None)

    def deployment(self, name: str) -> Deployment:
        """As it is in force. Raises Unknown."""
        deployments = self._deployments()
        if name not in deployments:
            raise Unknown(f"there is no deployment {name!r}; there are: {', '.join(deployments) or 'none'}")
        return deployments[name]

    def state(self, name: str) -> DeploymentState:
        """What was committed last. Raises Unknown."""
        if name not in self.states:
            raise Unknown(f"deployment {name!r} was not started yet")
        return self.states[name]

    def canary_since(self, name: str, version: str) -> float | None:
        """Since when a version has been the canary; None if it is not."""
        canary = self.states[name].canary if name in self.states else None
        return canary.since if canary is not None and canary.version == version else None

    async def first_answer(self, wish: Wish, request: str) -> Transition | None:
        """What an earlier call with the same key was answered. Raises Invalid, Refused, Unavailable."""
        if wish.dry_run:
            return None
        return await first_answer(self.recording, self._store, wish.idempotency_key, request)

    async def told_or_done(self, plan: Plan, request: str, key: str | None, *, dry_run: bool) -> Transition:
        """Carries a plan out, or only tells it. Called with the deployment's turn."""
        if not dry_run:
            return await self.commit(plan, key, request)
        told = msgspec.structs.replace(answer_of(plan), dry_run=True)
        return told if plan.shown is None else msgspec.structs.replace(told, plan=plan.shown)

    async def commit(self, plan: Plan, key: str | None, request: str) -> Transition:
        """Carries a plan out, to its end. Called with the deployment's turn."""
        self._stand_back()  # once more: the probe took its time
        return await self.turns.to_its_end(self._carry_out(plan, receipt_of(plan, key, request)))

    async def _carry_out(self, plan: Plan, receipt: Receipt | None) -> Transition:
        seq = await self._write(plan, receipt)
        await self.turns.publish()
        self.turns.begin(self.recording.replenish())
        self._wake()
        done = msgspec.structs.replace(answer_of(plan), audit_seq=seq)
        says = self.recording.unrecorded.says(plan.state.deployment) if seq is None else None
        return done if says is None else msgspec.structs.replace(done, unrecorded=says)

    async def _write(self, plan: Plan, receipt: Receipt | None) -> int | None:
        transit = Transit(
            state=plan.state,
            expected_generation=plan.expected_generation,
            deed=Deed(
                at=self._clock(),
                actor=plan.actor,
                action=plan.action,
                deployment=plan.state.deployment,
                from_version=plan.from_version,
                to_version=plan.to_version,
                reason=plan.reason,
                evidence=plan.evidence,
                details=with_lineage(
                    plan.details,
                    self._lineage(plan.state.deployment, plan.to_version),
                    self._lineage(plan.state.deployment, plan.from_version),
                ),
            ),
            deliveries=tuple(self._deliveries(plan)),
            receipt=receipt,
        )
        hold = plan.action in ("rollback", "canary_stop")
        write = self.recording.write_or_hold if hold else self.recording.write
        seq = await write(transit)
        self.states[plan.state.deployment] = plan.state
        return seq
