"""The decision report on one transition: `report`, from a running sidecar or from its state folder."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from sidecar.cli.client import AdminClient
from sidecar.cli.connection import deployment_argument, deployment_path, with_admin_api
from sidecar.cli.failure import CommandFailed


class _Report(msgspec.Struct, frozen=True):
    text: str


@click.command("report")
@deployment_argument(required=False)
@click.argument("entry", required=False, type=click.IntRange(min=1))
@click.option("--format", "form", type=click.Choice(["markdown", "html"]), help="Otherwise by the file's name.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file, in place of the screen.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Read this folder, without a running sidecar.")
@with_admin_api
def report_command(
    api: AdminClient,
    deployment: str | None,
    entry: int | None,
    form: str | None,
    output: Path | None,
    state_dir: Path | None,
) -> None:
    """Tell of a transition for somebody who was not there: who, why, on what evidence. ENTRY is its number in the
    audit trail; otherwise the newest one.
    """
    form = form or ("html" if output is not None and output.suffix.lower() in (".html", ".htm") else "markdown")
    if state_dir is None:
        path = f"{deployment_path(api, deployment)}/transitions/{entry or 'latest'}/report"
        text = api.get(path, format=form).read_as(_Report).text
    else:
        text = _from_folder(state_dir, deployment, entry, form)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{output} cannot be written ({error.strerror})") from None


def _from_folder(state_dir: Path, deployment: str | None, entry: int | None, form: str) -> str:
    from sidecar.control.offline_record import report  # noqa: PLC0415  # needs SQLAlchemy
    from sidecar.errors import SidecarError  # noqa: PLC0415

    try:
        return report(state_dir, deployment, entry, form, time.time())
    except SidecarError as fault:
        raise CommandFailed(str(fault)) from None
