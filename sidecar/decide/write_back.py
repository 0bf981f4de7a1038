"""What a transition tells the registry: where the champion's alias belongs, and what is noted on the versions.

Keeps: an alias is written only from where it was left; wherever else it is, someone else has moved it there. Of several
transitions that the registry has not heard of the newest decides, so no older one ever shows there. Notes are the same
however often they are written.
Does not: call a registry, or know the clock: every time is the transition's own.
Called by: `control/write_back`, which carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from sidecar.decide.promotion import Plan

# What a tag says where there is nothing to say: tags cannot be taken away in every registry.
NOTHING = "none"

Whose = Literal["there", "ours", "theirs"]


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one transition, or a person's reconciliation, has to tell; kept in the outbox until it is told.

    `from_version` is where the alias was left, `action` "promote", "rollback" or "reconcile", `at` when it happened.
    Fields have defaults so that an earlier sidecar's rows can be read.
    """

    model: str
    version: str
    alias: str = "champion"
    from_version: str | None = None
    deployment: str = ""
    generation: int = 0
    action: str = "reconcile"
    at: float = 0.0
    actor: str = ""
    reason: str = ""
    evidence: str | None = None


def notice_of(plan: Plan, model: str, alias: str) -> Notice:
    """What is to be told of a promotion or rollback."""
    return Notice(
        model=model,
        version=plan.to_version,
        alias=alias,
        from_version=plan.from_version,
        deployment=plan.state.deployment,
        generation=plan.state.generation,
        action=plan.action,
        at=plan.state.champion_since,
        actor=plan.actor,
        reason=plan.reason,
        evidence=plan.evidence,
    )


def whose(there: str | None, line: Sequence[Notice]) -> Whose:
    """Whether the alias is where it belongs, where we left it (or nowhere), or where someone else put it.

    `line` is all that the registry has not been told yet, oldest first, never empty. An alias at any version that one
    of them left is ours: the registry may have taken an older one without our having learnt it.

    >>> line = (Notice(model="fraud", version="4", from_version="3"), Notice(model="fraud", version="5"))
    >>> whose("5", line), whose("3", line), whose(None, line), whose("9", line)
    ('there', 'ours', 'ours', 'theirs')
    """
    newest = line[-1]
    if there == newest.version:
        return "there"
    same = [told for told in line if (told.model, told.alias) == (newest.model, newest.alias)]
    left = {version for told in same for version in (told.from_version, told.version)}
    return "ours" if there is None or there in left else "theirs"


def tags_of(line: Sequence[Notice]) -> dict[tuple[str, str], dict[str, str]]:
    """(model, version) -> the tags that say how it became champion, or whom it made room for; the newest stands."""
    tags: dict[tuple[str, str], dict[str, str]] = {}
    for told in line:
        if told.action not in ("promote", "override", "rollback"):
            continue
        at = _rfc3339(told.at)
        tags.setdefault((told.model, told.version), {}).update(
            {
                "sidecar.champion_since": at,
                "sidecar.deployment": told.deployment,
                "sidecar.generation": str(told.generation),
                "sidecar.action": told.action,
                "sidecar.promoted_by": told.actor,
                "sidecar.reason": told.reason,
                "sidecar.evidence": told.evidence or NOTHING,
                "sidecar.from_version": told.from_version or NOTHING,
                "sidecar.retired_at": NOTHING,
                "sidecar.retired_for": NOTHING,
            }
        )
        if told.from_version is not None:
            retired = tags.setdefault((told.model, told.from_version), {})
            retired.update({"sidecar.retired_at": at, "sidecar.retired_for": told.version})
    return tags


def _rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
