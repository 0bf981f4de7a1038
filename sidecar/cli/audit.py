"""The audit trail: `audit` lists it, `audit verify` checks it; head, export and signing are in `audit_files`."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from sidecar.cli.answers import Audit, AuditCheck
from sidecar.cli.audit_files import (
    export_command,
    head_command,
    key_options,
    read_head_file,
    sign_command,
    verify_offline,
)
from sidecar.cli.client import AdminClient
from sidecar.cli.connection import as_json_option, with_admin_api
from sidecar.cli.failure import CommandRefused, printable
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
@click.option(
    "--file", "trail", type=click.Path(path_type=Path), help="Check this file, made by `sidecar audit export`."
)
@click.option(
    "--head", type=click.Path(path_type=Path), help="A head that was kept elsewhere, from `sidecar audit head`."
)
@key_options
@with_admin_api
@as_json_option
def verify_command(
    api: AdminClient,
    state_dir: Path | None,
    trail: Path | None,
    head: Path | None,
    key_env: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Check that no entry was edited, inserted, removed, reordered or cut off. Exit code 1 if one was."""
    if state_dir is not None and trail is not None:
        raise click.UsageError("give --state-dir or --file, not both")
    if state_dir is None and trail is None:
        if key_env is not None or key_file is not None:
            raise click.UsageError("a key counts with --state-dir or --file; a running sidecar has its own")
        kept = None if head is None else read_head_file(head)
        answer = api.get("/v1/audit/verify") if kept is None else api.post("/v1/audit/verify", kept)
        check, text = answer.read_as(AuditCheck), answer.text
    else:
        check, text = verify_offline(state_dir, trail, head, key_env, key_file)
    if as_json:
        click.echo(text)
    if not check.ok:
        raise CommandRefused(f"the audit trail does not hold: {check.fault or 'its chain is broken'}")
    if not as_json:
        noun = "entry" if check.entries == 1 else "entries"
        click.echo(printable(f"the audit trail holds: {check.entries} {noun}, head {check.head or '(none)'}"))


audit_command.add_command(head_command)
audit_command.add_command(export_command)
audit_command.add_command(sign_command)
