"""The commands on the shadow: `challenger set`, `challenger remove`, `shadow on`, `shadow off`.

They count at once and over restarts. Exit code 1: refused; 2: could not be asked, or not understood.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from sidecar.cli.answers import ShadowChange
from sidecar.cli.client import AdminClient, Answer, Problem, segment
from sidecar.cli.connection import (
    as_json_option,
    deployment_argument,
    deployment_path,
    version_argument,
    with_admin_api,
)
from sidecar.cli.failure import CommandRefused, printable

_CONFLICT = 409

_reason_option = click.option("--reason", default="", help="Why; it is kept in the audit trail.")


@click.group("challenger")
def challenger_command() -> None:
    """Set or remove a challenger, without a restart."""


@challenger_command.command("set")
@deployment_argument()
@version_argument()
@click.option("--model-url", metavar="URL", help="http(s)://HOST:PORT or unix:/path; required for a new one.")
@click.option("--path", help="Another path there.")
@click.option("--fraction", type=float, help="Share of the requests that is copied, 0 to 1.")
@click.option("--timeout-s", type=float, help="A copy that takes longer is given up.")
@click.option("--max-inflight", type=int, help="Copies under way at once.")
@click.option("--copy-bytes", type=int, help="Bytes that its unfinished copies may hold, in each worker.")
@click.option("--max-per-s", type=float, help="Copies per second, in each worker; 0: no ceiling.")
@click.option("--ramp-s", type=float, help="How long until that ceiling is reached.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of its own; all at once.")
@_reason_option
@with_admin_api
@as_json_option
def set_command(
    api: AdminClient,
    /,
    deployment: str,
    version: str,
    model_url: str | None,
    headers: tuple[str, ...],
    reason: str,
    as_json: bool,
    **settings: str | float | None,
) -> None:
    """Add a challenger, or change the given settings of one; the others stay."""
    body: dict[str, object] = {name: value for name, value in settings.items() if value is not None}
    if model_url is not None:
        body["url"] = model_url
    if headers:
        body["headers"] = dict(_header(text) for text in headers)
    if not body:
        raise click.UsageError("give at least one setting to change")
    path = f"{deployment_path(api, deployment)}/challengers/{segment(version)}"
    answer = _asked(lambda: api.put(path, _with_reason(body, reason)), as_json)
    _show(answer, f"{deployment}: challenger {version}", as_json)


@challenger_command.command("remove")
@deployment_argument()
@version_argument()
@_reason_option
@with_admin_api
@as_json_option
def remove_command(api: AdminClient, deployment: str, version: str, reason: str, as_json: bool) -> None:
    """Take a challenger out of the shadow."""
    path = f"{deployment_path(api, deployment)}/challengers/{segment(version)}"
    answer = _asked(lambda: api.delete(path, _with_reason({}, reason)), as_json)
    _show(answer, f"{deployment}: challenger {version}", as_json)


@click.group("shadow")
def shadow_command() -> None:
    """The kill switch: all copies of a deployment, at once and over restarts."""


@shadow_command.command("on")
@deployment_argument()
@_reason_option
@with_admin_api
@as_json_option
def on_command(api: AdminClient, deployment: str, reason: str, as_json: bool) -> None:
    """Send copies to the challengers again."""
    _switch(api, deployment, reason, enabled=True, as_json=as_json)


@shadow_command.command("off")
@deployment_argument()
@_reason_option
@with_admin_api
@as_json_option
def off_command(api: AdminClient, deployment: str, reason: str, as_json: bool) -> None:
    """Send no copies any more."""
    _switch(api, deployment, reason, enabled=False, as_json=as_json)


def _switch(api: AdminClient, deployment: str, reason: str, *, enabled: bool, as_json: bool) -> None:
    path = f"{deployment_path(api, deployment)}/shadow"
    answer = _asked(lambda: api.post(path, _with_reason({"enabled": enabled}, reason)), as_json)
    _show(answer, f"{deployment}: shadow", as_json)


def _with_reason(body: dict[str, object], reason: str) -> dict[str, object]:
    return body | {"reason": reason} if reason else body


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        # The text itself may be a secret that was meant as a value.
        raise click.UsageError("a header is NAME:VALUE; one of those given has no colon")
    return name.strip(), value.strip()


def _asked(call: Callable[[], Answer], as_json: bool) -> Answer:
    try:
        return call()
    except Problem as problem:
        if problem.status != _CONFLICT:
            raise
        if as_json and problem.answer is not None:
            click.echo(problem.answer.text)
        raise CommandRefused(problem.message) from None


def _show(answer: Answer, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(answer.text)
        return
    change = answer.read_as(ShadowChange)
    kept = "" if change.audit_seq is None else f" (audit {change.audit_seq})"
    done = "is so already" if change.done == "unchanged" else change.done
    click.echo(printable(f"{what} {done}{kept}"))
