"""Promotion, override and rollback: which transition is allowed, and the state that it leads to.

Keeps: one champion at any time, always a version with a known address; a promotion needs a passing gate table about
the very pair that it moves, and the approvals that were asked for; an override and a rollback need no gates; each is a
new step forward in time; `generation` grows by one. The machine promotes outside a watch and rolls back inside one.
Does not: probe, write, publish, or know the clock: the controller hands in `now` and carries the plan out.
Called by: `control/controller`. The phases stand in TRANSITIONS and are drawn in docs/promotion.md.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Literal

import msgspec

from sidecar.decide.approvals import Agreed, lacking
from sidecar.decide.grounds import other_grounds
from sidecar.decide.plan import Plan, Rollback, canary_facts, details_of, moved, step_forward
from sidecar.errors import Invalid, Refused, Unknown
from sidecar.reports import GateTable
from sidecar.standing import DeploymentState, Target
from sidecar.wished import Wish

__all__ = ["Plan", "Rollback"]

Phase = Literal["steady", "canary", "watching"]
Happening = Literal[
    "promote", "override", "rollback", "automatic_promote", "automatic_rollback", "watch_ended",
    "canary_start", "canary_step", "canary_stop",
]  # fmt: skip

# What is not in the table does not happen: a steady deployment has no watch that could end, and none in which harm
# could be found; while one is open, the machine promotes nothing, and no canary begins. Whatever moves the champion
# ends a canary.
TRANSITIONS: Mapping[tuple[Phase, Happening], Phase] = {
    ("steady", "promote"): "watching",
    ("steady", "automatic_promote"): "watching",
    ("steady", "override"): "steady",
    ("steady", "rollback"): "steady",
    ("steady", "canary_start"): "canary",
    ("canary", "canary_step"): "canary",
    ("canary", "canary_stop"): "steady",
    ("canary", "promote"): "watching",
    ("canary", "automatic_promote"): "watching",
    ("canary", "override"): "steady",
    ("canary", "rollback"): "steady",
    ("watching", "promote"): "watching",
    ("watching", "override"): "steady",
    ("watching", "rollback"): "steady",
    ("watching", "automatic_rollback"): "steady",
    ("watching", "watch_ended"): "steady",
}

# Who acts where nobody called. No token may have this name.
MACHINE = "sidecar"
SHORTEST_REASON, LONGEST_REASON = 3, 500
SHORTEST_OVERRIDE_REASON = 10
# Control characters, halves of surrogate pairs, line and paragraph ends.
_UNFIT_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
# Marks that reorder what a reader sees of an audit entry (Unicode UAX 9).
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def phase(state: DeploymentState, now: float) -> Phase:
    """Watching from a promotion until `watch_until`. Read from the clock, so that no write has to end a watch."""
    if state.canary is not None:
        return "canary"
    return "watching" if state.watch_until is not None and now < state.watch_until else "steady"


def checked_reason(reason: str) -> str:
    """The reason without spaces around it; Invalid when nobody could read it in an audit trail."""
    text = reason.strip()
    if not SHORTEST_REASON <= len(text) <= LONGEST_REASON:
        raise Invalid(f"a reason has {SHORTEST_REASON} to {LONGEST_REASON} characters, this one has {len(text)}")
    if any(unicodedata.category(mark) in _UNFIT_CATEGORIES or mark in _REORDERING for mark in text):
        raise Invalid("a reason is one line of text: it may not hold control characters")
    return text


def candidate(state: DeploymentState, wish: Wish, known: Mapping[str, Target]) -> Target:
    """Where the challenger answers; what can be refused before any gate is judged is refused here.

    Raises Unknown for a version that the settings do not name, Refused for the champion itself or a lost race.
    """
    if wish.expected_champion is not None and wish.expected_champion != state.champion:
        raise Refused(
            f"{state.deployment}: the champion is version {state.champion}, not {wish.expected_champion}"
            " as expected; look again and repeat"
        )
    if wish.challenger == state.champion:
        raise Refused(f"{state.deployment}: version {state.champion} is the champion already")
    target = known.get(wish.challenger)
    if target is None:
        versions = ", ".join(sorted(set(known) - {state.champion})) or "none"
        raise Unknown(f"{state.deployment} has no version {wish.challenger}; it has {versions}")
    return target


def decide_promotion(
    state: DeploymentState,
    wish: Wish,
    table: GateTable,
    known: Mapping[str, Target],
    *,
    now: float,
    watch_s: float,
    agreed: Agreed | None = None,
) -> Plan:
    """The plan that makes the challenger the champion, or Refused (with the gate table), Unknown, Invalid.

    `agreed`: what the table stands on, and who agreed to that; None where nobody knows, and nobody has to agree.
    """
    reason = checked_reason(wish.reason)
    target = allowed(state, wish, table, known, agreed)
    watch_until = after(state, "automatic_promote" if wish.automatic else "promote", now, watch_s)
    return step_forward(state, wish, "promote", reason, target, table, agreed, now, watch_s, watch_until)


def allowed(
    state: DeploymentState, wish: Wish, table: GateTable, known: Mapping[str, Target], agreed: Agreed | None
) -> Target:
    """Where the challenger answers, if gates and people let it take over. Raises Refused with the table, Unknown."""
    target = candidate(state, wish, known)
    if (table.deployment, table.champion, table.challenger) != (state.deployment, state.champion, wish.challenger):
        raise Refused(
            f"the evidence is about version {table.challenger} against {table.champion} of {table.deployment},"
            f" not about {wish.challenger} against {state.champion} of {state.deployment}",
            table,
        )
    if table.verdict != "pass":
        raise Refused(_blocked(table), table)
    _same_evidence(wish, table, agreed)
    short = None if agreed is None else lacking(agreed, wish.actor)
    if short is not None:
        raise Refused(f"version {table.challenger} may not be promoted: {short}", table)
    return target


def decide_override(
    state: DeploymentState,
    wish: Wish,
    table: GateTable | None,
    known: Mapping[str, Target],
    *,
    now: float,
    agreed: Agreed | None = None,
) -> Plan:
    """The plan that makes a version the champion whatever the gates say; `table` is kept with it where there is one.

    It opens no watch: who overrides has decided. Raises Refused, Unknown, Invalid.
    """
    reason = checked_reason(wish.reason)
    if len(reason) < SHORTEST_OVERRIDE_REASON:
        raise Invalid(f"the reason of an override has at least {SHORTEST_OVERRIDE_REASON} characters: say why")
    target = candidate(state, wish, known)
    if table is not None:
        _same_evidence(wish, table, agreed)
    elif wish.evidence is not None:
        raise Refused(f"there is no evidence on version {wish.challenger}: leave it out, or look again")
    watch_until = after(state, "override", now, 0.0)
    return step_forward(state, wish, "override", reason, target, table, agreed, now, 0.0, watch_until)


def _same_evidence(wish: Wish, table: GateTable, agreed: Agreed | None) -> None:
    """Refused unless the caller's evidence, where given, says what the present one says; more traffic is the same."""
    if wish.evidence is None or wish.evidence == table.evidence:
        return
    says = "nobody knows that evidence here"
    if agreed is not None and agreed.reviewed is not None:
        differs = other_grounds(agreed.reviewed, agreed.grounds)
        if differs is None:
            return
        says = differs
    raise Refused(f"the evidence has changed since it was looked at ({says}): read the gates again and repeat", table)


def decide_rollback(state: DeploymentState, command: Rollback, known: Mapping[str, Target], now: float) -> Plan:
    """The plan that goes back, without gates. The champion that is left becomes `previous`, so it can be undone.

    Raises Refused when there is nothing to go back to, and to the machine outside a watch; Unknown for a version
    without a known address, Invalid.
    """
    reason = checked_reason(command.reason)
    watch_until = after(state, "rollback" if command.harm is None else "automatic_rollback", now, 0.0)
    if command.harm is not None and command.harm.generation != state.generation:
        raise Refused(f"{state.deployment}: version {state.champion} is not what was judged; there was another step")
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
    facts = canary_facts(state)
    if command.harm is not None:
        facts |= {"automatic": True, "harm": msgspec.to_builtins(command.harm)}
    return Plan(
        state=moved(state, version, target, now, watch_until),
        expected_generation=state.generation,
        action="rollback",
        from_version=state.champion,
        to_version=version,
        target=target,
        actor=command.actor,
        reason=reason,
        evidence=None,
        details=details_of(facts, target, force=command.force),
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
        actor=MACHINE,
        reason=reason,
        evidence=None,
        details=details_of({}, target, force=False),
    )


def diagram() -> str:
    """TRANSITIONS as a Mermaid state diagram, in the table's order."""
    arrows = [f"    {before} --> {after}: {happening}" for (before, happening), after in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> steady: start", *arrows])


def after(state: DeploymentState, happening: Happening, now: float, watch_s: float) -> float | None:
    """`watch_until` of the phase that the table leads to. Raises Refused for what is not in it."""
    led = TRANSITIONS.get((phase(state, now), happening))
    if led is None:
        raise Refused(f"{state.deployment} is {phase(state, now)}: no {happening.replace('_', ' ')} happens then")
    return now + watch_s if led == "watching" else None


def _blocked(table: GateTable) -> str:
    blocking = [gate for gate in table.gates if gate.verdict in ("fail", "insufficient")]
    first = min(blocking, key=lambda gate: gate.verdict != "fail", default=None)
    if first is None:
        return f"the gates say {table.verdict}: version {table.challenger} may not be promoted"
    word = "fails" if first.verdict == "fail" else "has too little to go on"
    others = f", and {len(blocking) - 1} more" if len(blocking) > 1 else ""
    return f"version {table.challenger} may not be promoted: gate {first.name} {word} ({first.detail}){others}"
