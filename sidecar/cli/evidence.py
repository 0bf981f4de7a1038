"""What is known about a challenger: `gates` and `comparison`."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.table import Table

from sidecar.cli.answers import Comparison, Gate, Gates
from sidecar.cli.client import AdminClient
from sidecar.cli.connection import as_json_option, deployment_path, with_admin_api
from sidecar.cli.tables import console, share, table, text

_challenger_option = click.option("--challenger", help="Its version; needed only where there are several.")


@click.command("gates")
@click.argument("deployment", required=False)
@_challenger_option
@with_admin_api
@as_json_option
@click.pass_context
def gates_command(
    context: click.Context, api: AdminClient, deployment: str | None, challenger: str | None, as_json: bool
) -> None:
    """Show whether the challenger may take over. Exit code 0 if every gate passes, else 1."""
    answer = api.get(f"{deployment_path(api, deployment)}/gates", challenger=challenger)
    gates = answer.read_as(Gates)
    if as_json:
        click.echo(answer.text)
    else:
        out = console()
        title = text(f"{gates.deployment or deployment or ''} {gates.challenger} against champion {gates.champion}: ")
        out.print(title + text(gates.verdict))
        out.print(gate_table(gates.gates))
        out.print(text(f"evidence {gates.evidence}", style="dim"))
    context.exit(0 if gates.verdict == "pass" else 1)


@click.command("comparison")
@click.argument("deployment", required=False)
@_challenger_option
@with_admin_api
@as_json_option
def comparison_command(api: AdminClient, deployment: str | None, challenger: str | None, as_json: bool) -> None:
    """Show the challenger beside the champion on the same requests."""
    answer = api.get(f"{deployment_path(api, deployment)}/comparison", challenger=challenger)
    if as_json:
        click.echo(answer.text)
        return
    found = answer.read_as(Comparison)
    difference = found.score_difference
    rows: list[tuple[str, object]] = [
        ("copies mirrored", found.mirrored),
        ("copies answered", found.answered),
        ("errors", _counts(found.errors)),
        ("dropped", _counts(found.dropped)),
        ("pairs (rows)", found.pairs),
        ("agreement", _interval(found)),
        ("noise floor", share(found.noise_floor)),
        ("score difference, mean", difference.mean if difference else None),
        ("score difference, mean size", difference.mean_abs if difference else None),
        ("score difference, p95", difference.p95 if difference else None),
        ("score difference, largest", difference.max if difference else None),
        ("champion's latency, p50 / p99", _latency(found.latency_ms.champion.p50, found.latency_ms.champion.p99)),
        ("challenger's latency, p50 / p99", _latency(found.latency_ms.challenger.p50, found.latency_ms.challenger.p99)),
    ]
    out = console()
    if found.challenger and found.champion:
        out.print(text(f"challenger {found.challenger} beside champion {found.champion}"))
    out.print(table(("", ""), rows))


def gate_table(gates: Sequence[Gate]) -> Table:
    """The gates as rows; also shown where a promotion is refused."""
    rows = [(gate.name, gate.verdict, gate.observed, gate.required, gate.n, gate.detail) for gate in gates]
    return table(("gate", "verdict", "observed", "required", "n", "detail"), rows, right=("n",))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()) if number) or "none"


def _interval(found: Comparison) -> str | None:
    agreement = found.agreement
    if agreement is None:
        return None
    return f"{agreement.value:.2%} (between {agreement.lower:.2%} and {agreement.upper:.2%})"


def _latency(p50: float | None, p99: float | None) -> str | None:
    return None if p50 is None or p99 is None else f"{p50:.3g} ms / {p99:.3g} ms"
