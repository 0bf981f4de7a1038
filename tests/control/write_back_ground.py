"""A store, its outbox and controller around a registry; a folder registry can be carried away and brought back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from registry_client.cache import CachedRegistry
from registry_client.client import Registry
from registry_client.directory import DirectoryRegistry
from sidecar.config import Deployment
from sidecar.control.controller import Controller
from sidecar.control.outbox import LONGEST_WAIT_S, Outbox
from sidecar.control.reconcile import Reconciler, Side
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.store import Store
from sidecar.control.write_back import WRITE_BACK, WriteBack
from sidecar.reports import GateTable
from sidecar.standing import Reconciliation, RegistryStatus, Target
from sidecar.wished import Wish
from tests.control.live_samples import NOW, URLS, deployment
from tests.control.store_samples import opened


class WatchedFolder(DirectoryRegistry):
    """Notes each move of an alias; `meanwhile` is what someone else does right before our own write."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.moves: list[str] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        await super().set_alias(model, alias, version)
        self.moves.append(version)
        if self.meanwhile is not None:
            await self.meanwhile()

    async def theirs(self, version: str, alias: str = "champion") -> None:
        """Someone else moves the alias."""
        await DirectoryRegistry.set_alias(self, "fraud", alias, version)


class Ground:
    """Champion 3, challengers 4 and 5 of a registry; the parts of control that have to do with it."""

    def __init__(self, folder: Path, store: Store, registry: Registry) -> None:
        self.store = store
        self.now = NOW
        self.registry = registry
        self.cache = folder / "cache"
        challengers = [{"version": version, "url": URLS[version]} for version in ("4", "5")]
        self.deployment: Deployment = deployment(challengers=challengers)
        self.sending: list[asyncio.Task[int]] = []
        self.begin()

    def begin(self) -> None:
        """All of control's parts anew, as after a restart."""
        self.write_back = WriteBack(self.registry, deployments=self.deployments, clock=self.clock)
        self.outbox = Outbox(self.store.database, {}, self.clock, lines={WRITE_BACK: self.write_back.deliver})
        self.write_back.note_landed, self.write_back.hurry = self.outbox.landed, self.outbox.hurry
        cached = CachedRegistry(self.registry, self.cache, clock=self.clock)
        self.sync = RegistrySync(cached, self.write_back, self.clock)
        self.controller = Controller(
            self.store,
            deployments=self.deployments,
            gate_table=self.gate_table,
            probe=self.probe,
            publish=self.publish,
            clock=self.clock,
            deliveries=self.write_back.deliveries,
            lineage=self.sync.lineage,
        )
        self.reconciler = Reconciler(
            self.store,
            self.controller.turns,
            self.write_back,
            deployments=self.deployments,
            states=lambda: self.controller.states,
            wake=self.wake,
            clock=self.clock,
        )

    async def restart(self) -> None:
        """As control does: what was left of the last run first. What it learnt and did not write down is lost."""
        self.begin()
        self.write_back.take_up(await self.outbox.kept(WRITE_BACK))
        self.write_back.restore(await self.store.carryover.snapshots("fraud"))
        await self.controller.start()

    async def remember(self) -> None:
        """As control does every few seconds."""
        learnt = self.write_back.unsaved(self.now)
        await self.store.carryover.save_snapshots(learnt)
        self.write_back.saved(learnt)

    def clock(self) -> float:
        return self.now

    def deployments(self) -> dict[str, Deployment]:
        return {"fraud": self.deployment}

    def gate_table(self, name: str, challenger: str) -> GateTable:
        champion = self.controller.states[name].champion
        return GateTable(
            deployment=name, champion=champion, challenger=challenger, verdict="pass", evidence="sha256:e", gates=()
        )

    async def probe(self, target: Target) -> str | None:
        del target
        return None

    async def publish(self, states: object) -> None:
        """Nobody routes here."""

    def wake(self) -> None:
        self.sending.append(asyncio.create_task(self.outbox.send_due()))

    async def promote(self, version: str, reason: str = "better by far") -> None:
        self.now += 60
        await self.controller.promote("fraud", Wish(version, "alice", reason))

    async def rollback(self) -> None:
        self.now += 60
        await self.controller.rollback(
            "fraud", actor="bob", reason="worse by far", to=None, force=False, idempotency_key=None
        )

    async def reconcile(self, take: Side = "sidecar", expected: str | None = None) -> Reconciliation:
        return await self.reconciler.reconcile(
            "fraud", take=take, expected=expected, actor="carol", reason="moved by hand"
        )

    async def send(self) -> int:
        """What is due by now, after any wait."""
        self.now += LONGEST_WAIT_S
        return await self.outbox.send_due()

    async def look(self) -> RegistryStatus:
        """What status says after the next question to the registry."""
        await self.sync.refresh(self.deployment, ("3", "4", "5"))
        return self.status()

    def status(self) -> RegistryStatus:
        return self.write_back.told(self.sync.status("fraud"), self.deployment, self.controller.states["fraud"])

    async def alias(self) -> str | None:
        return (await self.registry.aliases(self.deployment.model)).get("champion")

    async def tags(self, version: str) -> dict[str, str]:
        return dict((await self.registry.version(self.deployment.model, version)).tags)


class FolderGround(Ground):
    """All versions are registered, and 9 besides; the alias `champion` is at 3."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder / "registry"
        self.watched = WatchedFolder(self.folder)
        super().__init__(folder, store, self.watched)

    def take_away(self) -> None:
        self.folder.rename(self.folder.with_name("away"))

    def bring_back(self) -> None:
        self.folder.with_name("away").rename(self.folder)


@asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[FolderGround]:
    """Started, before any transition."""
    (folder / "state").mkdir()
    async with opened(folder / "state") as store:
        found = FolderGround(folder, store)
        for version in ("3", "4", "5", "9"):
            await found.registry.register("fraud", version, lineage={"data": f"2026-0{version}", "code": "9f3c21d"})
        await found.watched.theirs("3")
        await found.controller.start()
        await found.look()
        yield found
        await asyncio.gather(*found.sending)
