"""What is known about a challenger: `gates`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from sidecar.cli.answers import Gate, Gates
from sidecar.cli.client import AdminClient
from sidecar.cli.connection import (
    as_json_option,
    challenger_option,
    deployment_argument,
    deployment_path,
    with_admin_api,
)
from sidecar.cli.rehearsal import DAYS, rehearse
from sidecar.cli.tables import console, table, text


@click.command("gates")
@deployment_argument(required=False)
@challenger_option
@click.option(
    "--rehearse",
    "rehearsed",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="What the gates of this YAML file would have decided over the last days.",
)
@click.option(
    "--days", type=click.IntRange(1, 92), help="Rehearse so many days (7); without a file, the gates in force."
)
@with_admin_api
@as_json_option
@click.pass_context
def gates_command(
    context: click.Context,
    api: AdminClient,
    deployment: str | None,
    challenger: str | None,
    rehearsed: Path | None,
    days: int | None,
    as_json: bool,
) -> None:
    """Show whether the challenger may take over. Exit code 0 if every gate passes, else 1; of a rehearsal always 0."""
    if rehearsed is not None or days is not None:
        rehearse(api, deployment_path(api, deployment), rehearsed, days or DAYS, challenger, as_json)
        return
    answer = api.get(f"{deployment_path(api, deployment)}/gates", challenger=challenger)
    gates = answer.read_as(Gates)
    if as_json:
        click.echo(answer.text)
    else:
        out = console()
        title = text(f"{gates.deployment or deployment or ''} {gates.challenger} against champion {gates.champion}: ")
        out.print(title + text(gates.verdict))
        out.print(gate_table(gates.gates))
        out.print(text(f"evidence {gates.evidence}", style="dim"))
    context.exit(0 if gates.verdict == "pass" else 1)


def gate_table(gates: Sequence[Gate]) -> Table:
    """The gates as rows; also shown where a promotion is refused."""
    rows = [(gate.name, gate.verdict, gate.observed, gate.required, gate.n, gate.detail) for gate in gates]
    return table(("gate", "verdict", "observed", "required", "n", "detail"), rows, right=("n",))
