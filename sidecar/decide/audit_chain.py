"""The audit trail's chain: each entry's hash covers everything in it and the hash before it.

Keeps: one canonical encoding, so that anyone can check a trail with a dozen lines; an entry that was edited,
inserted, removed or moved is found, and so are newest entries cut off, against a head kept elsewhere.
Tamper-evident, not tamper-proof: who can rewrite both the trail and every copy of its head is not found.
Does not: store or read anything; feature values and tokens never get here.
Called by: `control/store` (seals inside the transaction) and `verify`.
Encoding: ASCII JSON list without spaces, ["sidecar-audit/1", seq, at, actor, action, deployment, from, to, reason,
evidence, details, prev]; `at` as the shortest decimal that reads back as the same double; SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import msgspec

from sidecar.standing import AuditCheck, AuditEntry

FORMAT = "sidecar-audit/1"
GENESIS = "sha256:" + "0" * 64


class Head(msgspec.Struct, frozen=True):
    """The newest entry's number and hash. `seq` 0 and GENESIS stand for an empty trail."""

    seq: int
    hash: str


EMPTY = Head(0, GENESIS)


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry tells, before it has its place in the chain. Fields as in standing.AuditEntry."""

    at: float
    actor: str
    action: str
    deployment: str
    from_version: str | None
    to_version: str | None
    reason: str
    evidence: str | None
    details: str


def seal(head: Head, deed: Deed) -> AuditEntry:
    """The entry that follows `head`. Raises ValueError when the time is not a finite number."""
    entry = AuditEntry(
        seq=head.seq + 1,
        at=float(deed.at),
        actor=deed.actor,
        action=deed.action,
        deployment=deed.deployment,
        from_version=deed.from_version,
        to_version=deed.to_version,
        reason=deed.reason,
        evidence=deed.evidence,
        details=deed.details,
        prev=head.hash,
        hash="",
    )
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def hash_of(entry: AuditEntry) -> str:
    """The hash that the entry should carry. Raises ValueError or TypeError for what was never sealed."""
    told = [
        FORMAT, entry.seq, entry.at, entry.actor, entry.action, entry.deployment, entry.from_version, entry.to_version,
        entry.reason, entry.evidence, entry.details, entry.prev,
    ]  # fmt: skip
    text = json.dumps(told, separators=(",", ":"), allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def check(entries: Iterable[AuditEntry], head: Head | None, unheaded: int = 0) -> AuditCheck:
    """Walks the whole trail, oldest first, and names the first entry that is wrong.

    Where it is not ok, `entries` counts up to the wrong one and `head` is the last sound entry's hash.

    Args:
        entries: in the store's order.
        head: as kept beside the trail; None where that copy is missing.
        unheaded: how many entries may follow the head. One, where a crash may have come between the commit of an
            entry and the writing of the head.
    """
    last, count, at_head = EMPTY, 0, EMPTY.hash
    for entry in entries:
        count += 1
        fault = _fault(last, entry)
        if fault is not None:
            return AuditCheck(ok=False, entries=count, head=last.hash, fault=fault)
        last = Head(entry.seq, entry.hash)
        if head is not None and entry.seq == head.seq:
            at_head = entry.hash
    fault = _fault_at_head(last, at_head, head, unheaded)
    return AuditCheck(ok=fault is None, entries=count, head=last.hash, fault=fault)


def fault_against(entries: Iterable[AuditEntry], exported: Head) -> str | None:
    """How a sound trail differs from a head that was exported from it earlier; None where it only grew."""
    last, at_head = EMPTY, EMPTY.hash
    for entry in entries:
        last = Head(entry.seq, entry.hash)
        if entry.seq == exported.seq:
            at_head = entry.hash
    if exported.seq > last.seq:
        return (
            f"the newest entries are cut off: the trail ends at entry {last.seq}, the exported head is entry"
            f" {exported.seq}"
        )
    if at_head != exported.hash:
        return f"entry {exported.seq} is not the one that the exported head names: the trail was rewritten"
    return None


def _fault(last: Head, entry: AuditEntry) -> str | None:
    due = last.seq + 1
    if entry.seq > due:
        gap = f"entry {due} is" if entry.seq == due + 1 else f"entries {due} to {entry.seq - 1} are"
        return f"{gap} missing"
    if entry.seq < due:
        return f"entry {entry.seq} stands where entry {due} should: the trail was reordered or added to"
    try:
        sound = hash_of(entry) == entry.hash
    except (TypeError, ValueError):
        sound = False
    if not sound:
        return f"entry {entry.seq} was edited: its hash does not fit what it says"
    if entry.prev != last.hash:
        return f"entry {entry.seq} does not follow the one before it: one of the two was replaced"
    return None


def _fault_at_head(last: Head, at_head: str, head: Head | None, unheaded: int) -> str | None:
    if head is None:
        head = EMPTY
        if last.seq > unheaded:
            return f"the copy of the head is missing, so entries cut off after entry {last.seq} would go unseen"
    if head.seq > last.seq:
        return f"the newest entries are cut off: the trail ends at entry {last.seq}, its head is entry {head.seq}"
    if head.hash != at_head:
        return f"entry {head.seq} is not the one that the head names: the trail was rewritten"
    if last.seq > head.seq + unheaded:
        return f"entry {head.seq + unheaded + 1} follows the head: it was added by another than this sidecar"
    return None
