"""Baselines: `baseline build` sums up training data, `baseline show` prints what a baseline holds."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.failure import CommandFailed, printable
from sidecar.cli.tables import console, share, sparkline, table, text

if TYPE_CHECKING:
    from registry_client import Baseline, FeatureBaseline

_FILE_LIMIT_BYTES = 64 << 20


@click.group("baseline")
def baseline_command() -> None:
    """Build or show a baseline: what training saw."""


@baseline_command.command("build")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the baseline here.")
@click.option("--prediction", metavar="COLUMN", help="The model's own output in the data.")
@click.option("--outcome", metavar="COLUMN", help="The truth.")
@click.option("--time", metavar="COLUMN", help="When each row happened; not a feature.")
@click.option("--exclude", metavar="COLUMN", multiple=True, help="Not a feature either; may be given again.")
@click.option("--model", help="With --version and --registry: store it beside this model's version.")
@click.option("--version")
@click.option("--registry", "registry_uri", metavar="URI", help="For example file:./registry.")
def build_command(
    data: Path,
    output: Path | None,
    prediction: str | None,
    outcome: str | None,
    time: str | None,
    exclude: tuple[str, ...],
    model: str | None,
    version: str | None,
    registry_uri: str | None,
) -> None:
    """Build a baseline from a CSV or Parquet file of training data."""
    if bool(model) != bool(version) or (registry_uri and not model):
        raise CommandFailed("--registry needs --model and --version, and these two go together")
    if output is None and registry_uri is None:
        raise CommandFailed("say where the baseline goes: -o baseline.json, or --registry, --model and --version")
    from registry_client import RegistryError, build_from_file, named_for, to_json  # noqa: PLC0415

    try:
        with _progress() as progress:
            baseline = build_from_file(
                data, prediction=prediction, outcome=outcome, time=time, exclude=exclude, progress=progress
            )
        if model and version:
            baseline = named_for(baseline, model, version)
        if output is not None:
            _write(output, to_json(baseline))
        if registry_uri and model and version:
            asyncio.run(_store(registry_uri, model, version, baseline))
    except RegistryError as fault:
        raise CommandFailed(str(fault)) from None
    places = [str(output)] if output is not None else []
    places += [f"{registry_uri} beside {model} version {version}"] if registry_uri else []
    summed = f"{baseline.rows} rows, {len(baseline.features)} features"
    click.echo(printable(f"{' and '.join(places)}: {summed}, {baseline.digest}"))


@baseline_command.command("show")
@click.argument("path", metavar="BASELINE", type=click.Path(path_type=Path))
def show_command(path: Path) -> None:
    """Show a baseline's features, each with the shape of its distribution."""
    from registry_client import RegistryError, from_json  # noqa: PLC0415

    try:
        baseline = from_json(_read(path))
    except RegistryError as fault:
        raise CommandFailed(f"{path}: {fault}") from None
    out = console()
    named = f"{baseline.model} version {baseline.version}, " if baseline.model else ""
    built = baseline.created_at.isoformat(" ", "minutes")  # with the zone that it was written in
    out.print(text(f"{named}{baseline.rows} rows, built {built}, {baseline.digest}"))
    rows = [_row(feature, feature.name) for feature in baseline.features]
    if baseline.prediction is not None:
        rows.append(_row(baseline.prediction, f"{baseline.prediction.name} (prediction)"))
    columns = ("feature", "kind", "shape", "missing", "minimum", "mean", "maximum", "most frequent")
    out.print(table(columns, rows, right=("missing", "minimum", "mean", "maximum")))
    if baseline.outcome is not None:
        truth = baseline.outcome
        positives = "" if truth.positives is None or not truth.n else f", {truth.positives / truth.n:.2%} positive"
        out.print(text(f"outcome {truth.name}: {truth.n} rows{positives}"))


def _row(feature: FeatureBaseline, name: str) -> tuple[object, ...]:
    cells = feature.cells
    # Training leaves the cells below its minimum, above its maximum and "never seen" empty; missing is a column here.
    first = 1 if feature.kind == "numeric" else 0
    shape = sparkline(feature.counts[first : cells.missing_index - 1])
    frequent = None
    if feature.kind == "categorical" and feature.categories:
        top = sorted(zip(feature.counts, feature.categories, strict=False), reverse=True)[:3]
        frequent = ", ".join(category for _, category in top)
    missing = share(feature.missing / feature.n if feature.n else None)
    return (name, feature.kind, shape, missing, feature.minimum, feature.mean, feature.maximum, frequent)


async def _store(registry_uri: str, model: str, version: str, baseline: Baseline) -> None:
    from registry_client import open_registry  # noqa: PLC0415

    registry = open_registry(registry_uri)
    try:
        await registry.put_baseline(model, version, baseline)
    finally:
        await registry.close()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_LIMIT_BYTES + 1)
    except OSError as fault:
        raise CommandFailed(f"{path} cannot be read: {(fault.strerror or str(fault)).lower()}") from None


def _write(path: Path, document: bytes) -> None:
    """Writes beside the file and renames: a reader never sees half a baseline."""
    try:
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(document)
            Path(scratch).chmod(0o644)
            Path(scratch).replace(path)
        except OSError:
            with suppress(OSError):
                Path(scratch).unlink()
            raise
    except OSError as fault:
        raise CommandFailed(f"{path} cannot be written: {(fault.strerror or str(fault)).lower()}") from None


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=console(err=True), transient=True) as bar:
        task = bar.add_task("reading columns", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
