"""What the admin API asks of the control side. `app` hands in an object that has these; neither imports the other.

Every call raises only the errors of `sidecar.errors`. A deployment or challenger that is the only one need not be
named: `challenger=None` means the sole one, and Invalid says so when there are several or none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, Protocol

from sidecar.admin.record_service import RecordService
from sidecar.agreed import ApprovalDone, ApprovalStatus, HoldDone
from sidecar.canary import CanaryStatus
from sidecar.records import LoggedHalf, OfflineRow, Outcome
from sidecar.reports import (
    ComparisonReport,
    ComparisonShape,
    DriftReport,
    GateTable,
    LabelWants,
    OutcomeCounts,
    PairedQuality,
    RowsCompared,
    RowSkewReport,
    VersionQuality,
)
from sidecar.standing import (
    Alarm,
    AuditCheck,
    AuditEntry,
    ChampionSpan,
    Decision,
    DeploymentStatus,
    Event,
    FrozenReference,
    Ingested,
    PassedOver,
    Reconciliation,
    ShadowChange,
    Transition,
)
from sidecar.wished import Wish


class Service(Protocol):
    """The control side, seen from its API."""

    @property
    def record(self) -> RecordService:
        """What was: the trail, its reports, events that nobody took."""

    def waits(self) -> str | None:
        """Why traffic may not come yet, in a sentence; None when it may: every worker routes by the present table."""

    def remarks(self) -> tuple[str, ...]:
        """What somebody should know though traffic may come; sentences."""

    def deployments(self) -> tuple[DeploymentStatus, ...]:
        """All deployments in the settings' order."""

    def deployment(self, name: str) -> DeploymentStatus:
        """One of them."""

    def comparison(self, name: str, challenger: str | None) -> ComparisonReport:
        """A challenger beside the champion."""

    def comparison_shape(self, name: str, challenger: str | None) -> ComparisonShape:
        """The distributions behind that comparison, for its pictures."""

    def drift(self, name: str, against: Literal["training", "recent"]) -> DriftReport:
        """Live inputs and predictions against the baseline."""

    async def freeze_reference(self, name: str, *, actor: str, reason: str) -> FrozenReference:
        """Live traffic up to now becomes what `recent` compares with."""

    async def compare_rows(self, name: str, rows: Sequence[OfflineRow]) -> RowsCompared:
        """An offline pipeline's values for rows that were live; Refused where no rows are kept."""

    def row_skew(self, name: str) -> RowSkewReport:
        """What the compared rows have shown so far."""

    def gates(self, name: str, challenger: str | None) -> GateTable:
        """May the challenger take over, gate by gate."""

    async def promote(self, name: str, wish: Wish) -> Transition:
        """Makes the challenger the champion if every gate passes."""

    async def override(self, name: str, wish: Wish) -> Transition:
        """Makes a version the champion whatever the gates say."""

    def canary(self, name: str) -> CanaryStatus:
        """How a canary stands; Unknown where there is none."""

    async def start_canary(self, name: str, wish: Wish) -> Transition:
        """A challenger answers a share of the requests, if every gate passes."""

    async def stop_canary(
        self,
        name: str,
        version: str | None,
        *,
        actor: str,
        reason: str,
        idempotency_key: str | None,
        dry_run: bool = False,
    ) -> Transition:
        """All requests are the champion's again."""

    def approvals(self, name: str, challenger: str | None) -> tuple[ApprovalStatus, ...]:
        """Who agreed that a challenger may take over, and what still counts."""

    async def approve(self, name: str, challenger: str, *, evidence: str, actor: str, reason: str) -> ApprovalDone:
        """A person agrees to what the gates say."""

    async def withdraw_approval(self, name: str, challenger: str, *, actor: str, reason: str) -> ApprovalDone:
        """A person does not agree any more."""

    async def rollback(
        self, name: str, *, actor: str, reason: str, to: str | None, force: bool, idempotency_key: str | None
    ) -> Transition:
        """Back to the previous champion, without gates."""

    async def hold(self, name: str, version: str, *, held: bool, actor: str, reason: str) -> HoldDone:
        """Whether the machine may promote a version."""

    async def set_challenger(
        self, name: str, version: str, changes: Mapping[str, object], *, actor: str, reason: str
    ) -> ShadowChange:
        """Adds a challenger, or changes the given settings of one; they are checked as in the settings file."""

    async def remove_challenger(self, name: str, version: str, *, actor: str, reason: str) -> ShadowChange:
        """Takes a challenger out of the shadow."""

    async def switch_shadow(self, name: str, *, enabled: bool, actor: str, reason: str) -> ShadowChange:
        """The kill switch for all shadow work of a deployment."""

    async def reconcile(
        self, name: str, *, take: Literal["sidecar", "registry"], expected: str | None, actor: str, reason: str
    ) -> Reconciliation:
        """Points the registry's alias at the version that serves; the registry's side is refused with what to do."""

    async def outcomes(self, outcomes: Sequence[Outcome]) -> OutcomeCounts:
        """Joins late truths to what was predicted."""

    def ingest(self, half: LoggedHalf) -> Ingested:
        """One half of an exchange that a payload logger saw; says what became of it."""

    def passed_over(self, reason: PassedOver) -> None:
        """An event that is no such half is counted."""

    def performance(self, name: str) -> tuple[VersionQuality, ...]:
        """Quality per version on rows with an outcome."""

    def paired(self, name: str, challenger: str | None) -> PairedQuality:
        """Champion and challenger on the same rows with the same outcome."""

    def label_queue(self, name: str, challenger: str | None, limit: int) -> LabelWants:
        """Rows on which the two decide differently and that have no outcome, in the order of a sample."""

    def alarms(self) -> tuple[Alarm, ...]:
        """Open alarms first, then ended ones of the last day."""

    async def acknowledge(self, alarm_id: str, *, actor: str, reason: str) -> Alarm:
        """A person has seen it."""

    async def audit(self, after: int, limit: int) -> tuple[AuditEntry, ...]:
        """Entries with seq > after, oldest first."""

    async def verify_audit(self) -> AuditCheck:
        """Reads the whole trail again from disk."""

    async def champion_at(self, name: str, at: float | None) -> ChampionSpan:
        """Which version answered then (None: now)."""

    async def decision(self, request_id: str) -> Decision:
        """What was answered to one request."""

    def events(self) -> AsyncIterator[Event]:
        """Facts from now on, as they happen."""
