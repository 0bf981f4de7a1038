"""What may be done to the fake control side: each call is kept in `calls`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from sidecar.agreed import ApprovalDone, ApprovalStatus, HoldDone, PlanShown
from sidecar.errors import Refused, Unknown
from sidecar.standing import (
    Acknowledgement,
    Alarm,
    FrozenReference,
    Reconciliation,
    ShadowChange,
    Transition,
)
from sidecar.wished import Wish
from tests.admin.fake_reports import EVIDENCE, NOW, alarm
from tests.admin.fake_standing import FakeStanding


class FakeVerbs(FakeStanding):
    """Does nothing else."""

    async def promote(self, name: str, wish: Wish) -> Transition:
        self._named(name)
        self.calls.append(("promote", {"name": name, **msgspec.structs.asdict(wish)}))
        if self.verdict != "pass":
            raise Refused("Two gates do not pass: duration, outcome.", self.gates(name, wish.challenger))
        return Transition(
            deployment=name,
            from_version=self.champion,
            to_version=wish.challenger,
            generation=2,
            audit_seq=None if wish.dry_run else 3,
            evidence=EVIDENCE,
            dry_run=wish.dry_run,
            plan=self._plan(1_800.0),
        )

    def _plan(self, watch_s: float) -> PlanShown:
        target = f"http://127.0.0.1:8001{self.text}"
        return PlanShown(
            digest=self.plan, target=target, rollback_to=self.champion, watch_s=watch_s, verdicts={}, approvals=("bob",)
        )

    async def override(self, name: str, wish: Wish) -> Transition:
        self._named(name)
        self.calls.append(("override", {"name": name, **msgspec.structs.asdict(wish)}))
        return Transition(
            deployment=name,
            from_version=self.champion,
            to_version=wish.challenger,
            generation=2,
            audit_seq=3,
            evidence=None,
            dry_run=wish.dry_run,
            plan=self._plan(0.0),
        )

    def approvals(self, name: str, challenger: str | None) -> tuple[ApprovalStatus, ...]:
        self._named(name)
        version = self._against(challenger)
        return (
            ApprovalStatus(challenger=version, by="bob", at=NOW, reason="looks good", evidence=EVIDENCE, void=None),
        )

    async def approve(self, name: str, challenger: str, **rest: Any) -> ApprovalDone:
        return self._agreed("approve", "approved", name, challenger, rest)

    async def withdraw_approval(self, name: str, challenger: str, **rest: Any) -> ApprovalDone:
        return self._agreed("withdraw", "withdrawn", name, challenger, rest)

    def _agreed(
        self, call: str, done: Literal["approved", "withdrawn"], name: str, challenger: str, rest: dict[str, Any]
    ) -> ApprovalDone:
        self._named(name)
        self._against(challenger)
        self.calls.append((call, {"challenger": challenger, **rest}))
        return ApprovalDone(deployment=name, challenger=challenger, done=done, people=("bob",), needed=2, audit_seq=10)

    async def start_canary(self, name: str, wish: Wish) -> Transition:
        self._named(name)
        self._against(wish.challenger)
        self.calls.append(("start_canary", msgspec.structs.asdict(wish)))
        if self.verdict != "pass":
            raise Refused(f"gate errors says {self.verdict}", self.gates(name, wish.challenger))
        self.trying = self.trying or not wish.dry_run
        return self._step(name, self.champion, wish.challenger, weight=0.05, dry_run=wish.dry_run)

    async def stop_canary(self, name: str, version: str | None, **rest: Any) -> Transition:
        self._named(name)
        self.calls.append(("stop_canary", {"version": version, **rest}))
        self.trying = False
        return self._step(name, self.challenger, self.champion, weight=0.0)

    def _step(self, name: str, former: str, to: str, **rest: Any) -> Transition:
        return Transition(
            deployment=name, from_version=former, to_version=to, generation=1, audit_seq=7, evidence=None, **rest
        )

    async def hold(self, name: str, version: str, *, held: bool, actor: str, reason: str) -> HoldDone:
        self._named(name)
        self.calls.append(("hold", {"version": version, "held": held, "actor": actor, "reason": reason}))
        return HoldDone(deployment=name, version=version, done="held" if held else "released", audit_seq=11)

    async def rollback(self, name: str, **rest: Any) -> Transition:
        self._named(name)
        self.calls.append(("rollback", {"name": name, **rest}))
        if not self.broke:
            raise Refused("There is no earlier champion to go back to.")
        return Transition(
            deployment=name, from_version=self.champion, to_version="3", generation=3, audit_seq=4, evidence=None
        )

    async def set_challenger(
        self, name: str, version: str, changes: Mapping[str, object], *, actor: str, reason: str
    ) -> ShadowChange:
        self._named(name)
        self.calls.append(("set", {"version": version, "changes": changes, "actor": actor, "reason": reason}))
        return ShadowChange(deployment=name, version=version, done="added", audit_seq=5)

    async def remove_challenger(self, name: str, version: str, *, actor: str, reason: str) -> ShadowChange:
        self._named(name)
        self._against(version)
        self.calls.append(("remove", {"version": version, "actor": actor, "reason": reason}))
        return ShadowChange(deployment=name, version=version, done="removed", audit_seq=6)

    async def switch_shadow(self, name: str, *, enabled: bool, actor: str, reason: str) -> ShadowChange:
        self._named(name)
        self.calls.append(("switch", {"enabled": enabled, "actor": actor, "reason": reason}))
        return ShadowChange(deployment=name, version=None, done="enabled" if enabled else "disabled", audit_seq=7)

    async def reconcile(
        self, name: str, *, take: Literal["sidecar", "registry"], expected: str | None, actor: str, reason: str
    ) -> Reconciliation:
        self._named(name)
        self.calls.append(("reconcile", {"take": take, "expected": expected, "actor": actor, "reason": reason}))
        if take == "registry":
            raise Refused("fraud: version 9, which the registry names, is not known here")
        return Reconciliation(
            deployment=name, alias="champion", from_version="9", to_version=self.champion, written=True, audit_seq=8
        )

    async def freeze_reference(self, name: str, *, actor: str, reason: str) -> FrozenReference:
        self._named(name)
        self.calls.append(("freeze", {"actor": actor, "reason": reason}))
        return FrozenReference(deployment=name, at=NOW, rows=18_240, audit_seq=9)

    async def acknowledge(self, alarm_id: str, *, actor: str, reason: str) -> Alarm:
        if alarm_id != "fraud-amount-1":
            raise Unknown(f"There is no alarm {alarm_id}.")
        self.calls.append(("acknowledge", {"actor": actor, "reason": reason}))
        return alarm(acknowledged=True, acknowledgement=Acknowledgement(by=actor, at=NOW, reason=reason))
