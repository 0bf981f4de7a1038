"""Promotion and rollback: which transition is allowed, and the state that it leads to.

Keeps: one champion at any time, always a version with a known address; a promotion needs a passing gate table about
the very pair that it moves; a rollback needs no gates and is a new step forward in time; `generation` grows by one.
Does not: probe, write, publish, or know the clock: the controller hands in `now` and carries the plan out.
Called by: `control/controller`. The phases stand in TRANSITIONS and are drawn in docs/promotion.md.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from sidecar import __version__
from sidecar.errors import Invalid, Refused, Unknown
from sidecar.reports import GateTable
from sidecar.standing import Action, DeploymentState, Target

Phase = Literal["steady", "watching"]
Happening = Literal["promote", "rollback", "watch_ended"]

# What is not in the table does not happen: a steady deployment has no watch that could end.
TRANSITIONS: Mapping[tuple[Phase, Happening], Phase] = {
    ("steady", "promote"): "watching",
    ("steady", "rollback"): "steady",
    ("watching", "promote"): "watching",
    ("watching", "rollback"): "steady",
    ("watching", "watch_ended"): "steady",
}

SHORTEST_REASON, LONGEST_REASON = 3, 500
# Control characters, halves of surrogate pairs, line and paragraph ends.
_UNFIT_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
# Marks that reorder what a reader sees of an audit entry (Unicode UAX 9).
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Promote:
    """A person's or program's wish. `expected_champion` and `evidence` are compared where given."""

    challenger: str
    actor: str
    reason: str
    expected_champion: str | None = None
    evidence: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Rollback:
    """Back to `to`, by default the previous champion."""

    actor: str
    reason: str
    to: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A transition that is allowed: the new state, where it leads, and what the audit entry tells.

    `details` is canonical JSON: gate table, target, force, software version.
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


def phase(state: DeploymentState, now: float) -> Phase:
    """Watching from a promotion until `watch_until`. Read from the clock, so that no write has to end a watch."""
    return "watching" if state.watch_until is not None and now < state.watch_until else "steady"


def checked_reason(reason: str) -> str:
    """The reason without spaces around it; Invalid when nobody could read it in an audit trail."""
    text = reason.strip()
    if not SHORTEST_REASON <= len(text) <= LONGEST_REASON:
        raise Invalid(f"a reason has {SHORTEST_REASON} to {LONGEST_REASON} characters, this one has {len(text)}")
    if any(unicodedata.category(mark) in _UNFIT_CATEGORIES or mark in _REORDERING for mark in text):
        raise Invalid("a reason is one line of text: it may not hold control characters")
    return text


def candidate(state: DeploymentState, command: Promote, known: Mapping[str, Target]) -> Target:
    """Where the challenger answers; what can be refused before any gate is judged is refused here.

    Raises Unknown for a version that the settings do not name, Refused for the champion itself or a lost race.
    """
    if command.expected_champion is not None and command.expected_champion != state.champion:
        raise Refused(
            f"{state.deployment}: the champion is version {state.champion}, not {command.expected_champion}"
            " as expected; look again and repeat"
        )
    if command.challenger == state.champion:
        raise Refused(f"{state.deployment}: version {state.champion} is the champion already")
    target = known.get(command.challenger)
    if target is None:
        versions = ", ".join(sorted(set(known) - {state.champion})) or "none"
        raise Unknown(f"{state.deployment} has no version {command.challenger}; it has {versions}")
    return target


def decide_promotion(
    state: DeploymentState,
    command: Promote,
    table: GateTable,
    known: Mapping[str, Target],
    *,
    now: float,
    watch_s: float,
) -> Plan:
    """The plan that makes the challenger the champion, or Refused (with the gate table), Unknown, Invalid."""
    reason = checked_reason(command.reason)
    target = candidate(state, command, known)
    if (table.deployment, table.champion, table.challenger) != (state.deployment, state.champion, command.challenger):
        raise Refused(
            f"the evidence is about version {table.challenger} against {table.champion} of {table.deployment},"
            f" not about {command.challenger} against {state.champion} of {state.deployment}",
            table,
        )
    if table.verdict != "pass":
        raise Refused(_blocked(table), table)
    if command.evidence is not None and command.evidence != table.evidence:
        raise Refused("the evidence has changed since it was looked at: read the gates again and repeat", table)
    details = {"gates": msgspec.to_builtins(table.gates), "verdict": table.verdict}
    return Plan(
        state=_moved(state, command.challenger, target, now, _after(state, "promote", now, watch_s)),
        expected_generation=state.generation,
        action="promote",
        from_version=state.champion,
        to_version=command.challenger,
        target=target,
        actor=command.actor,
        reason=reason,
        evidence=table.evidence,
        details=_details(details, target, force=command.force),
    )


def decide_rollback(state: DeploymentState, command: Rollback, known: Mapping[str, Target], now: float) -> Plan:
    """The plan that goes back, without gates. The champion that is left becomes `previous`, so it can be undone.

    Raises Refused when there is nothing to go back to, Unknown for a version without a known address, Invalid.
    """
    reason = checked_reason(command.reason)
    version = command.to if command.to is not None else state.previous
    if version is None:
        raise Refused(
            f"{state.deployment}: version {state.champion} had no predecessor, there is nothing to go back to"
        )
    if version == state.champion:
        raise Refused(f"{state.deployment}: version {version} is the champion already")
    target = known.get(version)
    if target is None and version == state.previous:
        target = state.previous_target
    if target is None:
        raise Unknown(f"{state.deployment}: no address is known for version {version}; name it in the settings first")
    return Plan(
        state=_moved(state, version, target, now, _after(state, "rollback", now, 0.0)),
        expected_generation=state.generation,
        action="rollback",
        from_version=state.champion,
        to_version=version,
        target=target,
        actor=command.actor,
        reason=reason,
        evidence=None,
        details=_details({}, target, force=command.force),
    )


def decide_start(
    stored: DeploymentState | None,
    deployment: str,
    version: str,
    target: Target,
    now: float,
    named_by: str = "the settings name",
) -> Plan | None:
    """What a start of the sidecar changes: nothing, the first state, or the address of the stored champion.

    `version` and `target` are the stored champion's as the settings name it now, else the settings' champion's.
    `named_by` is who says so, with its verb.
    """
    if stored is None:
        state = DeploymentState(
            deployment=deployment, generation=1, champion=version, champion_target=target, champion_since=now
        )
        reason = f"first start: the champion that {named_by}"
    elif stored.champion == version and stored.champion_target != target:
        state = msgspec.structs.replace(stored, generation=stored.generation + 1, champion_target=target)
        reason = "the settings name another address for the champion"
    else:
        return None
    return Plan(
        state=state,
        expected_generation=stored.generation if stored else 0,
        action="start",
        from_version=version,
        to_version=version,
        target=target,
        actor="sidecar",
        reason=reason,
        evidence=None,
        details=_details({}, target, force=False),
    )


def diagram() -> str:
    """TRANSITIONS as a Mermaid state diagram, in the table's order."""
    arrows = [f"    {before} --> {after}: {happening}" for (before, happening), after in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> steady: start", *arrows])


def _after(state: DeploymentState, happening: Happening, now: float, watch_s: float) -> float | None:
    """`watch_until` of the phase that the table leads to."""
    return now + watch_s if TRANSITIONS[phase(state, now), happening] == "watching" else None


def _moved(
    state: DeploymentState, version: str, target: Target, now: float, watch_until: float | None
) -> DeploymentState:
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


def _blocked(table: GateTable) -> str:
    blocking = [gate for gate in table.gates if gate.verdict in ("fail", "insufficient")]
    first = min(blocking, key=lambda gate: gate.verdict != "fail", default=None)
    if first is None:
        return f"the gates say {table.verdict}: version {table.challenger} may not be promoted"
    word = "fails" if first.verdict == "fail" else "has too little to go on"
    others = f", and {len(blocking) - 1} more" if len(blocking) > 1 else ""
    return f"version {table.challenger} may not be promoted: gate {first.name} {word} ({first.detail}){others}"


def _details(facts: dict[str, object], target: Target, *, force: bool) -> str:
    told = {**facts, "target": msgspec.to_builtins(target), "force": force, "software": __version__}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)
