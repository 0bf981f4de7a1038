"""A transition that is allowed, as it is written and shown: the new state, what the trail tells, what a dry run tells.

Keeps: a plan's digest covers all that the step depends on but the counts behind the verdicts, so that traffic between
a dry run and the call changes nothing, and everything else does.
Does not: decide whether a step is allowed (`promotion` does, which hands these nouns on), write, or know the clock.
Called by: `promotion`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from sidecar import __version__
from sidecar.agreed import Approval, PlanShown
from sidecar.decide.approvals import Agreed
from sidecar.decide.harm import Harm
from sidecar.errors import Refused
from sidecar.reports import GateTable
from sidecar.standing import Action, DeploymentState, Target
from sidecar.wished import Wish


@dataclass(frozen=True, slots=True)
class Rollback:
    """Back to `to`, by default the previous champion. `harm` is what the machine has found, where it asks."""

    actor: str
    reason: str
    to: str | None = None
    force: bool = False
    harm: Harm | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A transition that is allowed: the new state, where it leads, and what the audit entry tells.

    `details` is canonical JSON: gate table, target, force, software version. `shown` is what a dry run tells, None for
    a step that has none; `at` is when, None for a step of the champion: then its state tells.
    """

    state: DeploymentState
    expected_generation: int
    action: Action
    from_version: str
    to_version: str
    target: Target
    actor: str
    reason: str
    evidence: str | None
    details: str
    shown: PlanShown | None = None
    at: float | None = None


def step_forward(
    state: DeploymentState,
    wish: Wish,
    action: Action,
    reason: str,
    target: Target,
    table: GateTable | None,
    agreed: Agreed | None,
    now: float,
    watch_s: float,
    watch_until: float | None,
) -> Plan:
    """A step forward, compared with what a dry run has shown where the caller names that."""
    approvals = () if agreed is None else agreed.approvals
    shown = PlanShown(
        digest="",
        target=f"{target.url}{target.path or ''}",
        rollback_to=state.champion,
        watch_s=watch_s,
        verdicts={} if table is None else {gate.name: gate.verdict for gate in table.gates},
        approvals=tuple(approval.by for approval in approvals),
    )
    shown = msgspec.structs.replace(shown, digest=_digest(state, wish, action, target, shown, agreed))
    if wish.plan is not None and wish.plan != shown.digest:
        raise Refused(
            "something that mattered has changed since the dry run: champion, address, gates, their settings, or who"
            " agreed; repeat the dry run and look at it",
            table,
        )
    facts: dict[str, object] = {"plan": shown.digest}
    if table is not None:
        facts |= {"gates": msgspec.to_builtins(table.gates), "verdict": table.verdict}
    if approvals:
        facts["approvals"] = [_told(approval) for approval in approvals]
    if wish.automatic:
        facts["automatic"] = True
    facts |= canary_facts(state)
    return Plan(
        state=moved(state, wish.challenger, target, now, watch_until),
        expected_generation=state.generation,
        action=action,
        from_version=state.champion,
        to_version=wish.challenger,
        target=target,
        actor=wish.actor,
        reason=reason,
        evidence=None if table is None else table.evidence,
        details=details_of(facts, target, force=wish.force),
        shown=shown,
    )


def canary_facts(state: DeploymentState) -> dict[str, object]:
    """How far the canary had come that a move of the champion ends; nothing where there is none."""
    canary = state.canary
    if canary is None:
        return {}
    step = {"step": canary.step + 1, "steps": len(canary.steps), "weight": canary.now.weight}
    return {"canary": {"version": canary.version, **step}}


def _digest(
    state: DeploymentState, wish: Wish, action: Action, target: Target, shown: PlanShown, agreed: Agreed | None
) -> str:
    """Over all that the step depends on, but for the counts behind the verdicts."""
    document = {
        "action": action,
        "state": msgspec.to_builtins(msgspec.structs.replace(state, watch_until=None)),
        "to": wish.challenger,
        "target": msgspec.to_builtins(target),
        "force": wish.force,
        "shown": msgspec.to_builtins(shown),
        "grounds": None if agreed is None else msgspec.to_builtins(agreed.grounds),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _told(approval: Approval) -> dict[str, str]:
    at = datetime.fromtimestamp(max(0.0, approval.at), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"by": approval.by, "at": at, "reason": approval.reason}


def moved(
    state: DeploymentState, version: str, target: Target, now: float, watch_until: float | None
) -> DeploymentState:
    """The state with another champion; the one that is left becomes the previous one."""
    return DeploymentState(
        deployment=state.deployment,
        generation=state.generation + 1,
        champion=version,
        champion_target=target,
        champion_since=now,
        previous=state.champion,
        previous_target=state.champion_target,
        watch_until=watch_until,
    )


def details_of(facts: dict[str, object], target: Target, *, force: bool) -> str:
    """The audit entry's details as canonical JSON."""
    told = {**facts, "target": msgspec.to_builtins(target), "force": force, "software": __version__}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)
