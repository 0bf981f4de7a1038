"""How things stand: `status`."""

from __future__ import annotations

import click

from sidecar.cli.answers import Challenger, Deployment, Deployments
from sidecar.cli.client import AdminClient
from sidecar.cli.connection import as_json_option, with_admin_api
from sidecar.cli.tables import console, table

_METRICS = 4  # what fits beside the others


@click.command("status")
@with_admin_api
@as_json_option
def status_command(api: AdminClient, as_json: bool) -> None:
    """Show every deployment: its champion, its challengers, and how they are."""
    answer = api.get("/v1/deployments")
    if as_json:
        click.echo(answer.text)
        return
    told = answer.read_as(Deployments)
    deployments = told.items
    if told.waits is not None:
        click.echo(told.waits, err=True)
    elif not deployments:
        click.echo("no deployments; add one to the configuration")
    if not deployments:
        return
    rows = [
        (
            found.name,
            found.champion.version,
            found.champion.since,
            ", ".join(_challenger(found, challenger) for challenger in found.challengers) or None,
            found.state,
            found.previous,
            found.generation,
            _remarks(found),
        )
        for found in deployments
    ]
    columns = ("deployment", "champion", "since", "challengers", "state", "previous", "generation", "remarks")
    console().print(table(columns, rows, right=("generation",)))
    made = [row for found in deployments for row in _lineage(found)]
    if made:
        fields = ("deployment", "version", "data", "code", "approved by", "created by", "metrics")
        console().print(table(fields, made))


def _challenger(deployment: Deployment, challenger: Challenger) -> str:
    part = "" if challenger.fraction >= 1 else f" at {challenger.fraction:.3g}"
    return f"{challenger.version}{part} ({deployment.state_of(challenger)})"


def _lineage(deployment: Deployment) -> list[tuple[str | None, ...]]:
    """What made each version, as far as the registry says; champion first."""
    return [
        (
            deployment.name,
            version,
            *(told.get(name) for name in ("data", "code", "approved_by", "created_by")),
            ", ".join(f"{name.removeprefix('metrics.')} {text}" for name, text in _metrics(told)) or None,
        )
        for version, told in deployment.lineage.items()
        if told
    ]


def _metrics(told: dict[str, str]) -> list[tuple[str, str]]:
    return sorted((name, text) for name, text in told.items() if name.startswith("metrics."))[:_METRICS]


def _remarks(deployment: Deployment) -> str | None:
    remarks = []
    if not deployment.shadow_enabled:
        remarks.append("the shadow is switched off")
    if deployment.config_differs:
        remarks.append("; ".join(deployment.differences) or "the configuration file differs")
    if deployment.from_registry is not None:
        remarks += deployment.from_registry.waits
    if deployment.registry.diverged:
        remarks.append(deployment.registry.says or "the registry names another champion")
    elif deployment.registry.unwritten is not None:
        remarks.append(f"the registry was not told yet: {deployment.registry.unwritten}")
    elif deployment.registry.reachable is False:
        says = deployment.registry.says or "the registry does not answer"
        remarks.append(says if deployment.registry.since is None else f"{says} (since {deployment.registry.since})")
    remarks += [f"{version}: {says}" for version, says in deployment.automation.items()]
    return "; ".join(remarks) or None
