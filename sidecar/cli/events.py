"""Events that their receivers never took: `events dead` lists them, `events resend` tries one again."""

from __future__ import annotations

import click
import msgspec

from sidecar.cli.client import AdminClient
from sidecar.cli.connection import as_json_option, with_admin_api
from sidecar.cli.failure import printable
from sidecar.cli.tables import console, table


class _Letter(msgspec.Struct, frozen=True):
    letter: int
    type: str
    deployment: str
    receiver: str
    fault: str
    happened: str | None = None
    given_up: str | None = None
    event: str = ""


class _Letters(msgspec.Struct, frozen=True):
    items: tuple[_Letter, ...]
    dead: int
    waiting: int


@click.group("events")
def events_command() -> None:
    """What was posted to others and never taken."""


@events_command.command("dead")
@with_admin_api
@as_json_option
def dead_command(api: AdminClient, as_json: bool) -> None:
    """List events that were given up, the newest first."""
    answer = api.get("/v1/events/dead-letters")
    if as_json:
        click.echo(answer.text)
        return
    found = answer.read_as(_Letters)
    if found.items:
        rows = [(x.letter, x.happened, x.type, x.deployment, x.receiver, x.given_up, x.fault) for x in found.items]
        columns = ("letter", "happened", "event", "deployment", "receiver", "given up", "why")
        console().print(table(columns, rows, right=("letter",)))
    click.echo(f"{found.dead} given up, {found.waiting} waiting")


@events_command.command("resend")
@click.argument("letter", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="Why; it is kept in the audit trail.")
@with_admin_api
@as_json_option
def resend_command(api: AdminClient, letter: int, reason: str, as_json: bool) -> None:
    """Try one again. It keeps its id, by which a receiver knows what it has had."""
    answer = api.post(f"/v1/events/dead-letters/{letter}/resend", {"reason": reason})
    if as_json:
        click.echo(answer.text)
        return
    found = answer.read_as(_Letter)
    click.echo(printable(f"{found.type} ({found.event}) goes to {found.receiver} again"))
