"""Commands that start something, and `check`, which says beforehand whether it would start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.failure import CommandFailed, printable

if TYPE_CHECKING:
    from sidecar.config import Settings

_config_option = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("config.yaml"),
    show_default=True,
    help="The configuration file.",
)


@click.command("run")
@_config_option
@click.pass_context
def run_command(context: click.Context, path: Path) -> None:
    """Start the sidecar. SIGTERM drains, SIGHUP reloads the configuration."""
    _load(path)  # a faulty file is told without loading the servers
    from sidecar.supervisor import run  # noqa: PLC0415

    try:
        code = run(path)
    except OSError as fault:
        where = f" ({fault.filename})" if fault.filename else ""
        raise CommandFailed(f"the sidecar cannot start: {(fault.strerror or str(fault)).lower()}{where}") from None
    context.exit(code)


@click.command("check")
@_config_option
def check_command(path: Path) -> None:
    """Check a configuration file and name every fault with its line and key. Starts nothing."""
    settings = _load(path)
    deployments = len(settings.deployments)
    challengers = sum(len(deployment.challengers) for deployment in settings.deployments)
    counted = f"{_count(deployments, 'deployment')}, {_count(challengers, 'challenger')}"
    click.echo(printable(f"{path}: ok: {counted}"))


@click.command("demo")
@click.option("--once", is_flag=True, help="Play it faster, verify each step, and exit.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The data plane's port.")
@click.option("--admin-port", type=click.IntRange(0, 65535), default=8081, show_default=True, help="The dashboard's.")
@click.pass_context
def demo_command(context: click.Context, once: bool, port: int, admin_port: int) -> None:
    """Play the whole story on embedded models: shadow, promote, a broken feed, rollback."""
    from sidecar.demo import story  # noqa: PLC0415

    context.exit(story.main(once=once, port=port, admin_port=admin_port))


@click.command("serve-model")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The model's name in the path /v2/models/NAME/infer.")
@click.option("--version", required=True, help="The version it answers as.")
@click.option("--listen", default="127.0.0.1:8000", show_default=True, help="HOST:PORT or unix:/path.")
def serve_model_command(model: Path, name: str, version: str, listen: str) -> None:
    """Serve one ONNX model by the Open Inference Protocol V2."""
    from sidecar.model_server import ModelServerError, run_model_server  # noqa: PLC0415

    try:
        run_model_server(model, name, version, listen)
    except ModelServerError as fault:
        raise CommandFailed(str(fault)) from None


def _load(path: Path) -> Settings:
    from sidecar.config_file import ConfigFaults, load  # noqa: PLC0415

    try:
        return load(path)
    except ConfigFaults as faults:
        raise CommandFailed(str(faults)) from None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
