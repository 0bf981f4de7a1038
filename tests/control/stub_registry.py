"""A registry of artifacts in memory that a test can break."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from registry_client.baseline import Baseline
from registry_client.errors import NotFound, RegistryError
from registry_client.model import ModelVersion

WHEN = datetime(2026, 11, 23, tzinfo=UTC)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def one_file(into: Path, content: bytes) -> Path:
    (into / "model.onnx").write_bytes(content)
    return into / "model.onnx"


class StubRegistry:
    """`fault` is raised by every call, `put` writes an artifact, `digest` is what the registry says of it."""

    def __init__(self, contents: Mapping[tuple[str, str], bytes]) -> None:
        self.contents = dict(contents)
        self.fault: RegistryError | None = None
        self.put: Callable[[Path, bytes], Path] = one_file
        self.digest: Callable[[bytes], str | None] = digest_of
        self.hangs = False
        self.asked = self.fetched = 0

    def known(self, model: str, version: str) -> ModelVersion:
        if self.fault is not None:
            raise self.fault
        if (model, version) not in self.contents:
            raise NotFound(f"model {model!r} has no version {version!r}")
        digest = self.digest(self.contents[model, version])
        return ModelVersion(model=model, version=version, created_at=WHEN, digest=digest)

    async def version(self, model: str, version: str) -> ModelVersion:
        self.asked += 1
        return self.known(model, version)

    async def artifact(self, model: str, version: str, into: Path) -> Path:
        self.known(model, version)
        self.fetched += 1
        if self.hangs:
            await asyncio.Event().wait()
        return self.put(into, self.contents[model, version])

    async def versions(self, model: str) -> tuple[ModelVersion, ...]:
        return tuple(self.known(*key) for key in self.contents if key[0] == model)

    async def by_alias(self, model: str, alias: str) -> ModelVersion:
        raise NotFound(f"model {model!r} has no alias {alias!r}")

    async def aliases(self, model: str) -> Mapping[str, str]:
        return {}

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        raise NotFound("there are no aliases here")

    async def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> ModelVersion:
        return self.known(model, version)

    async def baseline(self, model: str, version: str) -> Baseline:
        raise NotFound("there are no baselines here")

    async def put_baseline(self, model: str, version: str, baseline: Baseline) -> ModelVersion:
        return self.known(model, version)

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
        raise NotFound("nothing is registered here")

    async def close(self) -> None:
        """Nothing is open."""
