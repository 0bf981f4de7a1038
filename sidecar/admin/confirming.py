"""What a person may do on the dashboard: first told exactly what will happen, then done by the service.

Keeps: asking changes nothing; what is done is bound to what the person saw (champion, plan, evidence) and carries a
key, so that a form sent twice acts once. Decides nothing itself. Called by `screens`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sidecar.admin import agreeing, canary_forms, stepping
from sidecar.admin.caller import Need
from sidecar.admin.intent import Form, Intent
from sidecar.admin.service import Service
from sidecar.errors import Invalid, Refused, SidecarError
from sidecar.standing import DeploymentStatus

_REASON = 2000
# What each verb's page asks for; the routes ask for the same.
NEEDS: Mapping[str, Need] = {"override": "admin"}


async def intent(service: Service, verb: str, name: str, asked: Form, actor: str) -> Intent:
    """What `verb` would do to a deployment, as things stand now. Raises as the service does."""
    status = service.deployment(name)
    tell = _TOLD.get(verb)
    if tell is None:
        raise Invalid("The dashboard has no such action.")
    return await tell(service, status, asked, actor)


async def carry_out(service: Service, verb: str, name: str, form: Form, actor: str) -> None:
    """Does it. Raises as the service does."""
    reason = form.get("reason", "").strip()
    if len(reason) > _REASON:
        raise Invalid(f"A reason has at most {_REASON} characters.")
    if not reason and verb != "shadow":
        raise Invalid("Write a reason: it goes into the audit trail.")
    match verb:
        case "promote" | "override" | "rollback":
            await stepping.step(service, verb, name, form, actor, reason)
        case "approve" | "withdraw" | "hold" | "release":
            await agreeing.say(service, verb, name, form, actor, reason)
        case "canary" | "abort":
            await canary_forms.share(service, verb, name, form, actor, reason)
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


def refused(told: Intent, error: SidecarError, form: Form) -> Intent:
    """The same intent after the service did not do it."""
    table = error.gates if isinstance(error, Refused) and error.gates is not None else told.table
    return told._replace(refusal=str(error), table=table, reason=form.get("reason", "")[:_REASON])


async def _shadow(_: Service, status: DeploymentStatus, asked: Form, __: str) -> Intent:
    enabled = asked.get("enabled") == "true"
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
        reason_least=0,
        danger=not enabled,
    )


async def _reconciliation(_: Service, status: DeploymentStatus, __: Form, ___: str) -> Intent:
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


async def _acknowledgement(service: Service, status: DeploymentStatus, asked: Form, _: str) -> Intent:
    wanted = asked.get("alarm", "")
    alarm = next((alarm for alarm in service.alarms() if alarm.id == wanted and alarm.deployment == status.name), None)
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


_TOLD: Mapping[str, Callable[[Service, DeploymentStatus, Form, str], Awaitable[Intent]]] = {
    "promote": stepping.promotion,
    "override": stepping.overriding,
    "rollback": stepping.going_back,
    "canary": canary_forms.beginning,
    "abort": canary_forms.ending,
    "approve": agreeing.approval,
    "withdraw": agreeing.withdrawal,
    "hold": agreeing.holding,
    "release": agreeing.releasing,
    "shadow": _shadow,
    "reconcile": _reconciliation,
    "acknowledge": _acknowledgement,
}
