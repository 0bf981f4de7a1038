"""The control side as the admin API sees it: every question (`questions`), and here every verb.

Keeps: a verb is carried out by the part that it is about, and told once; the same answer to a repeated call is no
news. Does not: decide (`decide`), carry out transitions (`controller`). Wired and ticked by control's composition root.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from sidecar.agreed import ApprovalDone, ApprovalStatus, HoldDone
from sidecar.control.canary_desk import CanaryDesk
from sidecar.control.ingest import Ingest
from sidecar.control.joining import Joining
from sidecar.control.objection import Objection
from sidecar.control.reconcile import Reconciler, Side
from sidecar.control.record import Record
from sidecar.decide.audit_chain import Deed
from sidecar.decide.harm import Harm
from sidecar.decide.promotion import checked_reason
from sidecar.errors import Refused
from sidecar.records import LoggedHalf, OfflineRow, Outcome
from sidecar.reports import OutcomeCounts, RowsCompared
from sidecar.standing import (
    Alarm,
    Event,
    FrozenReference,
    Ingested,
    PassedOver,
    Reconciliation,
    ShadowChange,
    Transition,
)
from sidecar.wished import Wish

# Values that are compared in one go, in tens of milliseconds; a form that no catalogue lists needs some rows at once.
_VALUES_AT_ONCE = 6_000
_FEWEST_ROWS = 20


class Desk(CanaryDesk):
    """Satisfies `admin.service.Service`. What stands here without a value is put in when it is made."""

    reconciler: Reconciler
    ingesting: Ingest
    record: Record

    async def promote(self, name: str, wish: Wish, *, objection: Objection | None = None) -> Transition:
        """Makes the challenger the champion if every gate passes."""
        before = self._generation(name)
        done = await self.controller.promote(name, wish, objection=objection)
        if not wish.dry_run:
            self._announce("promote", "sidecar.promoted", done, wish.actor, before)
        return done

    async def override(self, name: str, wish: Wish) -> Transition:
        """Makes a version the champion whatever the gates say."""
        before = self._generation(name)
        done = await self.controller.override(name, wish)
        if not wish.dry_run:
            self._announce("override", "sidecar.promoted", done, wish.actor, before)
        return done

    def approvals(self, name: str, challenger: str | None) -> tuple[ApprovalStatus, ...]:
        """Who agreed that a challenger may take over, and what still counts."""
        return self.agreements.status(self.gates(name, challenger))

    async def approve(self, name: str, challenger: str, *, evidence: str, actor: str, reason: str) -> ApprovalDone:
        """A person agrees to what the gates say."""
        return await self.agreements.approve(
            lambda: self.gates(name, challenger), evidence=evidence, actor=actor, reason=reason
        )

    async def withdraw_approval(self, name: str, challenger: str, *, actor: str, reason: str) -> ApprovalDone:
        """A person does not agree any more."""
        return await self.agreements.withdraw(lambda: self.gates(name, challenger), actor=actor, reason=reason)

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
        """Back, without gates."""
        before, newest = self._generation(name), self._store.newest_seq
        done = await self.controller.rollback(
            name, actor=actor, reason=reason, to=to, force=force, idempotency_key=idempotency_key, harm=harm
        )
        if done.weight is not msgspec.UNSET:  # it was the canary that was taken back
            self._tell(done, "canary_stop", actor, newest)
            return done
        self._announce("rollback", "sidecar.rolledback", done, actor, before)
        return done

    def _generation(self, name: str) -> int:
        watch = self._watches.get(name)
        return watch.state.generation if watch is not None else 0

    def _announce(self, action: str, event_type: str, done: Transition, actor: str, before: int) -> None:
        """Tells of a transition once; the same answer to a repeated call is no news."""
        if done.generation <= max(before, self._told.get(done.deployment, 0)):
            return
        self._told[done.deployment] = done.generation
        self.transitions[done.deployment][action] += 1
        says = f"{actor}: version {done.from_version} → {done.to_version}"
        self._announcer.announce(Event(type=event_type, deployment=done.deployment, at=self._clock(), says=says))

    async def outcomes(self, outcomes: Sequence[Outcome]) -> OutcomeCounts:
        """Joins late truths to what was predicted."""
        limits = self._settings().outcomes
        joining = Joining(self._decisions, self._watches)
        counts, joined = await joining.post(outcomes, self._clock(), limits.early_s, limits.window_s)
        known = Counter(row.deployment for row in joined)
        for deployment, matched in known.items():
            self.outcome_counts[deployment]["matched"] += matched
        others = Counter(msgspec.structs.asdict(counts))
        others["matched"] -= known.total()
        self.outcome_counts[next(iter(self._watches)) if len(self._watches) == 1 else ""].update(others)
        return counts

    def ingest(self, half: LoggedHalf) -> Ingested:
        """What a payload logger saw."""
        return self.ingesting.take(half)

    def passed_over(self, reason: PassedOver) -> None:
        """What is no half of an exchange."""
        self.ingesting.pass_over(reason)

    async def compare_rows(self, name: str, rows: Sequence[OfflineRow]) -> RowsCompared:
        """An offline pipeline's values beside those that were live; in pieces, so that nobody else waits for long."""
        watch = self._watch(name)
        if not watch.kept_rows.enabled:
            raise Refused(
                f"{name} keeps no rows to compare with: set deployments[].sampling.keep_rows (and keep_s) in the "
                "settings, reload, and post rows of requests that came after that"
            )
        now, counted = self._clock(), Counter[str]()
        at_once = max(_FEWEST_ROWS, _VALUES_AT_ONCE // max((len(row.features) for row in rows), default=1))
        for start in range(0, len(rows), at_once):
            piece = rows[start : start + at_once]
            found = watch.truths.compare(piece, lambda request_id, row: watch.kept_rows.find(request_id, row, now))
            counted.update(msgspec.structs.asdict(found))
            await asyncio.sleep(0)
        return RowsCompared(**counted)

    async def freeze_reference(self, name: str, *, actor: str, reason: str) -> FrozenReference:
        """Live traffic up to now becomes what `recent` compares with; the trail says who wanted it and why."""
        watch, text, now = self._watch(name), checked_reason(reason), self._clock()
        watch.freeze_reference(now)
        report = watch.drift("recent")
        entry = await self._store.record(
            Deed(
                at=now,
                actor=actor,
                action="freeze_reference",
                deployment=name,
                from_version=None,
                to_version=None,
                reason=text,
                evidence=None,
                details=msgspec.json.encode({"rows": report.reference_rows}).decode(),
            )
        )
        return FrozenReference(deployment=name, at=now, rows=report.reference_rows, audit_seq=entry.seq)

    async def acknowledge(self, alarm_id: str, *, actor: str, reason: str) -> Alarm:
        """A person has seen it; an alarm that is not written yet is written first."""
        for alarm in self._alarms.unsaved():
            if alarm.id == alarm_id:
                await self._store.carryover.save_alarm(alarm)
                self._alarms.saved(alarm)
        return self._alarms.acknowledged(await self.controller.acknowledge(alarm_id, actor=actor, reason=reason))

    async def hold(self, name: str, version: str, *, held: bool, actor: str, reason: str) -> HoldDone:
        """Whether the machine may promote a version."""
        return await self.automation.hold(name, version, held=held, actor=actor, reason=reason)

    async def set_challenger(
        self, name: str, version: str, changes: Mapping[str, object], *, actor: str, reason: str
    ) -> ShadowChange:
        """Adds a challenger, or changes one."""
        return await self.challengers.set(name, version, changes, actor=actor, reason=reason)

    async def remove_challenger(self, name: str, version: str, *, actor: str, reason: str) -> ShadowChange:
        """Takes one out of the shadow."""
        return await self.challengers.remove(name, version, actor=actor, reason=reason)

    async def switch_shadow(self, name: str, *, enabled: bool, actor: str, reason: str) -> ShadowChange:
        """All copies of a deployment, off or on."""
        return await self.challengers.switch(name, enabled=enabled, actor=actor, reason=reason)

    async def reconcile(
        self, name: str, *, take: Side, expected: str | None, actor: str, reason: str
    ) -> Reconciliation:
        """The registry's alias, pointed at the version that serves here."""
        return await self.reconciler.reconcile(name, take=take, expected=expected, actor=actor, reason=reason)
