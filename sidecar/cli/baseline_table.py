"""`baseline show`: a baseline as a table for people, or with --json as the document that it is.

Keeps: only a document whose counts and digest hold is shown. Every figure is read off it; none is made here but the
calibration error, a mean over the bins.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.failure import CommandFailed
from sidecar.cli.tables import console, share, sparkline, table, text

if TYPE_CHECKING:
    from registry_client import Baseline, FeatureBaseline
    from registry_client.baseline import Calibration

_FILE_LIMIT_BYTES = 64 << 20
_COLUMNS = ("feature", "kind", "shape", "missing", "minimum", "mean", "maximum")
_BY_TIME = ("ε_nat", "φ")
_FREQUENT = "most frequent"
_STEPS = 16
_OUTER = 5  # of 512 quantiles: one in a hundred


@click.command("show")
@click.argument("path", metavar="BASELINE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the document, read and checked.")
def show_command(path: Path, as_json: bool) -> None:
    """Show a baseline: its features with the shape of each, and what the drift watch takes from it."""
    from registry_client import RegistryError, from_json  # noqa: PLC0415

    document = _read(path)
    try:
        baseline = from_json(document)
    except RegistryError as fault:
        raise CommandFailed(f"{path}: {fault}") from None
    if as_json:
        click.echo(document)
        return
    out = console()
    named = f"{baseline.model} version {baseline.version}, " if baseline.model else ""
    built = baseline.created_at.isoformat(" ", "minutes")  # with the zone that it was written in
    out.print(text(f"{named}{baseline.rows} rows, built {built}, {baseline.digest}"))
    by_time = baseline.time is not None
    rows = [_row(feature, feature.name, by_time=by_time) for feature in baseline.features]
    if baseline.prediction is not None:
        rows.append(_row(baseline.prediction, f"{baseline.prediction.name} (prediction)", by_time=by_time))
    columns = (*_COLUMNS, *(_BY_TIME if by_time else ()), _FREQUENT)
    out.print(table(columns, rows, right=("missing", "minimum", "mean", "maximum", *_BY_TIME)))
    for line in _remarks(baseline):
        out.print(text(line))


def _row(feature: FeatureBaseline, name: str, *, by_time: bool) -> tuple[object, ...]:
    frequent = None
    if feature.kind == "categorical" and feature.categories:
        top = sorted(zip(feature.counts, feature.categories, strict=False), reverse=True)[:3]
        frequent = ", ".join(category for _, category in top)
    known = feature.blocks > 0
    variation = (f"{feature.natural_variation:.2g}", f"{feature.overdispersion:.3g}") if known else (None, None)
    return (
        name,
        feature.kind,
        _shape(feature),
        share(feature.missing / feature.n if feature.n else None),
        feature.minimum,
        feature.mean,
        feature.maximum,
        *(variation if by_time else ()),
        frequent,
    )


def _shape(feature: FeatureBaseline) -> str:
    """A bar for each frequent category, or for each of 16 equal steps from the 1st to the 99th percentile.

    The frozen cells of numbers would show nothing: they are cut so that all hold the same mass.
    """
    if feature.kind == "categorical":
        return sparkline(feature.counts[: len(feature.categories)])
    middle = feature.quantiles[_OUTER:-_OUTER]
    width = middle[-1] / _STEPS - middle[0] / _STEPS
    if width <= 0.0:
        return sparkline([len(middle)])
    counts = [0] * _STEPS
    for value in middle:
        counts[min(_STEPS - 1, int(value / width - middle[0] / width))] += 1
    return sparkline(counts)


def _remarks(baseline: Baseline) -> Iterator[str]:
    """What belongs to no single feature, a line each."""
    source = baseline.source
    if source.name or source.digest:
        files = f" ({source.files} files)" if source.files > 1 else ""
        yield f"source: {source.name}{files}{f', {source.digest}' if source.digest else ''}"
    if (time := baseline.time) is not None:
        length = "a day" if time.days_per_block == 1 else f"{time.days_per_block} days"
        undated = f"; {time.undated} rows without a time" if time.undated else ""
        yield f"time {time.column}: {time.blocks} blocks of {length}, {time.first_day} to {time.last_day}{undated}"
    else:
        yield "no time column: how much days differ is unknown and counts as nothing (ε_nat 0, φ 1)"
    sampled = [feature.name for feature in baseline.features if feature.categories_sampled]
    if sampled:
        yield f"too many different texts to keep, a sample counts as known: {', '.join(sampled)}"
    if (truth := baseline.outcome) is not None:
        positives = "" if truth.positives is None or not truth.n else f", {truth.positives / truth.n:.2%} positive"
        yield f"outcome {truth.name}: {truth.n} rows{positives}"
    if baseline.calibration is not None:
        error = calibration_error(baseline.calibration)
        yield f"calibration: {len(baseline.calibration.counts)} bins of scores, expected error {error:.4f}"


def calibration_error(calibration: Calibration) -> float:
    """The expected calibration error: the mean over rows of |share of positives - mean score| of their bin.

    Reference: Naeini, Cooper, Hauskrecht 2015 (AAAI), with the bins that the baseline has.
    """
    bins = zip(calibration.counts, calibration.positives, calibration.means, strict=True)
    distances = sum(abs(positives - count * mean) for count, positives, mean in bins)
    rows = sum(calibration.counts)
    return distances / rows if rows else 0.0


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_LIMIT_BYTES + 1)
    except OSError as fault:
        raise CommandFailed(f"{path} cannot be read: {(fault.strerror or str(fault)).lower()}") from None
