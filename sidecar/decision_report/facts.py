"""What a report tells of one transition, read from the audit trail alone.

Keeps: what the entry does not hold is not made up; the evidence is judged again from the counts that were kept, and the
report says whether table and digest are the same. Does not: write text (`page`, `markdown`), or read a store.
Called by: control, for the API and the command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from sidecar.decide.evidence_record import EvidenceRecord, NotRecomputable, judge_again, read_record
from sidecar.decide.history import CANARY_STEPS
from sidecar.errors import Unknown
from sidecar.reports import GateVerdict
from sidecar.standing import AuditCheck, AuditEntry

# What stands in an entry's details and has its own place in the report.
_PLACED = (
    "gates", "verdict", "target", "force", "software", "lineage", "lineage_before", "record", "approvals", "canary",
)  # fmt: skip
MOVES = ("start", "promote", "override", "rollback")


class CanaryPlace(msgspec.Struct, frozen=True):
    """How far a canary had come, as an entry tells it; `version` is empty where the entry is about that itself."""

    step: int
    steps: int
    weight: float
    version: str = ""


class DecisionReport(msgspec.Struct, frozen=True, kw_only=True):
    """One transition. Times are seconds since the epoch.

    Attributes:
        entry: as it stands in the trail.
        verdict, gates: as they were judged then; None and empty where no gate was asked.
        evidence: what was judged, None where it was not kept; again: what judging it anew gave.
        lineage, lineage_before: the registry's word then on the new champion and on the former one.
        stood_since: when the former champion began to answer; stood_until: when the new one ended, None if it answers.
        followed_by: the transition that ended it.
        canary: the place of the canary that it ended, or that it is about; None without one.
        canary_steps: the entries of that canary before this one, oldest first.
        others: what else the entry tells, as JSON text by name.
        trail: the check of the whole trail when the report was made; made_at: that moment.
    """

    entry: AuditEntry
    software: str
    target: str
    forced: bool
    verdict: str | None
    gates: tuple[GateVerdict, ...]
    evidence: EvidenceRecord | None
    again: str
    same: bool | None
    lineage: dict[str, str]
    lineage_before: dict[str, str]
    approvals: tuple[dict[str, str], ...]
    stood_since: float | None
    stood_until: float | None
    followed_by: AuditEntry | None
    canary: CanaryPlace | None
    canary_steps: tuple[AuditEntry, ...]
    others: dict[str, str]
    trail: AuditCheck
    made_at: float


def report_of(
    entries: Sequence[AuditEntry], deployment: str, seq: int | None, trail: AuditCheck, now: float
) -> DecisionReport:
    """The report on entry `seq`, by default on the newest transition. Raises Unknown.

    Args:
        entries: the deployment's transitions, oldest first.
        deployment: whose they are.
        seq: the entry's number.
        trail: what the check of the whole trail found just now.
        now: seconds since the epoch.
    """
    mine = [entry for entry in entries if entry.deployment == deployment]
    # Between two champions, steps of a canary move none; who names one may have it told all the same.
    moves = [entry for entry in mine if entry.action in MOVES or (entry.seq == seq and entry.action in CANARY_STEPS)]
    if not moves:
        raise Unknown(f"the trail tells of no transition of {deployment!r}")
    place = len(moves) - 1 if seq is None else next((at for at, e in enumerate(moves) if e.seq == seq), None)
    if place is None:
        known = ", ".join(str(entry.seq) for entry in moves[-5:])
        raise Unknown(f"entry {seq} of the trail is no transition of {deployment}; the newest ones are {known}")
    entry = moves[place]
    told = _members(entry.details)
    record, again, same = _judged_again(entry, told)
    if entry.action in CANARY_STEPS[:2]:  # its next step ends it, as whatever moves the champion does
        later = next((other for other in mine if other.seq > entry.seq), None)
    else:
        later = next((other for other in moves[place + 1 :] if other.to_version != entry.to_version), None)
    return DecisionReport(
        entry=entry,
        software=_text(told.get("software")),
        target=_target(told.get("target")),
        forced=told.get("force") is True,
        verdict=_text(told.get("verdict")) or None,
        gates=_gates(told.get("gates")),
        evidence=record,
        again=again,
        same=same,
        lineage=_texts(told.get("lineage")),
        lineage_before=_texts(told.get("lineage_before")),
        approvals=tuple(_texts(each) for each in _list(told.get("approvals"))),
        stood_since=_began(moves[:place], entry.from_version),
        stood_until=later.at if later is not None else None,
        followed_by=later,
        canary=_canary(told.get("canary")),
        canary_steps=_steps_before(mine, entry),
        others={name: json.dumps(value, sort_keys=True) for name, value in told.items() if name not in _PLACED},
        trail=trail,
        made_at=now,
    )


def _judged_again(entry: AuditEntry, told: dict[str, Any]) -> tuple[EvidenceRecord | None, str, bool | None]:
    if "record" not in told:
        says = "No evidence was kept: this step asks no gates." if "gates" not in told else "The counts were not kept."
        return None, says, None
    try:
        record = read_record(told["record"])
    except NotRecomputable as error:
        return None, f"Not judged again: {error}.", None
    try:
        table = judge_again(record)
    except NotRecomputable as error:
        return record, f"Not judged again: {error}.", None
    if table.evidence == entry.evidence:
        return record, "Judged again from the kept counts: the same table, the same digest.", True
    return record, f"Judged again from the kept counts: another digest, {table.evidence}. Ask why.", False


def _began(before: Iterable[AuditEntry], version: str | None) -> float | None:
    """When the stretch began that ended with this transition."""
    since: float | None = None
    current: str | None = None
    for entry in before:
        if entry.to_version != current:
            current, since = entry.to_version, entry.at
    return since if version is not None and current == version else None


def _steps_before(mine: Sequence[AuditEntry], entry: AuditEntry) -> tuple[AuditEntry, ...]:
    """The entries of the canary that this one goes on with, or ends."""
    steps: list[AuditEntry] = []
    for other in mine:
        if other.seq >= entry.seq:
            break
        if other.action not in CANARY_STEPS:
            steps = steps if other.action == "start" else []
        else:
            steps = [other] if other.action == "canary_start" else [*steps, other]
    return () if entry.action == "canary_start" or (steps and steps[-1].action == "canary_stop") else tuple(steps)


def place_of(entry: AuditEntry) -> CanaryPlace | None:
    """What an entry tells of a canary."""
    return _canary(_members(entry.details).get("canary"))


def _canary(value: Any) -> CanaryPlace | None:
    try:
        return None if value is None else msgspec.convert(value, CanaryPlace)
    except msgspec.ValidationError:
        return None


def _members(details: str) -> dict[str, Any]:
    try:
        told = json.loads(details)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _gates(value: Any) -> tuple[GateVerdict, ...]:
    try:
        return tuple(msgspec.convert(value or [], list[GateVerdict]))
    except msgspec.ValidationError:
        return ()


def _target(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    path = value.get("path")
    return f"{_text(value.get('url'))}{_text(path)}"


def _texts(value: Any) -> dict[str, str]:
    return {str(name): _text(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
