"""A folder registry whose answers can be spoiled, and a clock that stands still until it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry_client.baseline import Baseline
from registry_client.cache import CachedRegistry
from registry_client.directory import DirectoryRegistry
from registry_client.errors import InvalidDocument, RegistryError, Unreachable
from registry_client.model import ModelVersion

# What a registry may do to whoever asks; "slow" never answers at all.
MOODS = ("down", "slow", "garbage", "huge", "reset")
AWAY = ("down", "slow", "reset")
# Nobody is found too slow because the machine is busy; who never answers is waited for only so long.
PATIENT_S, SHORT_S = 60.0, 0.1


class Clock:
    """Seconds since the epoch."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class HostileRegistry:
    """`mood` spoils every call, "well" none; `spoiled` limits that to some methods; `asked` tells what was asked."""

    def __init__(self, folder: Path) -> None:
        self.inner = DirectoryRegistry(folder)
        self.mood = "well"
        self.spoiled: frozenset[str] = frozenset()
        self.asked: list[str] = []
        self.held = asyncio.Event()
        self.closed = False

    def spoil(self, mood: str, cached: CachedRegistry, *methods: str) -> None:
        """From now on, and for as long as a test wants to wait for one that never answers."""
        self.mood, self.spoiled = mood, frozenset(methods)
        wait_s = SHORT_S if mood == "slow" else PATIENT_S
        cached._baseline_timeout_s = cached._artifact_timeout_s = wait_s
        cached._asking._timeout_s = PATIENT_S if methods else wait_s

    async def _pass(self, method: str) -> None:
        self.asked.append(method)
        if self.spoiled and method not in self.spoiled:
            return
        faults: dict[str, RegistryError] = {
            "down": Unreachable("connection refused"),
            "garbage": InvalidDocument("what came is not JSON"),
            "huge": InvalidDocument("what came is larger than 8388608 bytes"),
        }
        if self.mood in faults:
            raise faults[self.mood]
        if self.mood == "reset":
            raise TimeoutError("of the transport, which nobody has mapped")
        if self.mood == "slow":
            await self.held.wait()

    async def version(self, model: str, version: str) -> ModelVersion:
        await self._pass("version")
        return await self.inner.version(model, version)

    async def versions(self, model: str) -> tuple[ModelVersion, ...]:
        await self._pass("versions")
        return await self.inner.versions(model)

    async def by_alias(self, model: str, alias: str) -> ModelVersion:
        await self._pass("by_alias")
        return await self.inner.by_alias(model, alias)

    async def aliases(self, model: str) -> Mapping[str, str]:
        await self._pass("aliases")
        return await self.inner.aliases(model)

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        await self._pass("set_alias")
        await self.inner.set_alias(model, alias, version)

    async def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> ModelVersion:
        await self._pass("set_tags")
        return await self.inner.set_tags(model, version, tags)

    async def baseline(self, model: str, version: str) -> Baseline:
        await self._pass("baseline")
        return await self.inner.baseline(model, version)

    async def put_baseline(self, model: str, version: str, baseline: Baseline) -> ModelVersion:
        await self._pass("put_baseline")
        return await self.inner.put_baseline(model, version, baseline)

    async def artifact(self, model: str, version: str, into: Path) -> Path:
        await self._pass("artifact")
        return await self.inner.artifact(model, version, into)

    async def register(self, model: str, version: str, **given: Any) -> ModelVersion:
        await self._pass("register")
        return await self.inner.register(model, version, **given)

    async def close(self) -> None:
        self.closed = True
