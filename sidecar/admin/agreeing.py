"""What people say of a coming step, as the dashboard tells it before it is said: approvals, holds, releases.

Keeps: an approval names the gate table that its page has shown, so that it counts for nothing else. Decides nothing.
Called by `confirming`.
"""

from __future__ import annotations

from typing import Literal

from sidecar.admin import figures
from sidecar.admin.intent import Form, Intent
from sidecar.admin.service import Service
from sidecar.errors import Unknown
from sidecar.reports import GateTable
from sidecar.standing import DeploymentStatus

_NOBODY = "anonymous"
_DIGEST = 200


def needed(table: GateTable | str) -> tuple[int, float | None]:
    """How many people gate `approvals` asks for, and for how long an approval counts; (0, None) where it is off."""
    gates = () if isinstance(table, str) else table.gates
    policy = next((gate.policy for gate in gates if gate.name == "approvals"), {})
    people, valid_s = policy.get("min", 0), policy.get("valid_s")
    return (people if isinstance(people, int) else 0), (valid_s if isinstance(valid_s, int | float) else None)


async def approval(service: Service, status: DeploymentStatus, asked: Form, actor: str) -> Intent:
    """A person agrees to what the gates say."""
    challenger, champion = asked.get("challenger", ""), status.champion.version
    table = service.gates(status.name, challenger)
    given = service.approvals(status.name, challenger)
    people, valid_s = needed(table)
    counting = [each.by for each in given if each.void is None]
    agreed = f"{len(counting)} {'person has' if len(counting) == 1 else 'people have'} agreed so far"
    lasts = "" if valid_s is None else f"for {figures.duration(valid_s)}, and "
    stays = "champion, baseline and the gates' settings stay and no gate turns to fail"
    says = (
        f"You, {actor}, agree that version {challenger} takes over from {champion}, on what the gates say below.",
        f"{agreed}, {people or 'none'} asked for. Nothing is promoted by it.",
        f"It counts {lasts}while {stays}. More traffic does not void it.",
        "The audit trail keeps your name, your reason and the evidence.",
    )
    failing = [gate.name for gate in table.gates if gate.verdict == "fail"]
    refusal = None
    if actor == _NOBODY:
        refusal = "An approval is a named person's: give people tokens of their own (admin.tokens)."
    elif failing:
        refusal = f"Gate {', '.join(failing)} fails: there is nothing to agree to."
    return Intent(
        verb="approve",
        title=f"Approve version {challenger}",
        confirm=f"Approve {challenger}",
        says=says,
        back=f"challengers/{challenger}",
        refusal=refusal,
        fields=(("challenger", challenger), ("evidence", table.evidence)),
        table=table,
        approvals=given,
    )


async def withdrawal(service: Service, status: DeploymentStatus, asked: Form, actor: str) -> Intent:
    """A person does not agree any more."""
    challenger = asked.get("challenger", "")
    given = service.approvals(status.name, challenger)
    mine = any(each.by == actor and each.void is None for each in given)
    return Intent(
        verb="withdraw",
        title=f"Withdraw your approval of version {challenger}",
        confirm="Withdraw it",
        says=(
            f"Your approval of version {challenger} does not count any more. A promotion that was done stays.",
            "You may approve it again. The audit trail keeps your name and reason.",
        ),
        back=f"challengers/{challenger}",
        refusal=None if mine else "You have given no approval that counts.",
        fields=(("challenger", challenger),),
        approvals=given,
    )


async def holding(_: Service, status: DeploymentStatus, asked: Form, __: str) -> Intent:
    """The machine may not promote a version."""
    version = asked.get("version", "")
    says = f"The sidecar does not promote version {version} by itself, whatever the gates say."
    return _of_the_machine(status, version, "hold", f"Hold version {version}", [says])


async def releasing(_: Service, status: DeploymentStatus, asked: Form, __: str) -> Intent:
    """The machine may promote a version again."""
    version = asked.get("version", "")
    why = status.held.get(version)
    says = [
        f"It is kept back now: {why}." if why else "Nobody keeps it back now.",
        f"The sidecar promotes version {version} by itself once every gate has passed for long enough.",
    ]
    return _of_the_machine(status, version, "release", f"Release version {version}", says)


async def say(
    service: Service,
    verb: Literal["approve", "withdraw", "hold", "release"],
    name: str,
    form: Form,
    actor: str,
    reason: str,
) -> None:
    """Says it. Raises as the service does."""
    challenger = form.get("challenger", "")
    match verb:
        case "approve":
            evidence = form.get("evidence", "")[:_DIGEST]
            await service.approve(name, challenger, evidence=evidence, actor=actor, reason=reason)
        case "withdraw":
            await service.withdraw_approval(name, challenger, actor=actor, reason=reason)
        case _:
            await service.hold(name, form.get("version", ""), held=verb == "hold", actor=actor, reason=reason)


def _of_the_machine(status: DeploymentStatus, version: str, verb: str, title: str, says: list[str]) -> Intent:
    if version not in {challenger.version for challenger in status.challengers}:
        raise Unknown(f"{status.name} has no challenger {version!r} any more.")
    if status.mode == "manual":
        says = [*says, "This deployment is promoted by people (promotion.mode: manual), so nothing changes for now."]
    return Intent(
        verb=verb,
        title=title,
        confirm=title,
        says=(*says, "People may promote it at any time.", "The audit trail keeps your name and reason."),
        back=f"challengers/{version}",
        fields=(("version", version),),
    )
