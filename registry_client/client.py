"""What every registry can do, and how one is opened from its address.

Invariant: the interface is the same for all backends and every fault is a RegistryError. It holds no backend's
knowledge. Called by the sidecar's registry sync, its command line, and pipelines that register models.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from registry_client.access import Access
from registry_client.baseline import Baseline
from registry_client.directory import DirectoryRegistry
from registry_client.errors import RegistryError
from registry_client.model import ModelVersion

_MLFLOW = {"mlflow+http": "http", "mlflow+https": "https"}
_SCHEMES = "file:./folder, file:/folder, file:///folder, mlflow+http://host:port or mlflow+https://host"


class Registry(Protocol):
    """Model versions and what hangs on them. Every method may raise Unreachable and InvalidName besides its own."""

    async def version(self, model: str, version: str) -> ModelVersion:
        """One version; NotFound."""

    async def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """All versions of a model, oldest first; NotFound where there is no such model."""

    async def by_alias(self, model: str, alias: str) -> ModelVersion:
        """The version an alias points at; NotFound."""

    async def aliases(self, model: str) -> Mapping[str, str]:
        """Alias to version; NotFound where there is no such model."""

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at an existing version; NotFound."""

    async def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> ModelVersion:
        """Add these tags to a version, replacing those of the same key; NotFound."""

    async def baseline(self, model: str, version: str) -> Baseline:
        """The baseline beside a version; NotFound, DigestMismatch, InvalidDocument."""

    async def put_baseline(self, model: str, version: str, baseline: Baseline) -> ModelVersion:
        """Store or replace the baseline beside a version; NotFound, InvalidDocument."""

    async def artifact(self, model: str, version: str, into: Path) -> Path:
        """Copy the artifact into the folder `into` and return its path; NotFound, DigestMismatch."""

    async def register(
        self,
        model: str,
        version: str,
        *,
        artifact: Path | None = None,
        baseline: Baseline | None = None,
        lineage: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Register a new version; AlreadyExists, NotFound where there is no such artifact file."""

    async def close(self) -> None:
        """Let go of whatever the registry holds open."""


def open_registry(uri: str, *, access: Access | None = None) -> Registry:
    """The registry at an address such as `file:./registry`; RegistryError where the address will not do.

    Without `access` a registry that needs any takes it from the environment, by the names that its own client uses.
    """
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.lower()
    if colon and scheme in _MLFLOW:
        # Its HTTP client takes longer to import than everything else together.
        from registry_client.mlflow import MlflowRegistry  # noqa: PLC0415

        return MlflowRegistry(f"{_MLFLOW[scheme]}:{rest}", access or Access.from_environment(os.environ))
    if not colon or scheme != "file":
        raise RegistryError(f"{_shown(uri)!r} is not a registry this version can open; supported: {_SCHEMES}")
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        if authority not in {"", "localhost"}:
            raise RegistryError(f"{_shown(uri)!r} names the host {authority!r}; supported: {_SCHEMES}")
        rest = slash + path
    folder = unquote(rest)
    if not folder or "\0" in folder:
        raise RegistryError(f"{_shown(uri)!r} names no folder; supported: {_SCHEMES}")
    return DirectoryRegistry(Path(folder))


def _shown(uri: str) -> str:
    """The address without what may be a password in it."""
    head, at, tail = uri.rpartition("@")
    return f"{head.partition('//')[0]}//…@{tail}" if at else uri
