"""The beginning and the end of a canary as the dashboard tells them before they are done.

Keeps: a beginning is rehearsed by the service's own dry run, and bound to the champion and the gates that its page has
shown; an end is bound to the version, and is offered whatever else there is. Decides nothing. Called by `confirming`.
"""

from __future__ import annotations

import secrets
from typing import Literal

from sidecar.admin import figures
from sidecar.admin.intent import Form, Intent
from sidecar.admin.service import Service
from sidecar.canary import CanaryStatus
from sidecar.errors import Refused
from sidecar.standing import DeploymentStatus
from sidecar.wished import Wish

_REHEARSAL = "rehearsed on the dashboard; nothing is done"
_KEY, _DIGEST = 128, 200


def step_went(canary: CanaryStatus) -> float:
    """How far its step has come, 0 to 1: the least of time and rows, a little of it from the first moment on."""
    asked = (gate for gate in canary.gates if gate.name in ("pairs", "duration"))
    shares = [_share(gate.observed, gate.required) for gate in asked]
    return round(max(0.03, min(shares, default=0.0)), 4)


def _share(observed: float | str | None, required: float | str | None) -> float:
    if not isinstance(observed, int | float) or not isinstance(required, int | float):
        return 0.0
    return 1.0 if required <= 0 else min(max(observed / required, 0.0), 1.0)


async def beginning(service: Service, status: DeploymentStatus, asked: Form, actor: str) -> Intent:
    """A share of the requests, step by step."""
    challenger, champion = asked.get("challenger", ""), status.champion.version
    refusal, table = None, None
    steps, says = [figures.percent(step.weight) for step in status.canary_steps], []
    for first in status.canary_steps[:1]:
        then = f", then {', '.join(steps[1:])}" if steps[1:] else ""
        lasts = f"{figures.duration(first.dwell_s)} with traffic at least, and until {first.min_pairs:,} rows"
        says = [
            f"Version {challenger} answers {steps[0]} of the requests{then}; {champion} stays the champion.",
            f"The first step lasts {lasts} of its own requests pass its gates; so does each after it.",
        ]
    says += [
        f"Whatever {challenger} fails to answer, {champion} is asked at once: callers lose no request.",
        "A gate that fails takes it back by itself. You can take it back at any time.",
        "The audit trail keeps your name, your reason and the gate table.",
    ]
    try:
        table = service.gates(status.name, challenger)
        await service.start_canary(status.name, Wish(challenger, actor, _REHEARSAL, champion, dry_run=True))
    except Refused as error:
        refusal, table = str(error), error.gates or table
    fields = [("challenger", challenger), ("champion", champion), ("key", secrets.token_hex(16))]
    if table is not None:
        fields.append(("evidence", table.evidence))
    return Intent(
        verb="canary",
        title=f"Begin version {challenger} as canary",
        confirm=f"Begin with {steps[0]}" if steps else "Begin",
        says=tuple(says),
        back=f"challengers/{challenger}",
        refusal=refusal,
        fields=tuple(fields),
        table=table,
    )


async def ending(_: Service, status: DeploymentStatus, __: Form, ___: str) -> Intent:
    """All requests are the champion's again."""
    canary, champion = status.canary, status.champion.version
    if canary is None:
        raise Refused(f"{status.name} has no canary: there is nothing to take back.")
    return Intent(
        verb="abort",
        title=f"Take all requests back from version {canary.version}",
        confirm="Take them back",
        says=(
            f"Version {champion} answers every new request; requests in flight end at {canary.version}.",
            f"No gate is asked. {canary.version} goes on scoring in the shadow, and its evidence goes on.",
            f"The sidecar does not try {canary.version} again by itself until a person has released it.",
            "The audit trail keeps your name and reason.",
        ),
        back="",
        fields=(("challenger", canary.version), ("key", secrets.token_hex(16))),
        danger=True,
    )


async def share(
    service: Service, verb: Literal["canary", "abort"], name: str, form: Form, actor: str, reason: str
) -> None:
    """Does it. Raises as the service does."""
    key, challenger = form.get("key", "")[:_KEY] or None, form.get("challenger", "")
    if verb == "abort":
        await service.stop_canary(name, challenger or None, actor=actor, reason=reason, idempotency_key=key)
        return
    champion, evidence = form.get("champion") or None, form.get("evidence", "")[:_DIGEST] or None
    await service.start_canary(name, Wish(challenger, actor, reason, champion, evidence, idempotency_key=key))
