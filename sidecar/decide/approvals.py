"""Approvals: who agreed that a challenger may take over, as long as that counts, and the gate that asks for them.

Keeps: one approval a person, bound to what it was given on (`grounds`); it ends when that changes, when a gate fails,
when it is withdrawn or too old. All of it is folded from the audit trail, so that nothing else has to be stored.
Does not: write entries (`control/agreements` does), or know who promotes: `lacking` is asked when somebody does.
Called by: `gates`, `promotion`, and control.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sidecar.agreed import Approval, ApprovalStatus
from sidecar.config_gates import ApprovalsGate
from sidecar.decide.evidence import Evidence
from sidecar.decide.finding import Finding
from sidecar.decide.grounds import Grounds, Subject, other_subject
from sidecar.standing import AuditEntry

APPROVE, WITHDRAW, VOID = "approve", "withdraw_approval", "void_approvals"
ACTIONS = (APPROVE, WITHDRAW, VOID)


class _Details(msgspec.Struct, frozen=True):
    grounds: Grounds


class _Given(msgspec.Struct, frozen=True, kw_only=True):
    approval: Approval
    evidence: str
    subject: Subject
    ended: str | None = None


class Agreed(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate table stands on, and who agreed to that.

    Attributes:
        approvals: that count, one a person; needed: how many people; promoter_counts: whether one may be who promotes.
        reviewed: the grounds of the evidence that the caller has read; None where nobody knows it.
    """

    grounds: Grounds
    approvals: tuple[Approval, ...] = ()
    needed: int = 0
    promoter_counts: bool = False
    reviewed: Grounds | None = None


class ApprovalBook:
    """Every approval that was given, the newest of each person."""

    def __init__(self, entries: Iterable[AuditEntry] = ()) -> None:
        self._given: dict[tuple[str, str], dict[str, _Given]] = {}
        for entry in entries:
            self.fold(entry)

    def fold(self, entry: AuditEntry) -> None:
        """One entry of the trail; of another action, or one that cannot be read, it is none."""
        if entry.action not in ACTIONS or entry.to_version is None:
            return
        people = self._given.setdefault((entry.deployment, entry.to_version), {})
        if entry.action == APPROVE:
            try:
                subject = msgspec.json.decode(entry.details, type=_Details).grounds.subject
            except msgspec.MsgspecError:
                return
            approval = Approval(by=entry.actor, at=entry.at, reason=entry.reason)
            people[entry.actor] = _Given(approval=approval, evidence=entry.evidence or "", subject=subject)
            return
        whose = [entry.actor] if entry.action == WITHDRAW else list(people)
        ended = "withdrawn" if entry.action == WITHDRAW else entry.reason
        for name in whose:
            if name in people and people[name].ended is None:
                people[name] = msgspec.structs.replace(people[name], ended=ended)

    def counting(
        self, subject: Subject, valid_s: float, now: float, canary_since: float | None = None
    ) -> tuple[Approval, ...]:
        """Those that count for this subject, by name. Those that it began with as canary do not grow old meanwhile."""
        given = self._given.get((subject.deployment, subject.challenger), {})
        return tuple(
            given[name].approval
            for name in sorted(given)
            if _void(given[name], subject, valid_s, now, canary_since) is None
        )

    def status(
        self, subject: Subject, valid_s: float, now: float, canary_since: float | None = None
    ) -> tuple[ApprovalStatus, ...]:
        """All that were given for a challenger, oldest first."""
        given = self._given.get((subject.deployment, subject.challenger), {})
        return tuple(
            ApprovalStatus(
                challenger=subject.challenger,
                by=each.approval.by,
                at=each.approval.at,
                reason=each.approval.reason,
                evidence=each.evidence,
                void=_void(each, subject, valid_s, now, canary_since),
            )
            for each in sorted(given.values(), key=lambda one: one.approval.at)
        )


def _void(given: _Given, subject: Subject, valid_s: float, now: float, canary_since: float | None) -> str | None:
    if given.ended is not None:
        return given.ended
    differs = other_subject(given.subject, subject)
    if differs is not None:
        return differs
    if canary_since is not None and given.approval.at <= canary_since:
        now = min(now, canary_since)
    # A clock that was set back far makes no approval last for ever.
    return None if abs(now - given.approval.at) < valid_s else "it is too old"


def approvals(policy: ApprovalsGate, evidence: Evidence, now: float) -> Finding:
    """Distinct people have agreed. Whether one of them is who promotes is seen when somebody does."""
    del now
    people = sorted({approval.by for approval in evidence.approvals})
    names = f" ({', '.join(people)})" if people else ""
    if policy.min == 0:
        return Finding("pass", float(len(people)), 0.0, len(people), f"no approval is asked for{names}")
    says = f"{len(people)} of {policy.min} people have agreed{names}"
    if len(people) >= policy.min:
        return Finding("pass", float(len(people)), float(policy.min), len(people), says)
    says += f": `sidecar approve {evidence.deployment} {evidence.challenger}`"
    return Finding("insufficient", float(len(people)), float(policy.min), len(people), says)


def lacking(agreed: Agreed, promoter: str) -> str | None:
    """Why those who agreed are not enough for this promoter; None where they are."""
    people = {approval.by for approval in agreed.approvals}
    others = people if agreed.promoter_counts else people - {promoter}
    if len(others) >= agreed.needed:
        return None
    return (
        f"{len(others)} of {agreed.needed} people have agreed, and who promotes does not count:"
        f" somebody other than {promoter} has to approve or to promote"
    )
