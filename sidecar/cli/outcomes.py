"""`outcomes`: posts the truth that arrived late. A file is checked to its end before anything of it is posted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from sidecar.cli.answers import OutcomeCounts
from sidecar.cli.client import AdminClient
from sidecar.cli.connection import with_admin_api
from sidecar.cli.failure import CommandFailed
from sidecar.cli.outcome_file import Outcome, outcomes_in
from sidecar.cli.progress import bar

CHUNK = 1_000


@click.command("outcomes")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@with_admin_api
@click.option("--json", "as_json", is_flag=True, help="Print the summed counts as JSON.")
def outcomes_command(api: AdminClient, path: Path, as_json: bool) -> None:
    """Post outcomes from a CSV (request_id,outcome[,row,at]), JSON lines or Parquet file.

    Every line is checked before anything is posted. Posting a file again is safe: repeats count as duplicate.
    """
    try:
        total = sum(1 for _ in outcomes_in(path))
    except CommandFailed as wrong:
        raise CommandFailed(f"{wrong.message} (nothing was posted)") from None
    counts = dict.fromkeys(OutcomeCounts.__struct_fields__, 0)
    posted = 0
    with bar("posting outcomes") as tell:
        for chunk in _chunks(outcomes_in(path)):
            try:
                answered = api.post("/v1/outcomes", {"outcomes": chunk}).read_as(OutcomeCounts)
            except CommandFailed as failed:
                raise _stopped(failed, posted, total) from None
            for name in counts:
                counts[name] += getattr(answered, name)
            posted += len(chunk)
            if tell is not None:
                tell(posted, total)
    if as_json:
        click.echo(msgspec.json.encode(counts))
    else:
        noun = "outcome" if posted == 1 else "outcomes"
        said = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        click.echo(f"{posted} {noun} posted: {said or 'none counted'}")


def _stopped(failed: CommandFailed, posted: int, total: int) -> CommandFailed:
    if not posted:
        return failed
    return CommandFailed(
        f"{failed.message}; {posted} of {total} outcomes were posted before; posting the whole file again is safe"
    )


def _chunks(outcomes: Iterator[Outcome]) -> Iterator[list[Outcome]]:
    while chunk := list(itertools.islice(outcomes, CHUNK)):
        yield chunk
