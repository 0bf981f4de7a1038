"""What a person may do on the dashboard: first told exactly what will happen, then done by the service.

Keeps: asking changes nothing (a promotion is rehearsed by the service's own dry run); what is done names the champion
that the person saw and carries a key, so that a form sent twice acts once. Decides nothing itself. Called by `screens`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import NamedTuple

from sidecar.admin.service import Service
from sidecar.errors import Invalid, Refused, SidecarError
from sidecar.reports import GateTable
from sidecar.standing import Alarm, DeploymentStatus

_REHEARSAL = "rehearsed on the dashboard; nothing is done"
_REASON = 2000
Form = Mapping[str, str]


class Intent(NamedTuple):
    """What is about to be done.

    Attributes:
        verb, title, confirm: the path's last part, the heading, the button's words.
        says: what will happen, a sentence each; refusal: why it cannot, or None.
        fields: what the form sends along unseen; table: the gates it rests on; back: where cancelling leads.
        reason: the reason as it was typed; force: whether passing over a failed probe is offered.
    """

    verb: str
    title: str
    confirm: str
    says: tuple[str, ...]
    back: str
    refusal: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    table: GateTable | None = None
    reason: str = ""
    reason_needed: bool = True
    force: bool = False
    danger: bool = False


async def intent(service: Service, verb: str, name: str, asked: Form, actor: str) -> Intent:
    """What `verb` would do to a deployment, as things stand now. Raises as the service does."""
    status = service.deployment(name)
    match verb:
        case "promote":
            return await _promotion(service, status, asked.get("challenger", ""), actor)
        case "rollback":
            return _rollback(status, asked.get("to") or status.previous)
        case "shadow":
            return _shadow(status, enabled=asked.get("enabled") == "true")
        case "reconcile":
            return _reconciliation(status)
        case "acknowledge":
            return _acknowledgement(status, service.alarms(), asked.get("alarm", ""))
        case _:
            raise Invalid("The dashboard has no such action.")


async def carry_out(service: Service, verb: str, name: str, form: Form, actor: str) -> None:
    """Does it. Raises as the service does."""
    reason, force = form.get("reason", "").strip(), form.get("force") == "true"
    if len(reason) > _REASON:
        raise Invalid(f"A reason has at most {_REASON} characters.")
    if not reason and verb != "shadow":
        raise Invalid("Write a reason: it goes into the audit trail.")
    key = form.get("key", "")[:128] or None
    match verb:
        case "promote":
            await service.promote(
                name,
                form.get("challenger", ""),
                actor=actor,
                reason=reason,
                expected_champion=form.get("champion") or None,
                evidence=None,
                dry_run=False,
                force=False,
                idempotency_key=key,
            )
        case "rollback":
            to = form.get("to") or None
            await service.rollback(name, actor=actor, reason=reason, to=to, force=force, idempotency_key=key)
        case "shadow":
            on = form.get("enabled") == "true"
            await service.switch_shadow(name, enabled=on, actor=actor, reason=reason)
        case "reconcile":
            expected = form.get("expected") or None
            await service.reconcile(name, take="sidecar", expected=expected, actor=actor, reason=reason)
        case "acknowledge":
            await service.acknowledge(form.get("alarm", ""), actor=actor, reason=reason)
        case _:
            raise Invalid("The dashboard has no such action.")


async def _promotion(service: Service, status: DeploymentStatus, challenger: str, actor: str) -> Intent:
    name, champion = status.name, status.champion.version
    refusal, table = None, None
    says = [f"Version {challenger} answers every new request; requests in flight end at {champion}."]
    try:
        table = service.gates(name, challenger)
        done = await service.promote(
            name,
            challenger,
            actor=actor,
            reason=_REHEARSAL,
            expected_champion=champion,
            evidence=None,
            dry_run=True,
            force=False,
            idempotency_key=None,
        )
        says.append(f"Every gate passes, and {challenger} answered a probe just now; both are asked once more.")
        says.append(f"The deployment's generation goes from {status.generation} to {done.generation}.")
    except Refused as error:
        refusal, table = str(error), error.gates or table
    says.append(f"{champion} keeps scoring in the shadow, and a watch window opens: a fault may roll back by itself.")
    says.append("The audit trail keeps your name, your reason and the gate table.")
    return Intent(
        verb="promote",
        title=f"Promote version {challenger}",
        confirm=f"Promote {challenger}",
        says=tuple(says),
        back=f"challengers/{challenger}",
        refusal=refusal,
        fields=(("challenger", challenger), ("champion", champion), ("key", secrets.token_hex(16))),
        table=table,
    )


def _rollback(status: DeploymentStatus, to: str | None) -> Intent:
    champion = status.champion.version
    if to is None:
        raise Refused(f"{status.name} has no earlier champion to go back to.")
    says = (
        f"Version {to} is probed; if it answers, it takes every new request. Requests in flight end at {champion}.",
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


def _shadow(status: DeploymentStatus, *, enabled: bool) -> Intent:
    versions = ", ".join(challenger.version for challenger in status.challengers) or "no version"
    if enabled:
        says: tuple[str, ...] = (f"Copies of requests go to {versions} again, each within its own bounds.",)
    else:
        says = (
            f"No copy of any request is sent to {versions} from the next moment on. Callers notice nothing.",
            "Gates get no new evidence, so nothing can be promoted on fresh data until copies are sent again.",
            "Inputs, predictions and outcomes of the champion are watched as before.",
        )
    return Intent(
        verb="shadow",
        title="Send copies again" if enabled else "Stop all copies",
        confirm="Send copies again" if enabled else "Stop all copies",
        says=(*says, "The audit trail keeps your name."),
        back="",
        fields=(("enabled", "true" if enabled else "false"),),
        reason_needed=False,
        danger=not enabled,
    )


def _reconciliation(status: DeploymentStatus) -> Intent:
    other = status.registry.divergence
    if other is None:
        raise Refused("The registry and this sidecar agree: there is nothing to put back.")
    return Intent(
        verb="reconcile",
        title=f"Put the registry's alias back to version {other.sidecar}",
        confirm=f"Put it back to {other.sidecar}",
        says=(
            f"The registry's alias {other.alias} moves from version {other.registry} to {other.sidecar}.",
            "If somebody has moved it once more, nothing is done.",
            "Nothing changes for callers.",
            "The audit trail keeps your name and reason.",
        ),
        back="",
        fields=(("expected", other.registry),),
    )


def _acknowledgement(status: DeploymentStatus, alarms: tuple[Alarm, ...], wanted: str) -> Intent:
    alarm = next((alarm for alarm in alarms if alarm.id == wanted and alarm.deployment == status.name), None)
    if alarm is None or alarm.ended is not None:
        raise Refused("This alarm is not open any more.")
    return Intent(
        verb="acknowledge",
        title="Acknowledge this alarm",
        confirm="Acknowledge",
        says=(
            alarm.says,
            "The alarm stays open until its cause has gone; everybody sees that you know of it.",
            "The audit trail keeps your name and reason.",
        ),
        back="",
        fields=(("alarm", wanted),),
    )


def refused(told: Intent, error: SidecarError, form: Form) -> Intent:
    """The same intent after the service did not do it."""
    table = error.gates if isinstance(error, Refused) and error.gates is not None else told.table
    return told._replace(refusal=str(error), table=table, reason=form.get("reason", "")[:_REASON])
