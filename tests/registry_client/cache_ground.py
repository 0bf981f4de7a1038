"""A registry that can be spoiled, with one model of two versions, and what caches it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry_client.baseline import Baseline
from registry_client.cache import CachedRegistry
from registry_client.from_columns import build_baseline
from tests.registry_client.hostile_registry import Clock, HostileRegistry

ONNX = b"not really ONNX " * 100
Read = Callable[[CachedRegistry, Path], Awaitable[Any]]


async def _bytes(cached: CachedRegistry, into: Path) -> bytes:
    return (await cached.artifact("fraud", "3", into)).read_bytes()


READS: dict[str, Read] = {
    "version": lambda cached, _: cached.version("fraud", "3"),
    "versions": lambda cached, _: cached.versions("fraud"),
    "by_alias": lambda cached, _: cached.by_alias("fraud", "champion"),
    "aliases": lambda cached, _: cached.aliases("fraud"),
    "baseline": lambda cached, _: cached.baseline("fraud", "3"),
    "artifact": _bytes,
}


def baseline(seed: int = 1) -> Baseline:
    return build_baseline({"amount": [float(seed + n) for n in range(50)]}, now=datetime(2026, 1, 1, tzinfo=UTC))


class Stage:
    """A registry that can be spoiled, with one model of two versions, and what caches it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = HostileRegistry(folder / "registry")
        self.clock = Clock()
        self.cached = self.restarted()

    async def fill(self) -> None:
        (self.folder / "model.onnx").write_bytes(ONNX)
        there = self.registry.inner
        await there.register("fraud", "3", artifact=self.folder / "model.onnx", baseline=baseline())
        await there.register("fraud", "4", lineage={"data": "2026-02"})
        await there.set_alias("fraud", "champion", "3")

    def restarted(self, **changes: Any) -> CachedRegistry:
        given: dict[str, Any] = {
            "clock": self.clock,
            "source": "file:./registry",
        }
        self.cached = CachedRegistry(self.registry, self.folder / "cache", **given | changes)
        self.spoil(self.registry.mood, *self.registry.spoiled)
        return self.cached

    def spoil(self, mood: str, *methods: str) -> None:
        self.registry.spoil(mood, self.cached, *methods)

    async def read(self, name: str) -> Any:
        return await READS[name](self.cached, self.folder / "into")

    async def read_all(self) -> dict[str, Any]:
        return {name: await self.read(name) for name in READS}

    def answers(self) -> list[Path]:
        return sorted((self.folder / "cache" / "answers").iterdir())

    def asked(self) -> list[str]:
        """Since it was looked at last."""
        found, self.registry.asked = self.registry.asked, []
        return found
