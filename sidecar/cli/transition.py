"""The commands that move the pointer: `promote`, `override` and `rollback`, and `approve` and `canary` before them.

Exit code 1: refused; 2: could not be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click
import msgspec

from sidecar.cli.answers import ApprovalDone, Gates, HoldDone, Plan, Refusal, Transition
from sidecar.cli.client import AdminClient, Answer, Problem, segment
from sidecar.cli.completing import versions
from sidecar.cli.connection import (
    as_json_option,
    deployment_argument,
    deployment_path,
    version_argument,
    with_admin_api,
)
from sidecar.cli.evidence import gate_table
from sidecar.cli.failure import CommandRefused, printable
from sidecar.cli.tables import console

_CONFLICT = 409

_reason_option = click.option("--reason", required=True, help="Why; it is kept in the audit trail.")
_force_option = click.option("--force", is_flag=True, help="Even if the version does not answer its probe.")


def _step_options(function: Callable[..., None]) -> Callable[..., None]:
    """What `promote` and `override` have in common."""
    for option in (
        _force_option,
        click.option("--plan", metavar="DIGEST", help="Refuse if anything that mattered changed since this dry run."),
        click.option(
            "--evidence", metavar="DIGEST", help="Refuse if the gates say something else than this table did."
        ),
        click.option("--expected-champion", metavar="VERSION", help="Refuse if another version is champion by now."),
        click.option("--dry-run", is_flag=True, help="Only say what would happen, and the plan's digest."),
        _reason_option,
        version_argument(),
        deployment_argument(),
    ):
        function = option(function)
    return function


@click.command("promote")
@_step_options
@with_admin_api
@as_json_option
def promote_command(api: AdminClient, /, deployment: str, version: str, as_json: bool, **wishes: object) -> None:
    """Make a challenger the champion, if every gate passes."""
    answer = _ask(api, f"{deployment_path(api, deployment)}/promote", _body(version, wishes), as_json)
    _show(answer, deployment, "promoted", as_json)


@click.command("override")
@_step_options
@with_admin_api
@as_json_option
def override_command(api: AdminClient, /, deployment: str, version: str, as_json: bool, **wishes: object) -> None:
    """Make a version the champion whatever the gates say. Needs role admin."""
    answer = _ask(api, f"{deployment_path(api, deployment)}/override", _body(version, wishes), as_json)
    _show(answer, deployment, "overridden", as_json)


@click.command("canary")
@click.argument("deployment")
@click.argument("version")
@_reason_option
@click.option("--abort", is_flag=True, help="All requests are the champion's again, at once. There are no gates.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--expected-champion", metavar="VERSION", help="Refuse if another version is champion by now.")
@click.option("--evidence", metavar="DIGEST", help="Refuse if the gates say something else than this table did.")
@_force_option
@with_admin_api
@as_json_option
def canary_command(
    api: AdminClient, /, deployment: str, version: str, abort: bool, as_json: bool, **wishes: object
) -> None:
    """Let a challenger answer a share of the requests first, step by step, if every gate passes."""
    body = _body(version, {**wishes, "abort": abort})
    answer = _ask(api, f"{deployment_path(api, deployment)}/canary", body, as_json)
    if as_json:
        click.echo(answer.text)
        return
    done = answer.read_as(Transition)
    would = "would answer" if done.dry_run else "answers"
    entry = "nothing was changed" if done.dry_run else "not recorded yet" if done.audit_seq is None else ""
    kept = entry or f"audit {done.audit_seq}"
    click.echo(printable(f"{deployment}: version {version} {would} {done.weight or 0.0:.4g} of the requests ({kept})"))
    if done.unrecorded is not None:
        click.echo(printable(f"sidecar: {done.unrecorded}"), err=True)


@click.command("approve")
@deployment_argument()
@version_argument()
@_reason_option
@click.option("--evidence", metavar="DIGEST", help="What you have read; otherwise the gates are shown, and that is it.")
@click.option("--withdraw", is_flag=True, help="Take your approval back.")
@with_admin_api
@as_json_option
def approve_command(
    api: AdminClient, deployment: str, version: str, reason: str, evidence: str | None, withdraw: bool, as_json: bool
) -> None:
    """Agree that a challenger may take over, on what its gates say."""
    path = deployment_path(api, deployment)
    if evidence is None and not withdraw:
        table = api.get(f"{path}/gates?challenger={segment(version)}").read_as(Gates)
        evidence = table.evidence
        if not as_json:
            console().print(gate_table(table.gates))
    body = {"challenger": version, "reason": reason, "evidence": evidence, "withdraw": True if withdraw else None}
    answer = _ask(api, f"{path}/approvals", body, as_json)
    if as_json:
        click.echo(answer.text)
        return
    done = answer.read_as(ApprovalDone)
    kept = "nothing was changed" if done.audit_seq is None else f"audit {done.audit_seq}"
    people = f"{len(done.people)} of {done.needed}" if done.needed else "none asked for"
    names = f": {', '.join(done.people)}" if done.people else ""
    click.echo(printable(f"{deployment}: {done.done} for {done.challenger} ({kept}); approvals {people}{names}"))


@click.command("hold")
@deployment_argument()
@version_argument()
@_reason_option
@with_admin_api
@as_json_option
def hold_command(api: AdminClient, deployment: str, version: str, reason: str, as_json: bool) -> None:
    """Keep the machine from promoting a version by itself (promotion.mode: auto). People may."""
    _hold(api, deployment, {"version": version, "held": True, "reason": reason}, as_json)


@click.command("release")
@deployment_argument()
@version_argument()
@_reason_option
@with_admin_api
@as_json_option
def release_command(api: AdminClient, deployment: str, version: str, reason: str, as_json: bool) -> None:
    """Let the machine promote a version again, though it was held, rolled back, or champion before."""
    _hold(api, deployment, {"version": version, "held": False, "reason": reason}, as_json)


def _hold(api: AdminClient, deployment: str, body: Mapping[str, object], as_json: bool) -> None:
    answer = _ask(api, f"{deployment_path(api, deployment)}/hold", body, as_json)
    if as_json:
        click.echo(answer.text)
        return
    done = answer.read_as(HoldDone)
    kept = "nothing was changed" if done.audit_seq is None else f"audit {done.audit_seq}"
    click.echo(printable(f"{deployment}: version {done.version} {done.done} ({kept})"))


def _body(version: str, wishes: Mapping[str, object]) -> dict[str, object]:
    """What was not asked for is left out."""
    return {"challenger": version} | {name: value or None for name, value in wishes.items()}


@click.command("rollback")
@deployment_argument()
@_reason_option
@click.option(
    "--to", metavar="VERSION", shell_complete=versions, help="Which version; otherwise the previous champion."
)
@_force_option
@with_admin_api
@as_json_option
def rollback_command(
    api: AdminClient, deployment: str, reason: str, to: str | None, force: bool, as_json: bool
) -> None:
    """Go back to the previous champion at once. There are no gates."""
    body = {"reason": reason, "to": to, "force": True if force else None}
    answer = _ask(api, f"{deployment_path(api, deployment)}/rollback", body, as_json)
    _show(answer, deployment, "rolled back", as_json)


def _ask(api: AdminClient, path: str, body: Mapping[str, object], as_json: bool) -> Answer:
    try:
        return api.post(path, body)
    except Problem as problem:
        if problem.status != _CONFLICT:
            raise
        if as_json and problem.answer is not None:
            click.echo(problem.answer.text)
        elif problem.answer is not None:
            _show_gates(problem.answer)
        raise CommandRefused(problem.message) from None


def _show_gates(answer: Answer) -> None:
    """The gates that stand in the way. A refusal for another reason has none."""
    try:
        gates = msgspec.convert(answer.document, Refusal).gates
    except msgspec.ValidationError:
        return
    blocking = [gate for gate in gates if gate.verdict not in ("pass", "off")]
    if blocking:
        console().print(gate_table(blocking))


def _show(answer: Answer, deployment: str, verb: str, as_json: bool) -> None:
    if as_json:
        click.echo(answer.text)
        return
    done = answer.read_as(Transition)
    said = f"would be {verb}" if done.dry_run else verb
    entry = "not recorded yet" if done.audit_seq is None else f"audit {done.audit_seq}"
    kept = " (nothing was changed)" if done.dry_run else f" (generation {done.generation}, {entry})"
    click.echo(printable(f"{deployment}: {said} from {done.from_version} to {done.to_version}{kept}"))
    if done.plan is not None:
        _show_plan(done.plan, done.to_version)
    if done.unrecorded is not None:
        click.echo(printable(f"sidecar: {done.unrecorded}"), err=True)


def _show_plan(plan: Plan, version: str) -> None:
    """What the same call without `--dry-run` would do."""
    said: dict[str, list[str]] = {}
    for gate, verdict in plan.verdicts.items():
        said.setdefault(verdict, []).append(gate)
    watched = f"watched for {plan.watch_s:g} s, then kept" if plan.watch_s else "not watched"
    click.echo(printable(f"  version {version} answers at {plan.target}; {watched}"))
    click.echo(printable(f"  a rollback goes back to {plan.rollback_to}"))
    for verdict, gates in said.items():
        click.echo(printable(f"  gates {verdict}: {', '.join(gates)}"))
    if plan.approvals:
        click.echo(printable(f"  approved by {', '.join(plan.approvals)}"))
    click.echo(printable(f"  to do exactly this: --plan {plan.digest}"))
