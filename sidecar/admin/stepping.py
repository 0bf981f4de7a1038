"""The steps of the champion as the dashboard tells them before they are done: promote, override, roll back.

Keeps: a step forward is rehearsed by the service's own dry run, and the form carries the plan that it has shown: where
anything that mattered changes before the button is pressed, nothing is done. Decides nothing. Called by `confirming`.
"""

from __future__ import annotations

import secrets
from typing import Literal

from sidecar.admin import figures
from sidecar.admin.intent import Form, Intent
from sidecar.admin.service import Service
from sidecar.agreed import PlanShown
from sidecar.errors import Refused, SidecarError
from sidecar.reports import GateTable
from sidecar.standing import DeploymentStatus, Transition
from sidecar.wished import Wish

_REHEARSAL = "rehearsed on the dashboard; nothing is done"
_OVERRIDE_REASON = 10
_KEY, _DIGEST = 128, 200


async def promotion(service: Service, status: DeploymentStatus, asked: Form, actor: str) -> Intent:
    """Through the gates."""
    challenger = asked.get("challenger", "")
    name, champion = status.name, status.champion.version
    refusal, plan, table = None, None, None
    says = [f"Version {challenger} answers every new request; requests in flight end at {champion}.", *_canary(status)]
    try:
        table = service.gates(name, challenger)
        done = await service.promote(name, Wish(challenger, actor, _REHEARSAL, champion, dry_run=True))
        plan = _shown(done)
        says.append(f"Every gate passes, and {challenger} answered a probe just now; both are asked once more.")
        says.append(f"The deployment's generation goes from {status.generation} to {done.generation}.")
    except Refused as error:
        refusal, table = str(error), error.gates or table
    watched = "a watch window" if plan is None else f"a watch of {figures.duration(plan.watch_s)}"
    says.append(f"{champion} keeps scoring in the shadow, and {watched} opens: proven harm may roll back by itself.")
    says.append("The audit trail keeps your name, your reason and the gate table.")
    return Intent(
        verb="promote",
        title=f"Promote version {challenger}",
        confirm=f"Promote {challenger}",
        says=tuple(says),
        back=f"challengers/{challenger}",
        refusal=refusal,
        fields=_fields(challenger, champion, plan),
        table=table,
        plan=plan,
    )


async def overriding(service: Service, status: DeploymentStatus, asked: Form, actor: str) -> Intent:
    """Past the gates."""
    version = asked.get("challenger", "")
    name, champion = status.name, status.champion.version
    refusal, plan = None, None
    table = _table(service, name, version)
    blocking = [] if table is None else [gate.name for gate in table.gates if gate.verdict in ("fail", "insufficient")]
    says = [
        f"Version {version} answers every new request; requests in flight end at {champion}.",
        *_canary(status),
        f"It is done past the gates: {', '.join(blocking)} {'does' if len(blocking) == 1 else 'do'} not pass."
        if blocking
        else "No gate is asked.",
        f"{champion} keeps scoring in the shadow. No watch opens: nothing rolls back by itself.",
        f"The sidecar does not move {champion} and {version} by itself again until a person has released them.",
        "The audit trail keeps your name, your reason and what the gates said.",
    ]
    try:
        done = await service.override(name, Wish(version, actor, _REHEARSAL, champion, dry_run=True))
        plan = _shown(done)
        says.insert(2, f"{version} answered a probe just now; the generation goes to {done.generation}.")
    except Refused as error:
        refusal = str(error)
    return Intent(
        verb="override",
        title=f"Override the gates for version {version}",
        confirm=f"Override, and promote {version}",
        says=tuple(says),
        back=f"challengers/{version}",
        refusal=refusal,
        fields=_fields(version, champion, plan),
        table=table,
        plan=plan,
        reason_least=_OVERRIDE_REASON,
        force=True,
        danger=True,
    )


async def going_back(_: Service, status: DeploymentStatus, asked: Form, __: str) -> Intent:
    """Back, without gates."""
    champion, to = status.champion.version, asked.get("to") or status.previous
    if to is None:
        raise Refused(f"{status.name} has no earlier champion to go back to.")
    says = (
        f"Version {to} is probed; if it answers, it takes every new request. Requests in flight end at {champion}.",
        *_canary(status),
        f"{champion} keeps scoring in the shadow.",
        f"No gate is asked. The generation goes from {status.generation} to {status.generation + 1}.",
        f"The sidecar does not promote {champion} again by itself. The audit trail keeps your name and reason.",
    )
    return Intent(
        verb="rollback",
        title=f"Roll back to version {to}",
        confirm=f"Roll back to {to}",
        says=says,
        back="",
        fields=(("to", to), ("key", secrets.token_hex(16))),
        force=True,
        danger=True,
    )


async def step(
    service: Service, verb: Literal["promote", "override", "rollback"], name: str, form: Form, actor: str, reason: str
) -> None:
    """Takes it. Raises as the service does."""
    key, force = form.get("key", "")[:_KEY] or None, form.get("force") == "true"
    if verb == "rollback":
        to = form.get("to") or None
        await service.rollback(name, actor=actor, reason=reason, to=to, force=force, idempotency_key=key)
        return
    forced = force and verb == "override"
    forward = service.promote if verb == "promote" else service.override
    # A plan is of a target that answers its probe; who passes over that has seen none.
    plan = None if forced else form.get("plan", "")[:_DIGEST] or None
    champion = form.get("champion") or None
    wish = Wish(form.get("challenger", ""), actor, reason, champion, force=forced, plan=plan, idempotency_key=key)
    await forward(name, wish)


def _canary(status: DeploymentStatus) -> tuple[str, ...]:
    """Whatever moves the champion ends its canary."""
    canary = status.canary
    if canary is None:
        return ()
    place = f"at step {canary.step} of {len(canary.steps)}, {figures.percent(canary.weight)} of the requests"
    return (f"Version {canary.version} is no canary any more; it was {place}.",)


def _fields(version: str, champion: str, plan: PlanShown | None) -> tuple[tuple[str, str], ...]:
    """What binds the form to what was seen; the key makes one that is sent twice act once."""
    found = [("challenger", version), ("champion", champion), ("key", secrets.token_hex(16))]
    return tuple(found if plan is None else [*found, ("plan", plan.digest)])


def _shown(done: Transition) -> PlanShown | None:
    return done.plan if isinstance(done.plan, PlanShown) else None


def _table(service: Service, name: str, version: str) -> GateTable | None:
    """A version that nothing is known of may be overridden to."""
    try:
        return service.gates(name, version)
    except SidecarError:
        return None
