"""The commands that move the pointer: `promote` and `rollback`. Exit code 1: refused; 2: could not be asked."""

from __future__ import annotations

from collections.abc import Mapping

import click
import msgspec

from sidecar.cli.answers import Refusal, Transition
from sidecar.cli.client import AdminClient, Answer, Problem
from sidecar.cli.connection import as_json_option, deployment_path, with_admin_api
from sidecar.cli.evidence import gate_table
from sidecar.cli.failure import CommandRefused, printable
from sidecar.cli.tables import console

_CONFLICT = 409

_reason_option = click.option("--reason", required=True, help="Why; it is kept in the audit trail.")
_force_option = click.option("--force", is_flag=True, help="Even if the version does not answer its probe.")


@click.command("promote")
@click.argument("deployment")
@click.argument("version")
@_reason_option
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--expected-champion", metavar="VERSION", help="Refuse if another version is champion by now.")
@_force_option
@with_admin_api
@as_json_option
def promote_command(
    api: AdminClient,
    deployment: str,
    version: str,
    reason: str,
    dry_run: bool,
    expected_champion: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a challenger the champion, if every gate passes."""
    body = {
        "challenger": version,
        "reason": reason,
        "expected_champion": expected_champion,
        "dry_run": True if dry_run else None,
        "force": True if force else None,
    }
    answer = _ask(api, f"{deployment_path(api, deployment)}/promote", body, as_json)
    _show(answer, deployment, "promoted", as_json)


@click.command("rollback")
@click.argument("deployment")
@_reason_option
@click.option("--to", metavar="VERSION", help="Which version; otherwise the previous champion.")
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
    if done.unrecorded is not None:
        click.echo(printable(f"sidecar: {done.unrecorded}"), err=True)
