"""The registry as the sidecar sees it: `registry status`, and `registry reconcile` where the two disagree.

Exit code 1: refused; 2: could not be asked.
"""

from __future__ import annotations

import click

from sidecar.cli.answers import Deployment, Deployments, Reconciliation
from sidecar.cli.client import AdminClient, Problem
from sidecar.cli.connection import as_json_option, deployment_argument, deployment_path, with_admin_api
from sidecar.cli.failure import CommandRefused, printable
from sidecar.cli.tables import console, table

_CONFLICT = 409


@click.group("registry")
def registry_command() -> None:
    """What the model registry says, and what it is told."""


@registry_command.command("status")
@with_admin_api
@as_json_option
def status_command(api: AdminClient, as_json: bool) -> None:
    """Show both sides: the version that serves here, and the one that the registry's alias names."""
    answer = api.get("/v1/deployments")
    if as_json:
        click.echo(answer.text)
        return
    deployments = answer.read_as(Deployments).items
    if not deployments:
        click.echo("no deployments; add one to the configuration")
        return
    columns = ("deployment", "registry", "serves here", "registry's alias", "diverged since", "says")
    console().print(table(columns, [_row(found) for found in deployments]))


@registry_command.command("reconcile")
@deployment_argument()
@click.option(
    "--take",
    type=click.Choice(("sidecar", "registry")),
    required=True,
    help="sidecar: the alias goes where we are. registry: says which verb brings us there; changes nothing.",
)
@click.option("--expected", metavar="VERSION", help="Refuse if the alias is at another version by now.")
@click.option("--reason", required=True, help="Why; it is kept in the audit trail.")
@with_admin_api
@as_json_option
def reconcile_command(
    api: AdminClient, deployment: str, take: str, expected: str | None, reason: str, as_json: bool
) -> None:
    """End a disagreement about the champion between the registry's alias and this sidecar."""
    path = f"{deployment_path(api, deployment)}/registry/reconcile"
    try:
        answer = api.post(path, {"take": take, "expected": expected, "reason": reason})
    except Problem as problem:
        if problem.status != _CONFLICT:
            raise
        if as_json and problem.answer is not None:
            click.echo(problem.answer.text)
        raise CommandRefused(problem.message) from None
    if as_json:
        click.echo(answer.text)
        return
    done = answer.read_as(Reconciliation)
    if done.audit_seq is None:
        says = f"alias {done.alias} is at {done.to_version} already"
    elif done.written:
        says = f"alias {done.alias} moved from {done.from_version or 'nowhere'} to {done.to_version}"
    else:
        says = f"alias {done.alias} goes to {done.to_version} as soon as the registry takes it"
    kept = "" if done.audit_seq is None else f" (audit {done.audit_seq})"
    click.echo(printable(f"{deployment}: {says}{kept}"))


def _row(found: Deployment) -> tuple[str | None, ...]:
    registry, diverged = found.registry, found.registry.divergence
    answers = {None: "none", True: "answers", False: "unreachable"}[registry.reachable]
    says = "; ".join(text for text in (registry.unwritten, registry.says) if text)
    return (
        found.name,
        answers,
        found.champion.version,
        None if diverged is None else f"{diverged.alias} → {diverged.registry}",
        None if diverged is None else diverged.since,
        says or None,
    )
