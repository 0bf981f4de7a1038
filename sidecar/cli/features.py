"""`features`: posts what an offline pipeline computed for served rows, and shows where the two pipelines differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from sidecar.cli.answers import RowsCompared, RowSkew, SkewedFeature
from sidecar.cli.client import AdminClient
from sidecar.cli.completing import deployments
from sidecar.cli.connection import as_json_option, deployment_path, with_admin_api
from sidecar.cli.failure import CommandFailed
from sidecar.cli.feature_file import Row, rows_in
from sidecar.cli.progress import bar
from sidecar.cli.tables import console, share, table, text

CHUNK = 500


@click.command("features")
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--deployment", shell_complete=deployments, help="Its name; needed only where there are several.")
@with_admin_api
@as_json_option
def features_command(api: AdminClient, path: Path | None, deployment: str | None, as_json: bool) -> None:
    """Compare served rows with what an offline pipeline computed for them, feature by feature.

    FILE is CSV (request_id[,row], then a column a feature), JSON lines or Parquet; it is checked before anything is
    posted, and posting it again is safe. Without FILE what is known already is shown.
    """
    where = f"{deployment_path(api, deployment)}/features"
    if path is not None:
        _post(api, where, path, quiet=as_json)
    answer = api.get(where)
    if as_json:
        click.echo(answer.text)
        return
    found = answer.read_as(RowSkew)
    if not found.features:
        click.echo("no row was compared yet")
        return
    out = console()
    out.print(text(f"{found.compared} rows compared since {found.since}"))
    columns = ("feature", "compared", "differ", "share", "at least", "live/offline", "live−offline", "", "live is")
    right = ("compared", "differ", "share", "at least", "live/offline", "live−offline")
    out.print(table(columns, [_shown(feature) for feature in found.features], right=right))


def _post(api: AdminClient, where: str, path: Path, *, quiet: bool) -> None:
    try:
        total = sum(1 for _ in rows_in(path))
    except CommandFailed as wrong:
        raise CommandFailed(f"{wrong.message} (nothing was posted)") from None
    counts = dict.fromkeys(RowsCompared.__struct_fields__, 0)
    posted = 0
    with bar("posting rows") as tell:
        for chunk in _chunks(rows_in(path)):
            try:
                answered = api.post(where, {"rows": chunk}).read_as(RowsCompared)
            except CommandFailed as failed:
                if not posted:
                    raise
                says = f"{failed.message}; {posted} of {total} rows were posted before; posting the whole file is safe"
                raise CommandFailed(says) from None
            for name, number in msgspec.structs.asdict(answered).items():
                counts[name] += number
            posted += len(chunk)
            if tell is not None:
                tell(posted, total)
    if not quiet:
        said = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if number)
        click.echo(f"{posted} rows posted: {said or 'none counted'}")


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk


def _shown(feature: SkewedFeature) -> tuple[object, ...]:
    return (
        feature.name,
        feature.compared,
        feature.differs,
        share(feature.share),
        share(feature.share_lower),
        feature.median_ratio,
        feature.median_difference,
        "alarm" if feature.alarm else "",
        feature.cause.says if feature.cause is not None else None,
    )
