"""A control side made of real report structs, for the admin API's tests. `text` goes into every free text field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from sidecar.errors import Invalid, Unknown
from sidecar.records import LoggedHalf, OfflineRow, Outcome
from sidecar.reports import (
    Cause,
    FeatureSkew,
    Interval,
    LabelWanted,
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
    Event,
    Ingested,
    PassedOver,
)
from tests.admin.fake_reports import NOW, alarm
from tests.admin.fake_verbs import FakeVerbs


class FakeService(FakeVerbs):
    """Answers from fields that a test may change."""

    async def outcomes(self, outcomes: Sequence[Outcome]) -> OutcomeCounts:
        self.posted.extend(outcomes)
        return OutcomeCounts(matched=len(outcomes))

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
