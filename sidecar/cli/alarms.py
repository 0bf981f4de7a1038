"""What a person should know: `alarms` lists it, `alarms acknowledge` says that somebody has seen one."""

from __future__ import annotations

import click
from click.core import ParameterSource

from sidecar.cli.answers import Alarm, Alarms
from sidecar.cli.client import AdminClient, segment
from sidecar.cli.completing import alarms
from sidecar.cli.connection import as_json_option, with_admin_api
from sidecar.cli.failure import printable
from sidecar.cli.tables import console, table

_OPTIONS = ("url", "token", "as_json")


@click.group("alarms", invoke_without_command=True)
@with_admin_api
@as_json_option
@click.pass_context
def alarms_command(context: click.Context, api: AdminClient, as_json: bool) -> None:
    """Show what a person should know, open alarms first."""
    if context.invoked_subcommand is not None:
        # `acknowledge` has its own --url and --json; given here they would have no effect.
        if any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _OPTIONS):
            raise click.UsageError(f"options go after the word {context.invoked_subcommand}", context)
        return
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
            _state(alarm),
            alarm.owner or None,
            alarm.id,
        )
        for alarm in alarms
    ]
    columns = ("severity", "kind", "deployment", "says", "what to do", "since", "state", "owner", "id")
    console().print(table(columns, rows))


@alarms_command.command("acknowledge")
@click.argument("alarm", shell_complete=alarms)
@click.option("--reason", required=True, help="Why it may stand; the list and the audit trail keep it.")
@with_admin_api
@as_json_option
def acknowledge_command(api: AdminClient, alarm: str, reason: str, as_json: bool) -> None:
    """Say that you have seen an alarm. It stays open until its cause has gone."""
    answer = api.post(f"/v1/alarms/{segment(alarm)}/acknowledge", {"reason": reason})
    if as_json:
        click.echo(answer.text)
        return
    click.echo(printable(f"{alarm}: {_state(answer.read_as(Alarm))}"))


def _state(alarm: Alarm) -> str:
    if alarm.ended:
        return "ended"
    seen = alarm.acknowledgement
    state = "open" if alarm.explained_by is None else f"open, explained by {alarm.explained_by}"
    if not alarm.acknowledged:
        return state
    return "acknowledged" if seen is None else f"acknowledged by {seen.by}: {seen.reason}"
