"""What is said about a coming transition: who agreed, what a dry run has shown, what the machine may not do.

Frozen. Times are seconds since the epoch here and become RFC 3339 at the admin API's edge.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A named person agreed that a challenger may take over."""

    by: str
    at: float
    reason: str


class ApprovalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One approval as it stands: `void` says why it counts no more, None while it does; `evidence` is what was seen."""

    challenger: str
    by: str
    at: float
    reason: str
    evidence: str
    void: str | None


class ApprovalDone(msgspec.Struct, frozen=True, kw_only=True):
    """What a call did. `people` have agreed, `needed` are asked for; `audit_seq` is None where nothing changed."""

    deployment: str
    challenger: str
    done: Literal["approved", "withdrawn", "unchanged"]
    people: tuple[str, ...]
    needed: int
    audit_seq: int | None


class PlanShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a dry run would do. A call that names `digest` is refused if anything that mattered has changed since.

    `rollback_to` is where a rollback would go back to, `watch_s` how long the new champion would be watched.
    """

    digest: str
    target: str
    rollback_to: str
    watch_s: float
    verdicts: dict[str, str]
    approvals: tuple[str, ...]


class HoldDone(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the machine may promote a version; `audit_seq` is None where that was so already."""

    deployment: str
    version: str
    done: Literal["held", "released", "unchanged"]
    audit_seq: int | None
