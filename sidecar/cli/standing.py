"""How things stand: `status` and `alarms`."""

from __future__ import annotations

import click

from sidecar.cli.answers import Alarms, Challenger, Deployment, Deployments
from sidecar.cli.client import AdminClient
from sidecar.cli.connection import as_json_option, with_admin_api
from sidecar.cli.tables import console, table


@click.command("status")
@with_admin_api
@as_json_option
def status_command(api: AdminClient, as_json: bool) -> None:
    """Show every deployment: its champion, its challengers, and how they are."""
    answer = api.get("/v1/deployments")
    if as_json:
        click.echo(answer.text)
        return
    deployments = answer.read_as(Deployments).items
    if not deployments:
        click.echo("no deployments; add one to the configuration")
        return
    rows = [
        (
            found.name,
            found.champion.version,
            found.champion.since,
            ", ".join(_challenger(challenger) for challenger in found.challengers) or None,
            found.state,
            found.previous,
            found.generation,
            _remarks(found),
        )
        for found in deployments
    ]
    columns = ("deployment", "champion", "since", "challengers", "state", "previous", "generation", "remarks")
    console().print(table(columns, rows, right=("generation",)))


@click.command("alarms")
@with_admin_api
@as_json_option
def alarms_command(api: AdminClient, as_json: bool) -> None:
    """Show what a person should know, open alarms first."""
    answer = api.get("/v1/alarms")
    if as_json:
        click.echo(answer.text)
        return
    alarms = answer.read_as(Alarms).items
    if not alarms:
        click.echo("no alarms")
        return
    rows = [
        (
            alarm.severity,
            alarm.kind,
            alarm.deployment,
            alarm.says,
            alarm.action,
            alarm.since,
            "ended" if alarm.ended else "acknowledged" if alarm.acknowledged else "open",
            alarm.owner or None,
            alarm.id,
        )
        for alarm in alarms
    ]
    columns = ("severity", "kind", "deployment", "says", "what to do", "since", "state", "owner", "id")
    console().print(table(columns, rows))


def _challenger(challenger: Challenger) -> str:
    state = challenger.health if challenger.enabled else "switched off"
    part = "" if challenger.fraction >= 1 else f" at {challenger.fraction:.3g}"
    return f"{challenger.version}{part} ({state})"


def _remarks(deployment: Deployment) -> str | None:
    remarks = []
    if not deployment.shadow_enabled:
        remarks.append("the shadow is switched off")
    if deployment.config_differs:
        remarks.append("; ".join(deployment.differences) or "the configuration file differs")
    if deployment.registry.diverged:
        remarks.append(deployment.registry.says or "the registry names another champion")
    elif deployment.registry.reachable is False:
        remarks.append(deployment.registry.says or "the registry does not answer")
    return "; ".join(remarks) or None
