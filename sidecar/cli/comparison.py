"""What is known of a challenger beside the champion: `comparison`, and `label-queue`, the rows that would tell more."""

from __future__ import annotations

import csv
import io

import click
import msgspec

from sidecar.cli.client import AdminClient
from sidecar.cli.connection import (
    as_json_option,
    challenger_option,
    deployment_argument,
    deployment_path,
    with_admin_api,
)
from sidecar.cli.tables import console, share, table, text


class Interval(msgspec.Struct, frozen=True):
    """A number and its anytime-valid interval."""

    value: float
    lower: float
    upper: float


class ScoreDifference(msgspec.Struct, frozen=True):
    """challenger − champion."""

    n: int
    mean: float
    mean_abs: float
    p95: float
    max: float


class Quantiles(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float | None = None
    p99: float | None = None


class Latency(msgspec.Struct, frozen=True):
    """Of both versions, on the same requests."""

    champion: Quantiles
    challenger: Quantiles
    caveat: str = ""


class Flips(msgspec.Struct, frozen=True):
    """Rows of two classes that the challenger decides otherwise."""

    n: int
    up: int
    down: int


class Noise(msgspec.Struct, frozen=True):
    """The champion asked twice."""

    rows: int
    self_disagreement: float
    disagreement: float
    excess: Interval
    says: str | None = None


class Segment(msgspec.Struct, frozen=True):
    """By outcomes."""

    segment: str
    matched: int
    inferior: bool


class Maturity(msgspec.Struct, frozen=True):
    """Rows whose outcome had its time."""

    matched: int
    coverage: float | None = None
    refused: str | None = None


class Outcomes(msgspec.Struct, frozen=True):
    """Both on the same rows with the same outcome."""

    matched: int
    better: int
    worse: int
    gaps: dict[str, Interval] = {}
    maturity: Maturity | None = None
    segments: tuple[Segment, ...] = ()


class Comparison(msgspec.Struct, frozen=True):
    """A challenger beside the champion."""

    mirrored: int
    answered: int
    pairs: int
    errors: dict[str, int]
    dropped: dict[str, int]
    agreement: Interval | None
    score_difference: ScoreDifference | None
    latency_ms: Latency
    noise_floor: float | None = None
    champion: str | None = None
    challenger: str | None = None
    lost: int = 0
    cohen_kappa: float | None = None
    spearman: float | None = None
    structure: dict[str, int] = {}
    threshold_flips: Flips | None = None
    noise: Noise | None = None
    self_test: str | None = None
    outcomes: Outcomes | None = None


class Wanted(msgspec.Struct, frozen=True):
    """A row on which the two decide differently."""

    request_id: str
    row: int
    at: str
    champion: str
    challenger: str


class LabelQueue(msgspec.Struct, frozen=True):
    """What to label next."""

    differing: int
    waiting: int
    items: tuple[Wanted, ...]


@click.command("comparison")
@deployment_argument(required=False)
@challenger_option
@with_admin_api
@as_json_option
def comparison_command(api: AdminClient, deployment: str | None, challenger: str | None, as_json: bool) -> None:
    """Show the challenger beside the champion on the same requests."""
    answer = api.get(f"{deployment_path(api, deployment)}/comparison", challenger=challenger)
    if as_json:
        click.echo(answer.text)
        return
    found = answer.read_as(Comparison)
    difference, latency, flips = found.score_difference, found.latency_ms, found.threshold_flips
    rows: list[tuple[str, object]] = [
        ("copies mirrored", found.mirrored),
        ("copies answered", found.answered),
        ("errors", _counts(found.errors)),
        ("dropped", _counts(found.dropped)),
        ("lost before they were compared", found.lost),
        ("answers of another form", _counts(found.structure)),
        ("pairs (rows)", found.pairs),
        ("agreement", _interval(found.agreement)),
        ("champion asked twice differs", share(found.noise_floor)),
        ("disagreement above that", _interval(found.noise.excess) if found.noise else None),
        ("Cohen's kappa", found.cohen_kappa),
        ("decided otherwise, up / down", f"{flips.up} / {flips.down} of {flips.n}" if flips else None),
        ("rank correlation", found.spearman),
        ("score difference, mean", difference.mean if difference else None),
        ("score difference, mean size", difference.mean_abs if difference else None),
        ("score difference, p95", difference.p95 if difference else None),
        ("score difference, largest", difference.max if difference else None),
        ("champion's latency, p50 / p99", _latency(latency.champion)),
        ("challenger's latency, p50 / p99", _latency(latency.challenger)),
        *_by_outcomes(found.outcomes),
    ]
    out = console()
    if found.challenger and found.champion:
        out.print(text(f"challenger {found.challenger} beside champion {found.champion}"))
    out.print(table(("", ""), rows))
    refused = found.outcomes.maturity.refused if found.outcomes and found.outcomes.maturity else None
    for says in (found.self_test, found.noise.says if found.noise else None, refused, latency.caveat):
        if says:
            out.print(text(says))


@click.command("label-queue")
@deployment_argument(required=False)
@challenger_option
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="So many rows.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV with an empty column `outcome`, for `sidecar outcomes`.")
@with_admin_api
@as_json_option
def label_queue_command(
    api: AdminClient, deployment: str | None, challenger: str | None, limit: int, as_csv: bool, as_json: bool
) -> None:
    """Show the rows whose outcome tells which version is better: the two decide them differently."""
    path = f"{deployment_path(api, deployment)}/label-queue"
    answer = api.get(path, challenger=challenger, limit=limit)
    found = answer.read_as(LabelQueue)
    if as_json:
        click.echo(answer.text)
    elif as_csv:
        click.echo(_csv(found), nl=False)
    else:
        out = console()
        out.print(text(f"{found.waiting} of {found.differing} rows that are decided differently wait for an outcome"))
        rows = [(one.request_id, one.row, one.champion, one.challenger, one.at) for one in found.items]
        out.print(table(("request", "row", "champion", "challenger", "at"), rows, right=("row",)))


def _csv(found: LabelQueue) -> str:
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(("request_id", "row", "outcome"))
    for one in found.items:
        lines.writerow((one.request_id, one.row, ""))  # as it is, or it would not be found again
    return written.getvalue()


def _by_outcomes(outcomes: Outcomes | None) -> list[tuple[str, object]]:
    if outcomes is None or not (outcomes.matched or outcomes.gaps):
        return []
    rows: list[tuple[str, object]] = [
        ("rows with an outcome", outcomes.matched),
        ("only challenger right / only champion", f"{outcomes.better} / {outcomes.worse}"),
    ]
    if outcomes.maturity is not None:
        rows.append(("of mature rows an outcome has", share(outcomes.maturity.coverage)))
    rows += [(f"{name}, challenger less champion", _number(gap)) for name, gap in outcomes.gaps.items()]
    worse = ", ".join(segment.segment for segment in outcomes.segments if segment.inferior)
    if outcomes.segments:
        rows.append(("worse in segments", worse or "none"))
    return rows


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()) if number) or "none"


def _interval(found: Interval | None) -> str | None:
    return None if found is None else f"{found.value:.2%} (between {found.lower:.2%} and {found.upper:.2%})"


def _number(found: Interval) -> str:
    return f"{found.value:+.4f} (between {found.lower:+.4f} and {found.upper:+.4f})"


def _latency(found: Quantiles) -> str | None:
    return (
        None if found.p50 is None or found.p99 is None else f"{_milliseconds(found.p50)} / {_milliseconds(found.p99)}"
    )


def _milliseconds(value: float) -> str:
    """Three digits that count; whole ones above."""
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"
