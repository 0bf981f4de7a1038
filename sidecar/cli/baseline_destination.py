"""Where a baseline goes: a file, a registry beside a model's version, or both; or, as a part, a file alone.

Keeps: a file is there whole or not at all, and a destination that cannot be is told before the data is read.
Credentials of a registry come from the environment (`open_registry`), never from the command line.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.failure import CommandFailed, printable

if TYPE_CHECKING:
    from registry_client import Baseline, Registry
    from registry_client.summary import Summary

_OPTIONS = (
    click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the baseline here."),
    click.option("--partial", is_flag=True, help="Write a part for `baseline merge` instead of a baseline."),
    click.option("--model", help="With --version and --registry: store it beside this model's version."),
    click.option("--version"),
    click.option(
        "--registry", "registry_uri", metavar="URI", help="For example file:./registry or mlflow+http://mlflow:5000."
    ),
)


@dataclass(frozen=True, slots=True)
class Destination:
    """What the options say. At least one of `output` and `registry_uri` is there."""

    output: Path | None
    partial: bool
    model: str | None
    version: str | None
    registry_uri: str | None

    def check(self) -> None:
        """CommandFailed where the options contradict each other, or the folder or the version is not there."""
        if bool(self.model) != bool(self.version) or (self.registry_uri and not self.model):
            raise CommandFailed("--registry needs --model and --version, and these two go together")
        if self.partial and (self.output is None or self.model):
            raise CommandFailed("a part goes into a file, with -o; only a whole baseline belongs to a model's version")
        if self.output is None and self.registry_uri is None:
            raise CommandFailed("say where the baseline goes: -o baseline.json, or --registry, --model and --version")
        if self.output is not None and self.output.is_dir():
            raise CommandFailed(f"{self.output} cannot be written: is a directory")
        if self.output is not None and not self.output.parent.is_dir():
            raise CommandFailed(f"{self.output} cannot be written: no such file or directory")
        if self.registry_uri and self.model and self.version:
            model, version = self.model, self.version
            self._ask(self.registry_uri, lambda registry: registry.version(model, version))

    def keep(self, made: Baseline | Summary) -> None:
        """Writes and stores it, and says where it is."""
        from registry_client.summary import Summary  # noqa: PLC0415

        if isinstance(made, Summary):
            self._keep_part(made)
        else:
            self._keep_baseline(made)

    def _keep_baseline(self, baseline: Baseline) -> None:
        from registry_client import named_for, to_json  # noqa: PLC0415

        if self.model and self.version:
            baseline = named_for(baseline, self.model, self.version)
        places = []
        if self.output is not None:
            _write(self.output, to_json(baseline))
            places.append(str(self.output))
        if self.registry_uri and self.model and self.version:
            model, version = self.model, self.version
            self._ask(self.registry_uri, lambda registry: registry.put_baseline(model, version, baseline))
            places.append(f"{self.registry_uri} beside {model} version {version}")
        summed = f"{baseline.rows} rows, {len(baseline.features)} features"
        click.echo(printable(f"{' and '.join(places)}: {summed}, {baseline.digest}"))

    def _keep_part(self, summary: Summary) -> None:
        if self.output is None:
            raise CommandFailed("a part goes into a file, with -o")
        _write(self.output, summary.to_bytes())
        summed = f"{summary.rows} rows, {len(summary.columns)} columns"
        click.echo(printable(f"{self.output}: a part of {summed}; `sidecar baseline merge` makes the baseline"))

    @staticmethod
    def _ask(uri: str, question: Callable[[Registry], Any]) -> None:
        from registry_client import RegistryError  # noqa: PLC0415

        try:
            asyncio.run(_asked(uri, question))
        except RegistryError as fault:
            raise CommandFailed(str(fault)) from None


def with_destination(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of where its result goes; it gets them as `destination`."""

    @wraps(command)
    def called(
        output: Path | None,
        partial: bool,
        model: str | None,
        version: str | None,
        registry_uri: str | None,
        **others: Any,
    ) -> None:
        command(destination=Destination(output, partial, model, version, registry_uri), **others)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called


async def _asked(uri: str, question: Callable[[Registry], Any]) -> None:
    from registry_client import open_registry  # noqa: PLC0415

    registry = open_registry(uri)
    try:
        await question(registry)
    finally:
        await registry.close()


def _write(path: Path, document: bytes) -> None:
    """Writes beside the file and renames: a reader never sees half of it."""
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
