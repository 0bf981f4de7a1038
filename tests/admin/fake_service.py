"""A control side made of real report structs, for the admin API's tests. `text` goes into every free text field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from sidecar.agreed import ApprovalDone, ApprovalStatus, HoldDone, PlanShown
from sidecar.canary import CanaryStatus, CanaryStep
from sidecar.errors import Invalid, Refused, Unknown
from sidecar.records import LoggedHalf, OfflineRow, Outcome
from sidecar.reports import (
    Cause,
    ComparisonReport,
    ComparisonShape,
    DriftReport,
    FeatureSkew,
    GateTable,
    GateVerdict,
    Interval,
    LabelWanted,
    LabelWants,
    OutcomeCounts,
    PairedQuality,
    RowsCompared,
    RowSkewReport,
    Verdict,
    VersionQuality,
)
from sidecar.standing import (
    Acknowledgement,
    Alarm,
    AuditCheck,
    AuditEntry,
    ChallengerStatus,
    ChampionSpan,
    ChampionStatus,
    Decision,
    DeploymentStatus,
    Event,
    FrozenReference,
    Ingested,
    PassedOver,
    Reconciliation,
    RegistryStatus,
    ShadowChange,
    Transition,
)
from sidecar.watched import WatchStatus, WatchTest
from tests.admin.fake_record import FakeRecord
from tests.admin.fake_reports import EVIDENCE, NOW, alarm, bell, broken, categorical, comparison, numeric, shape, table

STEPS = (CanaryStep(0.05, 3600.0, 500), CanaryStep(0.25, 3600.0, 500), CanaryStep(0.5, 7200.0, 2000))


class FakeService:
    """Answers from fields that a test may change."""

    def __init__(self, *, name: str = "fraud", text: str = "", broke: bool = False, calm: bool = False) -> None:
        self.name, self.text = name, text
        self.is_ready = True
        self.champion, self.challenger = ("4", "3") if broke else ("3", "4")
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.posted: list[Outcome] = []
        self.queue: asyncio.Queue[Event] | None = None
        self.raises: BaseException | None = None
        self.verdict: Verdict = "fail" if broke else "pass" if calm else "insufficient"
        self.broke = broke
        self.registry = RegistryStatus(reachable=True, diverged=False)
        self.lineage = {self.challenger: {"data": f"payments-2025-11{text}", "code": "9f3c21d"}}
        self.verified = 0
        self.listening = 0
        self.halves: list[LoggedHalf] = []
        self.rows: list[OfflineRow] = []
        self.not_ours: list[str] = []
        self.record = FakeRecord(text)
        self.needed = 0  # people whom gate `approvals` asks for
        self.mode: Literal["manual", "auto"] = "manual"
        self.held: dict[str, str] = {}
        self.plan = "sha256:" + "9f" * 32
        self.steps: tuple[CanaryStep, ...] = ()
        self.trying = False  # a challenger is the canary

    def _named(self, name: str) -> None:
        if self.raises is not None:
            raise self.raises
        if name != self.name:
            raise Unknown(f"There is no deployment {name}.")

    def _against(self, challenger: str | None) -> str:
        if challenger not in (None, self.challenger):
            raise Unknown(f"There is no challenger {challenger}.")
        return challenger or self.challenger

    def remarks(self) -> tuple[str, ...]:
        return ()

    def waits(self) -> str | None:
        return None if self.is_ready else "No worker routes traffic yet; ask again in a moment."

    def deployments(self) -> tuple[DeploymentStatus, ...]:
        return (self.deployment(self.name),)

    def deployment(self, name: str) -> DeploymentStatus:
        self._named(name)
        return DeploymentStatus(
            name=name,
            owner=f"risk-ml@example.com{self.text}",
            generation=2 if self.broke else 1,
            state="canary" if self.trying else "watching" if self.broke else "steady",
            canary=self.canary(name) if self.trying else None,
            canary_steps=self.steps,
            champion=ChampionStatus(
                version=self.champion, url="http://127.0.0.1:8000", since=NOW - (640 if self.broke else 864_000)
            ),
            previous=self.challenger if self.broke else None,
            challengers=(
                ChallengerStatus(
                    version=self.challenger, url="http://127.0.0.1:8001", fraction=1.0, enabled=True, health="healthy"
                ),
            ),
            registry=self.registry,
            config_differs=self.broke,
            watch_until=NOW + 1160 if self.broke else None,
            lineage=self.lineage,
            mode=self.mode,
            held=self.held,
            watch=self._watch() if self.broke else None,
        )

    def _watch(self) -> WatchStatus:
        tests = (
            WatchTest(name="errors", new_only=7, former_only=2, same=18_231, margin=0.001, e_value=0.4, needed=200.0),
            WatchTest(name="outcome", new_only=31, former_only=9, same=372, margin=0.005, e_value=61.0, needed=200.0),
        )
        return WatchStatus(until=NOW + 1160, former=self.challenger, rollback="auto", excused=True, tests=tests)

    def comparison(self, name: str, challenger: str | None) -> ComparisonReport:
        self._named(name)
        self._against(challenger)
        return comparison(self.text)

    def comparison_shape(self, name: str, challenger: str | None) -> ComparisonShape:
        self._named(name)
        self._against(challenger)
        return shape()

    def drift(self, name: str, against: Literal["training", "recent"]) -> DriftReport:
        self._named(name)
        features = [
            broken(self.text) if self.broke else numeric(f"amount{self.text}"),
            numeric("age_days", missing=0.012, live_counts=(*bell(24, 12, 5, 700), 60, 0)),
            categorical("currency", live_counts=(640, 220, 90, 22, 3, 14, 0, 0), unseen=0.014),
            numeric("hour"),
            numeric("merchant_risk"),
            numeric("distance_km", n=0, psi=None, live_counts=(0,) * 26),
        ]
        return DriftReport(
            against=against,
            baseline_model="fraud",
            baseline_version=self.champion,
            baseline_digest=EVIDENCE,
            rows_seen=24_110,
            rows_sampled=18_240,
            undecodable=0,
            severity="critical" if self.broke else "none",
            features=tuple(features),
            prediction=numeric("score", live_counts=(*bell(24, 9 if self.broke else 12, 5, 700), 0, 0)),
        )

    def gates(self, name: str, challenger: str | None) -> GateTable:
        self._named(name)
        made = table(self.champion, self._against(challenger), self.verdict, self.text)
        if not self.needed:
            return made
        policy = {"min": self.needed, "valid_s": 86_400.0}
        asked = GateVerdict(
            name="approvals", verdict="pass", observed=1.0, required=self.needed, n=1, detail="bob", policy=policy
        )
        return msgspec.structs.replace(made, gates=(*made.gates, asked))

    async def promote(self, name: str, challenger: str, **rest: Any) -> Transition:
        self._named(name)
        self.calls.append(("promote", {"name": name, "challenger": challenger, **rest}))
        if self.verdict != "pass":
            raise Refused("Two gates do not pass: duration, outcome.", self.gates(name, challenger))
        return Transition(
            deployment=name,
            from_version=self.champion,
            to_version=challenger,
            generation=2,
            audit_seq=None if rest["dry_run"] else 3,
            evidence=EVIDENCE,
            dry_run=rest["dry_run"],
            plan=self._plan(1_800.0),
        )

    def _plan(self, watch_s: float) -> PlanShown:
        target = f"http://127.0.0.1:8001{self.text}"
        return PlanShown(
            digest=self.plan, target=target, rollback_to=self.champion, watch_s=watch_s, verdicts={}, approvals=("bob",)
        )

    async def override(self, name: str, version: str, **rest: Any) -> Transition:
        self._named(name)
        self.calls.append(("override", {"name": name, "version": version, **rest}))
        return Transition(
            deployment=name,
            from_version=self.champion,
            to_version=version,
            generation=2,
            audit_seq=3,
            evidence=None,
            dry_run=rest["dry_run"],
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

    def canary(self, name: str) -> CanaryStatus:
        self._named(name)
        return CanaryStatus(
            version=self.challenger,
            weight=0.05,
            step=1,
            steps=STEPS,
            since=NOW - 60,
            step_since=NOW - 60,
            verdict=self.verdict,
            gates=table(self.champion, self.challenger, self.verdict).gates,
            waits=f"step 1 of 2{self.text}",
        )

    async def start_canary(self, name: str, challenger: str, **rest: Any) -> Transition:
        self._named(name)
        self._against(challenger)
        self.calls.append(("start_canary", {"challenger": challenger, **rest}))
        if self.verdict != "pass":
            raise Refused(f"gate errors says {self.verdict}", self.gates(name, challenger))
        self.trying = self.trying or not rest["dry_run"]
        return self._step(name, self.champion, challenger, weight=0.05, dry_run=rest["dry_run"])

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

    async def outcomes(self, outcomes: Sequence[Outcome]) -> OutcomeCounts:
        self.posted.extend(outcomes)
        return OutcomeCounts(matched=len(outcomes))

    async def freeze_reference(self, name: str, *, actor: str, reason: str) -> FrozenReference:
        self._named(name)
        self.calls.append(("freeze", {"actor": actor, "reason": reason}))
        return FrozenReference(deployment=name, at=NOW, rows=18_240, audit_seq=9)

    async def compare_rows(self, name: str, rows: Sequence[OfflineRow]) -> RowsCompared:
        self._named(name)
        self.rows.extend(rows)
        return RowsCompared(compared=len(rows))

    def row_skew(self, name: str) -> RowSkewReport:
        self._named(name)
        cause = Cause(kind="scaler", says=f"0.01 × the offline value (twice){self.text}", factor=0.01, offset=-2.0)
        skewed = FeatureSkew(
            name=f"amount{self.text}", kind="numeric", compared=400, differs=120, share=0.3, share_lower=0.22,
            median_ratio=0.01, median_difference=-99.0, e_value=1e80, alarm=True, since=NOW - 60, cause=cause,
        )  # fmt: skip
        return RowSkewReport(since=NOW - 600, rows=400, features=(skewed,) if self.broke else ())

    def ingest(self, half: LoggedHalf) -> Ingested:
        if self.raises is not None:
            raise self.raises
        self.halves.append(half)
        return "waiting"

    def passed_over(self, reason: PassedOver) -> None:
        self.not_ours.append(reason)

    def performance(self, name: str) -> tuple[VersionQuality, ...]:
        self._named(name)
        return (
            VersionQuality(
                version="3", predicted=18_240, matched=412, coverage=0.0226,
                metrics={"accuracy": 0.9466, "precision": 0.81, "recall": 0.74},
            ),
            VersionQuality(
                version="4", predicted=18_240, matched=412, coverage=0.0226,
                metrics={"accuracy": 0.9575, "precision": 0.86, "recall": 0.77},
            ),
        )  # fmt: skip

    def paired(self, name: str, challenger: str | None) -> PairedQuality:
        self._named(name)
        self._against(challenger)
        champion, other = self.performance(name)
        gap = Interval(0.0109, -0.004, 0.026)
        return PairedQuality(
            champion=champion, challenger=other, matched=412, better=9, worse=5, same=398, gaps={"accuracy": gap}
        )

    def label_queue(self, name: str, challenger: str | None, limit: int) -> LabelWants:
        self._named(name)
        self._against(challenger)
        wanted = LabelWanted(request_id="r-1", row=0, at=NOW, champion="1", challenger="0", order="00")
        return LabelWants(differing=14, waiting=1, items=(wanted,)[:limit])

    def alarms(self) -> tuple[Alarm, ...]:
        if not self.broke:
            return ()
        return (alarm(self.text), alarm(id="old", says="hour: 3% missing", severity="info", ended=NOW - 4000))

    async def acknowledge(self, alarm_id: str, *, actor: str, reason: str) -> Alarm:
        if alarm_id != "fraud-amount-1":
            raise Unknown(f"There is no alarm {alarm_id}.")
        self.calls.append(("acknowledge", {"actor": actor, "reason": reason}))
        return alarm(acknowledged=True, acknowledgement=Acknowledgement(by=actor, at=NOW, reason=reason))

    async def audit(self, after: int, limit: int) -> tuple[AuditEntry, ...]:
        actions: list[tuple[str, str, str | None, str | None, str]] = [
            ("start", "sidecar", None, "3", ""),
            ("promote", "alice", "3", "4", f"gates pass{self.text}"),
        ]
        if self.broke:
            actions.append(("acknowledge", "bob", None, None, "the feed team is on it"))
        entries = tuple(
            AuditEntry(
                seq=number, at=NOW - 700 / number, actor=actor, action=action, deployment=self.name, from_version=old,
                to_version=new, reason=reason, evidence=None, details="{}", prev="0" * 64, hash=f"{number:x}c4e" * 16,
            )
            for number, (action, actor, old, new, reason) in enumerate(actions, 1)
        )  # fmt: skip
        return tuple(entry for entry in entries if entry.seq > after)[:limit]

    async def verify_audit(self) -> AuditCheck:
        self.verified += 1
        return AuditCheck(ok=True, entries=2, head="c4" * 32)

    async def champion_at(self, name: str, at: float | None) -> ChampionSpan:
        self._named(name)
        self.calls.append(("champion_at", {"at": at}))
        return ChampionSpan(version="3", since=NOW - 864_000, until=None, promoted_by="config", evidence=None)

    async def decision(self, request_id: str) -> Decision:
        if request_id == "none":
            raise Unknown("No such request was seen.")
        if request_id == "several":
            raise Invalid("That id was seen twice.")
        return Decision(
            deployment="fraud", version="3", at=NOW, prediction=(0.13,), challengers=(("4", (0.19,)),), outcome=(None,)
        )

    async def events(self) -> AsyncIterator[Event]:
        queue = self.queue = asyncio.Queue()
        self.listening += 1
        try:
            while True:
                yield await queue.get()
        finally:
            self.listening -= 1
