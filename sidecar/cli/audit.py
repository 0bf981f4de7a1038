"""The audit trail: `audit` lists it, `audit verify` checks its chain, with or without a running sidecar."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from sidecar.cli.answers import Audit, AuditCheck
from sidecar.cli.client import AdminClient
from sidecar.cli.connection import as_json_option, with_admin_api
from sidecar.cli.failure import CommandFailed, CommandRefused, printable
from sidecar.cli.tables import console, table

_LIMIT = 100
_OPTIONS = ("url", "token", "after", "limit", "as_json")


@click.group("audit", invoke_without_command=True)
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only entries after this number.")
@click.option("--limit", type=click.IntRange(1, 1000), default=_LIMIT, show_default=True, help="At most so many.")
@with_admin_api
@as_json_option
@click.pass_context
def audit_command(context: click.Context, api: AdminClient, after: int, limit: int, as_json: bool) -> None:
    """Show who changed what and why, oldest first."""
    if context.invoked_subcommand is not None:
        # `verify` has its own --url and --json; given here they would have no effect.
        if any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _OPTIONS):
            raise click.UsageError(f"options go after the word {context.invoked_subcommand}", context)
        return
    answer = api.get("/v1/audit", after=after, limit=limit)
    if as_json:
        click.echo(answer.text)
        return
    entries = answer.read_as(Audit).entries
    if not entries:
        click.echo("no entries")
        return
    rows = [(e.seq, e.at, e.actor, e.action, e.deployment, e.from_version, e.to_version, e.reason) for e in entries]
    columns = ("seq", "at", "who", "did", "deployment", "from", "to", "reason")
    console().print(table(columns, rows, right=("seq",)))
    if len(entries) == limit:
        click.echo(f"there may be more: sidecar audit --after {entries[-1].seq}", err=True)


@audit_command.command("verify")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="Check this folder itself, without a running sidecar.",
)
@with_admin_api
@as_json_option
def verify_command(api: AdminClient, state_dir: Path | None, as_json: bool) -> None:
    """Check that no entry was edited, inserted, removed, reordered or cut off. Exit code 1 if one was."""
    if state_dir is None:
        answer = api.get("/v1/audit/verify")
        check, text = answer.read_as(AuditCheck), answer.text
    else:
        check, text = _verify_state_dir(state_dir)
    if as_json:
        click.echo(text)
    if not check.ok:
        raise CommandRefused(f"the audit trail does not hold: {check.fault or 'its chain is broken'}")
    if not as_json:
        noun = "entry" if check.entries == 1 else "entries"
        click.echo(printable(f"the audit trail holds: {check.entries} {noun}, head {check.head or '(none)'}"))


def _verify_state_dir(state_dir: Path) -> tuple[AuditCheck, str]:
    import msgspec  # noqa: PLC0415

    from sidecar.control.store import verify_state_dir  # noqa: PLC0415  # needs SQLAlchemy
    from sidecar.errors import SidecarError  # noqa: PLC0415

    try:
        found = verify_state_dir(state_dir)
    except SidecarError as fault:
        raise CommandFailed(str(fault)) from None
    return msgspec.convert(msgspec.to_builtins(found), AuditCheck), msgspec.json.encode(found).decode()
