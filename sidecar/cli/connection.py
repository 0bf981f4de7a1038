"""The options that every command on a running sidecar takes, and the deployment that need not be named."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import click

from sidecar.cli import completing
from sidecar.cli.failure import CommandFailed

if TYPE_CHECKING:
    from sidecar.cli.client import AdminClient

DEFAULT_URL = "http://127.0.0.1:8081"

Options = ParamSpec("Options")


def with_admin_api(function: Callable[Concatenate[AdminClient, Options], None]) -> Callable[..., None]:
    """Adds the options of a call; the command gets a client as its first argument."""

    @click.option("--url", envvar="SIDECAR_URL", default=DEFAULT_URL, show_default=True, help="Admin address.")
    @click.option("--token", envvar="SIDECAR_TOKEN", help="Better in SIDECAR_TOKEN: others may see arguments.")
    @click.option("--ca", envvar="SIDECAR_CA", help="Authorities that are believed for https://, in place of system's.")
    @click.option("--cert", envvar="SIDECAR_CERT", help="Certificate that is shown, its key in it or in --key.")
    @click.option("--key", envvar="SIDECAR_KEY", help="Its key, without a password.")
    @functools.wraps(function)
    def with_client(
        url: str,
        token: str | None,
        ca: str | None,
        cert: str | None,
        key: str | None,
        *args: Options.args,
        **options: Options.kwargs,
    ) -> None:
        from sidecar.cli.client import AdminClient, SecureBy  # noqa: PLC0415  # keeps help fast

        function(AdminClient(url, token, secure_by=SecureBy(ca, cert, key)), *args, **options)

    return with_client


deployment_argument = functools.partial(click.argument, "deployment", shell_complete=completing.deployments)
version_argument = functools.partial(click.argument, "version", shell_complete=completing.versions)
challenger_option = click.option(
    "--challenger", shell_complete=completing.versions, help="Its version; needed only where there are several."
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as it came.")


def deployment_path(api: AdminClient, name: str | None) -> str:
    """The path of a deployment; of the sole one where none is named."""
    from sidecar.cli.answers import Deployments  # noqa: PLC0415
    from sidecar.cli.client import segment  # noqa: PLC0415

    if name is None:
        names = [item.name for item in api.get("/v1/deployments").read_as(Deployments).items]
        if not names:
            raise CommandFailed("the sidecar has no deployments; add one to its configuration")
        if len(names) > 1:
            raise CommandFailed(f"there are several deployments; name one of {', '.join(names)}")
        name = names[0]
    if not name:
        raise CommandFailed("the deployment's name is empty")
    return f"/v1/deployments/{segment(name)}"
