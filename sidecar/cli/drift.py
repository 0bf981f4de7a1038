"""What is known about inputs and predictions: `drift`; `drift freeze` sets what the recent ones are compared with."""

from __future__ import annotations

import click

from sidecar.cli.answers import Drift, Feature, FrozenReference
from sidecar.cli.client import AdminClient
from sidecar.cli.connection import as_json_option, deployment_argument, deployment_path, with_admin_api
from sidecar.cli.failure import printable
from sidecar.cli.tables import console, share, table, text


class _ShowsByDefault(click.Group):
    """Whatever is no verb of the group is the deployment, or an option, of `show`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts `show` in front where no verb stands."""
        named = args[:1] and args[0] in ("freeze", "show")
        return super().parse_args(ctx, args if named else ["show", *args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """`show` is what the group itself does."""
        return [name for name in super().list_commands(ctx) if name != "show"]


@click.group("drift", cls=_ShowsByDefault, invoke_without_command=True)
def drift_command() -> None:
    """Show live inputs and predictions against training, or against the frozen reference."""


@drift_command.command("show")
@deployment_argument(required=False)
@click.option("--against", type=click.Choice(["training", "recent"]), default="training", show_default=True)
@with_admin_api
@as_json_option
def show_command(api: AdminClient, deployment: str | None, against: str, as_json: bool) -> None:
    """Show live inputs and predictions against training, or against recent traffic."""
    answer = api.get(f"{deployment_path(api, deployment)}/drift", against=against)
    if as_json:
        click.echo(answer.text)
        return
    found = answer.read_as(Drift)
    out = console()
    if against == "training" and found.baseline.digest is None:
        out.print(text("there is no baseline: nothing is judged (`sidecar baseline build` makes one)"))
    out.print(text("severity ") + text(found.severity) + text(f", {found.rows_sampled} of {found.rows_seen} rows"))
    features = sorted(found.features, key=lambda feature: (not feature.alarm, -(feature.psi or 0.0)))
    rows = [_feature(feature, feature.name) for feature in features]
    if found.prediction is not None:
        rows.insert(0, _feature(found.prediction, f"{found.prediction.name} (prediction)"))
    columns = ("feature", "n", "PSI", "KL at least", "missing", "never seen", "", "cause")
    out.print(table(columns, rows, right=("n", "PSI", "KL at least", "missing", "never seen")))
    if found.shift is not None:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in found.shift.shares.items())
        out.print(text(f"the predictions' shift goes with {shares} (shares need not add up)"))


@drift_command.command("freeze")
@deployment_argument(required=False)
@click.option("--reason", required=True, help="Why; it is kept in the audit trail.")
@with_admin_api
@as_json_option
def freeze_command(api: AdminClient, deployment: str | None, reason: str, as_json: bool) -> None:
    """Make live traffic up to now what `--against recent` compares with."""
    answer = api.post(f"{deployment_path(api, deployment)}/drift/reference", {"reason": reason})
    if as_json:
        click.echo(answer.text)
        return
    frozen = answer.read_as(FrozenReference)
    rows = "" if frozen.rows is None else f" with {frozen.rows} rows"
    click.echo(printable(f"the reference is frozen{rows} as of {frozen.at} (audit {frozen.audit_seq})"))


def _feature(feature: Feature, name: str) -> tuple[object, ...]:
    return (
        name,
        feature.n,
        feature.psi,
        feature.kl_lower,
        share(feature.missing),
        share(feature.unseen),
        "alarm" if feature.alarm else "",
        feature.cause.says if feature.cause else None,
    )
