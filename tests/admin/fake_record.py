"""The record of the fake control side: one dead letter, one report. `text` goes into every free text field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sidecar.errors import Invalid, Unknown
from sidecar.recorded import (
    Cost,
    DeadLetter,
    DeadLetters,
    Move,
    PairCost,
    Rehearsal,
    Rehearsed,
    RehearsedHour,
    SignedHead,
    VersionCost,
)
from sidecar.standing import AuditCheck, AuditEntry, ChampionSpan
from tests.admin.fake_reports import EVIDENCE, NOW

HASH = "sha256:" + "a" * 64


class FakeRecord:
    """Answers from fields that a test may change; notes what was asked of it."""

    report_policy = "default-src 'none'"

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.asked: list[tuple[Any, ...]] = []

    def head(self) -> SignedHead:
        return SignedHead(seq=3, hash=HASH, at=NOW, key="2026", mac="hmac-sha256:00")

    async def verify_against(self, head: SignedHead) -> AuditCheck:
        fault = None if head.hash == HASH else f"entry {head.seq} is not the one that the exported head names"
        return AuditCheck(ok=fault is None, entries=3, head=HASH, fault=fault)

    async def transitions(self, name: str) -> tuple[AuditEntry, ...]:
        if name != "fraud":
            raise Unknown(f"the trail tells of no transition of {name!r}")
        entry = AuditEntry(
            seq=3,
            at=NOW,
            actor=f"alice{self.text}",
            action="promote",
            deployment=name,
            from_version="3",
            to_version="4",
            reason=f"better{self.text}",
            evidence=EVIDENCE,
            details="{}",
            prev=HASH,
            hash=HASH,
        )
        return (entry,)

    async def report(self, name: str, seq: int | None, form: Literal["html", "markdown"]) -> str:
        self.asked.append((name, seq, form))
        return "<p>told</p>" if form == "html" else "# told\n"

    async def cost(self, name: str, since: float, until: float) -> Cost:
        if not since < until:
            raise Invalid("from must be before to.")
        shown = VersionCost(version="3", answered=10, shadowed=0, outcomes=4, right=3, wrong=1, mean_error=None)
        pair = PairCost(
            champion="3", other="4", rows=10, disagreements=2, champion_right=1, challenger_right=0, undecided=1
        )
        span = ChampionSpan(version="3", since=NOW, until=None, promoted_by="alice", evidence=None)
        return Cost(
            deployment=name,
            since=since,
            until=until,
            requests=10,
            rows=10,
            read=10,
            kept_since=NOW,
            versions=(shown,),
            pairs=(pair,),
            champions=(span,),
            alarms=(),
        )

    async def rehearsal(
        self, name: str, challenger: str | None, gates: Mapping[str, object] | None, days: int
    ) -> Rehearsal:
        self.asked.append((name, challenger, gates, days))
        looks = (
            RehearsedHour(at=NOW - 3_600.0, champion="3", verdict="insufficient", blocking=("outcome", "duration")),
            RehearsedHour(at=NOW, champion="3", verdict="pass", blocking=()),
        )
        one = Rehearsed(
            challenger=challenger or f"4{self.text}",
            hours=2,
            passed=1,
            failed=0,
            insufficient=1,
            first_pass=NOW,
            promoted=None,
            gates={"pairs": {"pass": 2}, "outcome": {"pass": 1, "insufficient": 1}},
            items=looks,
        )
        move = Move(at=NOW, action="rollback", actor=f"alice{self.text}", from_version="4", to_version="3")
        return Rehearsal(
            deployment=name,
            since=NOW - days * 86_400.0,
            until=NOW,
            kept_since=NOW - 3_600.0,
            hours=2,
            unreadable=1,
            formulas="sidecar-gates/2",
            settings={"pairs": {"min": 5000}},
            challengers=(one,),
            moves=(move,),
        )

    async def dead_letters(self) -> DeadLetters:
        return DeadLetters(items=(self._letter(7),), dead=1, waiting=2)

    async def send_again(self, letter: int, *, actor: str, reason: str) -> DeadLetter:
        self.asked.append((letter, actor, reason))
        if letter != 7:
            raise Unknown(f"there is no dead letter {letter}")
        return self._letter(letter)

    def _letter(self, letter: int) -> DeadLetter:
        return DeadLetter(
            letter=letter,
            event="fraud-2-18bcfe56800",
            type="sidecar.promoted",
            deployment="fraud",
            receiver="http://127.0.0.1:9000",
            happened="2025-11-01T00:00:00.000Z",
            attempts=12,
            given_up=NOW,
            fault=f"answered 500{self.text}",
        )
