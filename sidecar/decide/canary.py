"""A canary: a challenger that answers a share of the requests, step by step, before it may answer all of them.

Keeps: it begins as a promotion does, by a passing gate table and the approvals that were asked for; each step is judged
over its own evidence, and what fails ends it at once; it goes by the steps that it began with. A broken input is
nobody's fault: it holds a step up and ends none. What it has learnt in the shadow may still turn against it.
Does not: carry out a plan, know the clock, or make the champion of it: that is a promotion like any other.
Called by: `control/canaries`, `control/canarying`. Its phases stand in `promotion.TRANSITIONS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import msgspec

from sidecar.canary import CanaryStep
from sidecar.config_gates import DurationGate, Gates, PairsGate
from sidecar.config_promotion import Promotion
from sidecar.decide.approvals import Agreed
from sidecar.decide.plan import Plan, details_of, step_forward
from sidecar.decide.promotion import after, allowed, checked_reason
from sidecar.errors import Refused
from sidecar.reports import GateTable, GateVerdict
from sidecar.standing import Action, Canary, DeploymentState, Target
from sidecar.wished import Wish

# How long its connections may fail before it is taken back, however few requests there are to judge it by.
UNWELL_S = 30.0
Next = Literal["stop", "step", "passed", "wait"]


def steps_of(policy: Promotion) -> tuple[CanaryStep, ...]:
    """The steps that the settings name; empty for none."""
    return tuple(CanaryStep(step.weight, step.dwell_s, step.min_pairs) for step in policy.canary.steps)


def step_gates(gates: Gates, step: CanaryStep) -> Gates:
    """What a step is judged by: the gates on traffic and inputs, with its own least evidence.

    Outcomes come later than a step lasts, and origin and approvals were asked for before the first: the whole evidence
    speaks of those, before, meanwhile and at the end.
    """
    pairs = gates.pairs if isinstance(gates.pairs, PairsGate) else PairsGate()
    own = {
        "pairs": PairsGate(min=step.min_pairs, min_requests=min(pairs.min_requests, step.min_pairs)),
        "duration": DurationGate(min_hours=step.dwell_s / 3600.0),
        **dict.fromkeys(("outcome", "calibration", "segments", "lineage", "approvals"), False),
    }
    return gates.model_copy(update=own)


def next_of(canary: Canary, over_step: GateTable, whole: GateTable, unwell_s: float) -> tuple[Next, str]:
    """What is to become of it now, and why.

    Args:
        canary: as it stands.
        over_step: the table over this step's evidence, by `step_gates`.
        whole: the table over all evidence on the pair, by the gates as they are.
        unwell_s: for how long its connections have failed without a break.
    """
    failing = next((gate for gate in (*over_step.gates, *whole.gates) if _fails(gate)), None)
    if failing is not None:
        return "stop", f"gate {failing.name} fails: {failing.detail}"
    if unwell_s >= UNWELL_S:
        return "stop", f"it has not answered properly for {unwell_s:.0f} s"
    place = f"step {canary.step + 1} of {len(canary.steps)} ({canary.now.weight:.4g} of the requests)"
    blocking = next((gate for gate in over_step.gates if gate.verdict not in ("pass", "off")), None)
    if blocking is not None:
        return "wait", f"{place}: gate {blocking.name} waits: {blocking.detail}"
    last = canary.step + 1 == len(canary.steps)
    return ("passed" if last else "step"), f"{place} has passed every gate"


def decide_canary(
    state: DeploymentState,
    wish: Wish,
    table: GateTable,
    known: Mapping[str, Target],
    steps: tuple[CanaryStep, ...],
    *,
    now: float,
    agreed: Agreed | None = None,
) -> Plan:
    """The plan that begins a canary with its first step. Raises Refused (with the gate table), Unknown, Invalid."""
    reason = checked_reason(wish.reason)
    if state.canary is not None:
        raise Refused(f"{state.deployment}: version {state.canary.version} is the canary already; abort it first")
    target = allowed(state, wish, table, known, agreed)
    if not steps:
        raise Refused(f"{state.deployment} has no steps for a canary: name them under promotion.canary.steps")
    watch_until = after(state, "canary_start", now, 0.0)
    canary = Canary(
        version=wish.challenger,
        target=target,
        steps=steps,
        since=now,
        step_since=now,
        salt=f"{state.deployment}\n{wish.challenger}\n{state.generation}",
    )
    plan = step_forward(state, wish, "canary_start", reason, target, table, agreed, now, 0.0, watch_until)
    changed = msgspec.structs.replace(state, canary=canary, watch_until=None)
    return dataclasses.replace(plan, state=changed, details=_with_canary(plan.details, canary), at=now)


def decide_step(
    state: DeploymentState, expected: Canary, table: GateTable, actor: str, reason: str, now: float
) -> Plan:
    """The plan that gives the canary its next share, on a passing table. Raises Refused."""
    if state.canary != expected:
        raise Refused(f"{state.deployment}: the canary is not what was judged; there was another step")
    after(state, "canary_step", now, 0.0)
    if table.verdict != "pass" or expected.step + 1 >= len(expected.steps):
        raise Refused(f"{state.deployment}: version {expected.version} may not take another step", table)
    canary = msgspec.structs.replace(expected, step=expected.step + 1, step_since=now)
    facts: dict[str, object] = {"gates": msgspec.to_builtins(table.gates), "verdict": table.verdict}
    return _changed(state, canary, "canary_step", actor, reason, now, facts, table.evidence)


def decide_stop(
    state: DeploymentState,
    version: str | None,
    actor: str,
    reason: str,
    now: float,
    facts: Mapping[str, object] = {},
    expected: Canary | None = None,
) -> Plan:
    """The plan that takes all requests back to the champion, without gates. Raises Refused where there is no canary.

    `version`: the one that is meant, None for whichever it is. `facts`: what was found about `expected`.
    """
    text, canary = checked_reason(reason), state.canary
    if expected is not None and canary != expected:
        raise Refused(f"{state.deployment}: the canary is not what was judged; there was another step")
    if canary is None:
        raise Refused(f"{state.deployment} has no canary: there is nothing to abort")
    if version is not None and version != canary.version:
        raise Refused(f"{state.deployment}: version {canary.version} is the canary, not {version}")
    after(state, "canary_stop", now, 0.0)
    return _changed(state, None, "canary_stop", actor, text, now, dict(facts), None)


def _changed(
    state: DeploymentState,
    canary: Canary | None,
    action: Action,
    actor: str,
    reason: str,
    now: float,
    facts: dict[str, object],
    evidence: str | None,
) -> Plan:
    before = state.canary
    version, target = (state.champion, state.champion_target) if before is None else (before.version, before.target)
    stopped = canary is None
    return Plan(
        state=msgspec.structs.replace(state, canary=canary),
        expected_generation=state.generation,
        action=action,
        from_version=version if stopped else state.champion,
        to_version=state.champion if stopped else version,
        target=state.champion_target if stopped else target,
        actor=actor,
        reason=reason,
        evidence=evidence,
        details=_with_canary(details_of(facts, target, force=False), canary or before, stopped=stopped),
        at=now,
    )


def _with_canary(details: str, canary: Canary | None, *, stopped: bool = False) -> str:
    """The entry tells step, share and salt; the check of the trail compares them with what is stored."""
    told = msgspec.json.decode(details)
    if canary is not None:
        told["canary"] = {
            "step": canary.step + 1,
            "steps": len(canary.steps),
            "weight": 0.0 if stopped else canary.now.weight,
        }
    return msgspec.json.encode(told, order="deterministic").decode()


def _fails(gate: GateVerdict) -> bool:
    return gate.verdict == "fail" and gate.name != "inputs"
