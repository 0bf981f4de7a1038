"""A deployment's roster as a row of the store, with a digest that its audit entry repeats.

Keeps: what is read back is what was written, or StoreError: copies never go to an address that a bad disk made up.
Does not: guard against someone who recomputes the digest; the audit trail does, since the newest entry has it too.
Called by: `store`, `trail`, `challengers`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from pydantic import ValidationError
from sqlalchemy import RowMapping

from sidecar.control.database import StoreError
from sidecar.decide.roster import Roster
from sidecar.standing import AuditEntry

ACTIONS = ("set_challenger", "remove_challenger", "shadow_on", "shadow_off", "follow_settings")


class _Details(msgspec.Struct, frozen=True):
    roster: str


def to_row(roster: Roster) -> dict[str, str | int]:
    """The columns of `schema.roster`."""
    document = roster.model_dump_json()
    return {
        "deployment": roster.deployment,
        "revision": roster.revision,
        "document": document,
        "digest": hashlib.sha256(document.encode()).hexdigest(),
    }


def from_row(path: Path, deployment: str, revision: int, document: str, digest: str) -> Roster:
    """The roster; StoreError naming the file where the row cannot be trusted."""
    try:
        sound = hashlib.sha256(document.encode()).hexdigest() == digest
        roster = Roster.model_validate_json(document)
    except (ValidationError, ValueError, AttributeError, TypeError) as error:
        raise _damaged(path, deployment) from error
    if not sound or (roster.deployment, roster.revision) != (deployment, revision):
        raise _damaged(path, deployment)
    return roster


def digests(path: Path, rows: Iterable[RowMapping]) -> dict[str, str]:
    """The digest of each row that can be trusted, by deployment. As stored: another version may encode otherwise.

    Raises StoreError.
    """
    return {from_row(path, **row).deployment: row["digest"] for row in rows}


def fault_in(stored: Mapping[str, str], entries: Iterable[AuditEntry]) -> str | None:
    """Whether each stored roster (its digest by deployment) is the one of the newest entry about it."""
    last = {entry.deployment: entry.details for entry in entries if entry.action in ACTIONS}
    for deployment in sorted(last.keys() | stored.keys()):
        told = _digest_in(last.get(deployment))
        if told != stored.get(deployment):
            return (
                f"the challengers of {deployment} are not stored as the trail has them: one of the two was changed by"
                " another than this sidecar"
            )
    return None


def _digest_in(details: str | None) -> str | None:
    if details is None:
        return None
    try:
        return msgspec.json.decode(details, type=_Details).roster
    except msgspec.MsgspecError:
        return ""


def _damaged(path: Path, deployment: str) -> StoreError:
    return StoreError(f"the challengers of deployment {deployment} in {path} are damaged: restore it from a backup")
