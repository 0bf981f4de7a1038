"""What happened between two times: `cost`."""

from __future__ import annotations

import click
import msgspec

from sidecar.cli.client import AdminClient
from sidecar.cli.connection import as_json_option, deployment_argument, deployment_path, with_admin_api
from sidecar.cli.tables import console, table, text


class _Version(msgspec.Struct, frozen=True):
    version: str
    answered: int
    shadowed: int
    outcomes: int
    right: int
    wrong: int
    mean_error: float | None = None


class _Pair(msgspec.Struct, frozen=True):
    champion: str
    other: str
    rows: int
    disagreements: int
    champion_right: int
    challenger_right: int
    undecided: int


class _Alarm(msgspec.Struct, frozen=True):
    kind: str
    says: str
    since: str | None = None


class _Cost(msgspec.Struct, frozen=True):
    requests: int
    rows: int
    read: int
    versions: tuple[_Version, ...]
    pairs: tuple[_Pair, ...]
    alarms: tuple[_Alarm, ...] = ()
    kept_since: str | None = None


@click.command("cost")
@deployment_argument(required=False)
@click.option("--from", "since", required=True, metavar="TIME", help="Such as 2026-01-31T12:00:00Z.")
@click.option("--to", "until", required=True, metavar="TIME", help="Up to here.")
@with_admin_api
@as_json_option
def cost_command(api: AdminClient, deployment: str | None, since: str, until: str, as_json: bool) -> None:
    """Show what a stretch of time cost: requests, disagreements, and who was right where the outcome is known."""
    answer = api.get(f"{deployment_path(api, deployment)}/cost", **{"from": since, "to": until})
    if as_json:
        click.echo(answer.text)
        return
    found, out = answer.read_as(_Cost), console()
    out.print(text(f"{found.requests:,} requests, {found.rows:,} rows"))
    if found.read < found.rows:
        out.print(text(f"counted from {found.read:,} of these rows, in slices spread evenly over the time"))
    if not found.rows and found.kept_since is not None:
        out.print(text(f"the oldest decision that is still kept is of {found.kept_since}"))
    rows = [(v.version, v.answered, v.shadowed, v.outcomes, v.right, v.wrong, v.mean_error) for v in found.versions]
    if rows:
        columns = ("version", "answered", "shadowed", "outcomes", "right", "wrong", "mean error")
        out.print(table(columns, rows, right=columns[1:]))
    pairs = [
        (p.champion, p.other, p.rows, p.disagreements, p.champion_right, p.challenger_right, p.undecided)
        for p in found.pairs
    ]
    if pairs:
        columns = ("champion", "beside", "rows", "disagree", "only it right", "only the other right", "not known")
        out.print(table(columns, pairs, right=columns[2:]))
    for alarm in found.alarms:
        out.print(text(f"{alarm.since or ''} {alarm.kind}: {alarm.says}"))
