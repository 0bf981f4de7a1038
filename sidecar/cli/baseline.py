"""Baselines: `baseline build` sums up training data, `merge` adds up what was built in parts, `show` prints one.

Keeps: where a baseline is to go is looked at before a row is read, for reading may take long. Sums nothing up itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.baseline_destination import Destination, with_destination
from sidecar.cli.baseline_table import show_command
from sidecar.cli.failure import CommandFailed
from sidecar.cli.progress import Tell, bar

if TYPE_CHECKING:
    from registry_client.summary import Summary

# The most that one part may have; what is in it is checked by whoever reads it.
_PART_LIMIT_BYTES = 1 << 30


@click.group("baseline")
def baseline_command() -> None:
    """Build, merge or show a baseline: what training saw."""


@baseline_command.command("build")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("--prediction", metavar="COLUMN", help="The model's own output in the data.")
@click.option("--outcome", metavar="COLUMN", help="The truth.")
@click.option("--time", metavar="COLUMN", help="When each row happened: tells how much days differ; not a feature.")
@click.option("--exclude", metavar="COLUMN", multiple=True, help="Not a feature either; may be given again.")
@with_destination
def build_command(
    data: tuple[str, ...],
    prediction: str | None,
    outcome: str | None,
    time: str | None,
    exclude: tuple[str, ...],
    destination: Destination,
) -> None:
    """Build a baseline from CSV or Parquet: files, folders (all files in them) or quoted patterns like 'day-*.parquet'.

    With --partial the result is a part for `baseline merge`, for instance of one day or of one machine's rows.
    """
    destination.check()
    from registry_client import build_from_file  # noqa: PLC0415
    from registry_client.summary import summarise  # noqa: PLC0415

    with _failing_plainly():
        with bar("reading rows") as progress:
            build = summarise if destination.partial else build_from_file
            made = build(
                list(data), prediction=prediction, outcome=outcome, time=time, exclude=exclude, progress=progress
            )
        destination.keep(made)


@baseline_command.command("merge")
@click.argument("parts", nargs=-1, required=True, metavar="PART...", type=click.Path(path_type=Path))
@with_destination
def merge_command(parts: tuple[Path, ...], destination: Destination) -> None:
    """Merge parts that `baseline build --partial` made of disjoint rows; their order does not matter."""
    destination.check()
    from datetime import UTC, datetime  # noqa: PLC0415

    from registry_client.summary import merge  # noqa: PLC0415

    with _failing_plainly():
        with bar("merging parts") as progress:
            try:
                whole = merge(_read(parts, progress))
            except ValueError as unlike:
                raise CommandFailed(str(unlike)) from None
        destination.keep(whole if destination.partial else whole.baseline(now=datetime.now(UTC)))


baseline_command.add_command(show_command)


@contextmanager
def _failing_plainly() -> Iterator[None]:
    """What the registry client says is wrong, as this program says it: a sentence for each bad column."""
    from registry_client.errors import BadColumns, RegistryError  # noqa: PLC0415

    try:
        yield
    except BadColumns as bad:
        raise CommandFailed("\n".join(bad.faults)) from None
    except RegistryError as fault:
        raise CommandFailed(str(fault)) from None


def _read(parts: tuple[Path, ...], progress: Tell | None) -> Iterator[Summary]:
    """One part after the other, so that no more than one is in memory beside the sum."""
    from registry_client.errors import RegistryError  # noqa: PLC0415
    from registry_client.summary import Summary  # noqa: PLC0415

    for done, path in enumerate(parts):
        if progress is not None:
            progress(done, len(parts))
        try:
            with path.open("rb") as file:
                data = file.read(_PART_LIMIT_BYTES + 1)
        except OSError as fault:
            raise CommandFailed(f"{path} cannot be read: {(fault.strerror or str(fault)).lower()}") from None
        if len(data) > _PART_LIMIT_BYTES:
            raise CommandFailed(f"{path} is larger than {_PART_LIMIT_BYTES >> 20} MiB, which no part is")
        try:
            yield Summary.from_bytes(data)
        except RegistryError as fault:
            raise CommandFailed(f"{path}: {fault}") from None
