"""A follower and what stands around it: a registry of aliases only, models by hand, a store of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

from registry_client.errors import RegistryError
from sidecar.config import Settings
from sidecar.control.following import AliasFollower
from sidecar.control.store import Store
from sidecar.control.turns import Turns
from sidecar.decide.roster import Roster
from sidecar.errors import Unavailable
from sidecar.standing import DeploymentState, Target
from tests.control.store_samples import NOW

FROM_REGISTRY = {"url": "http://127.0.0.1:8000", "path": "/{version}"}


class Aliases:
    """A registry of which only the aliases are asked. `says` is a script: one answer each time, the last for ever."""

    def __init__(self, **aliases: str) -> None:
        self.says: list[dict[str, str] | RegistryError] = [aliases]
        self.asked: list[str] = []
        self.held: asyncio.Event | None = None

    def now(self, **aliases: str) -> None:
        self.says = [aliases]

    async def aliases(self, model: str) -> Mapping[str, str]:
        self.asked.append(model)
        if self.held is not None:
            await self.held.wait()
        answer = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(answer, RegistryError):
            raise answer
        return answer


class Models:
    """Models that run here, by hand."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.wanted: dict[tuple[str, str], str] = {}
        self.held: list[str] = []
        self.answering: set[str] = set()
        self.settled_within: list[float] = []
        self.settling: asyncio.Event | None = None

    def want(self, wanted: Mapping[tuple[str, str], str], held: Collection[tuple[str, str]] = ()) -> None:
        self.wanted, self.held = dict(wanted), sorted(version for _, version in held)

    def ready(self, deployment: str, version: str) -> Target | None:
        there = (deployment, version) in self.wanted and version in self.answering
        return Target(f"unix:/run/{version}.sock", "/infer") if there else None

    def says(self, deployment: str, version: str) -> str | None:
        return None if version in self.answering else f"{deployment} {version} is being fetched"

    async def settled(self, within_s: float) -> None:
        self.settled_within.append(within_s)
        if self.settling is not None:
            await self.settling.wait()


class World:
    """What stands around a follower."""

    def __init__(self, store: Store, **source: Any) -> None:
        self.store = store
        self.registry = Aliases(champion="3", challenger="4")
        self.models = Models()
        self.states: dict[str, DeploymentState] = {}
        self.roster = Roster(deployment="fraud")
        self.put: list[list[str]] = []
        self.full = False
        self.deploy(fraud=source or FROM_REGISTRY)
        self.turns = Turns(self._nothing, self._nothing)
        self.follower = self.made()

    def deploy(self, **sources: Any) -> None:
        deployments = [{"name": name, "from_registry": source} for name, source in sources.items()]
        registry = {"uri": "file:r", "poll_s": 3600, "timeout_s": 0.05}
        self.settings = Settings.model_validate({"registry": registry, "deployments": deployments})

    def made(self) -> AliasFollower:
        """As after a restart."""
        registry: Any = self.registry
        self.follower = AliasFollower(
            registry,
            self.models,
            store=self.store,
            turns=self.turns,
            settings=lambda: self.settings,
            states=lambda: self.states,
            roster=lambda _: self.roster,
            take_up=self._take_up,
            clock=lambda: NOW,
            settle_s=0.0,
        )
        return self.follower

    async def _nothing(self) -> None:
        return

    async def start(self, within_s: float = 1.0) -> None:
        """As control does."""
        await self.follower.start(within_s)
        champion, _ = self.stands()
        if champion is not None and "fraud" not in self.states:
            self.serve(champion)
        self.follower.is_in_force()

    async def _take_up(self, names: Collection[str]) -> None:
        if self.full:
            raise Unavailable("the disk is full")
        self.put.append(list(names))
        champion, _ = self.stands()
        if champion is not None and "fraud" not in self.states:
            self.serve(champion)

    def serve(self, version: str, previous: str | None = None) -> None:
        target = Target("http://127.0.0.1:8000", f"/{version}")
        self.states["fraud"] = DeploymentState(
            deployment="fraud",
            generation=1,
            champion=version,
            champion_target=target,
            champion_since=NOW,
            previous=previous,
            previous_target=None if previous is None else target,
        )

    def stands(self) -> tuple[str | None, list[str]]:
        deployment = self.follower.deployments()["fraud"]
        champion = deployment.champion
        return None if champion is None else champion.version, [c.version for c in deployment.challengers]

    async def trail(self) -> list[tuple[str, str | None, str | None]]:
        entries = await self.store.audit_entries(0, 100)
        assert {(e.actor, e.action, e.deployment) for e in entries} <= {("registry", "follow_registry", "fraud")}
        return [(e.reason, e.from_version, e.to_version) for e in entries]
