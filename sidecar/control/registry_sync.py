"""What the sidecar needs of the model registry: baselines and lineage in, the champion's alias out.

Keeps: what was fetched once stays when the registry is away; serving, promotion of what is known and rollback never
wait for it. An alias that someone else moved is reported as diverged, never followed or moved back unasked. A fault
of one version (not registered, a damaged baseline) hides nothing of the others.
Called by control's composition root on a timer, and by the outbox.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from registry_client.baseline import DOCUMENT_LIMIT_BYTES, Baseline, from_json
from registry_client.client import Registry
from registry_client.errors import NotFound, RegistryError, Unreachable
from sidecar.config import Deployment
from sidecar.control.outbox import Undelivered
from sidecar.control.store import Delivery
from sidecar.decide.promotion import Plan
from sidecar.standing import DeploymentState, RegistryStatus

log = logging.getLogger("sidecar.control.registry")

ALIAS = "champion"
ALIAS_MOVE = "registry.alias"
_FROM_REGISTRY = (None, "registry")
Stamp = tuple[int, int]


class RegistrySync:
    """The last known good of everything that was asked of the registry."""

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self._status: dict[str, RegistryStatus] = {}
        self._baselines: dict[tuple[str, str], Baseline] = {}
        self._lineage: dict[tuple[str, str], dict[str, str]] = {}
        self._files: dict[str, tuple[Stamp, Baseline]] = {}
        self._file_faults: dict[str, str] = {}

    def status(self, deployment: str) -> RegistryStatus:
        """Reachable, diverged, and a sentence where there is something to say."""
        return self._status.get(deployment, RegistryStatus(reachable=None, diverged=False))

    def baseline(self, deployment: Deployment, version: str) -> Baseline | None:
        """The baseline of a version, as fetched. A file's serves every version of its deployment."""
        if deployment.baseline is None or deployment.baseline == "registry":
            return self._baselines.get((deployment.name, version))
        known = self._files.get(deployment.baseline)
        return known[1] if known is not None else None

    def lineage(self, deployment: str, version: str) -> dict[str, str]:
        """The registry's fields about a version."""
        return self._lineage.get((deployment, version), {})

    async def refresh(self, deployment: Deployment, state: DeploymentState, versions: Iterable[str]) -> None:
        """Asks how things stand there now. Never raises for the faults of a registry or a file."""
        if deployment.baseline is not None and deployment.baseline != "registry":
            await self._read_file(deployment.name, deployment.baseline)
        if self._registry is None:
            return
        name, before = deployment.name, self.status(deployment.name)
        try:
            there = (await self._registry.aliases(name)).get(ALIAS)
            faults = [await self._know(self._registry, deployment, version) for version in dict.fromkeys(versions)]
        except NotFound as error:
            self._status[name] = RegistryStatus(reachable=True, diverged=False, says=str(error))
        except Unreachable as error:
            self._status[name] = RegistryStatus(reachable=False, diverged=before.diverged, says=str(error))
        except RegistryError as error:
            self._status[name] = RegistryStatus(reachable=True, diverged=before.diverged, says=str(error))
        else:
            diverged = there is not None and there != state.champion
            moved = f"the registry's alias {ALIAS} is at version {there}, version {state.champion} serves"
            says = "; ".join(fault for fault in (moved if diverged else None, *faults) if fault is not None)
            self._status[name] = RegistryStatus(reachable=True, diverged=diverged, says=says or None)

    async def _know(self, registry: Registry, deployment: Deployment, version: str) -> str | None:
        """Lineage anew each time, a baseline when there is another; a sentence about what is wrong with the version."""
        key = (deployment.name, version)
        try:
            found = await registry.version(*key)
            self._lineage[key] = dict(found.lineage)
            known = self._baselines.get(key)
            if (
                deployment.baseline in _FROM_REGISTRY
                and found.baseline_digest is not None
                and (known is None or known.digest != found.baseline_digest)
            ):
                self._baselines[key] = await registry.baseline(*key)
        except Unreachable:
            raise
        except RegistryError as error:
            return str(error)
        return None

    async def _read_file(self, deployment: str, path: str) -> None:
        before = self._files.get(path)
        try:
            self._files[path] = await asyncio.to_thread(_read_if_changed, Path(path), before)
        except (OSError, RegistryError) as error:
            says = (error.strerror if isinstance(error, OSError) else None) or str(error)
            if self._file_faults.get(path) != says:
                log.warning(
                    "the baseline cannot be read",
                    extra={"fields": {"deployment": deployment, "path": path, "says": says}},
                )
            self._file_faults[path] = says
        else:
            self._file_faults.pop(path, None)

    # --- outwards --------------------------------------------------------------------------------------------

    def deliveries(self, plan: Plan) -> tuple[Delivery, ...]:
        """What a transition has to tell the registry; written in the transition's own transaction."""
        if self._registry is None or plan.action == "start":
            return ()
        name = plan.state.deployment
        return (Delivery(ALIAS_MOVE, name, json.dumps({"model": name, "version": plan.to_version})),)

    async def move_alias(self, delivery: Delivery) -> None:
        """The outbox's handler: points the alias at the version that serves."""
        move: Mapping[str, str] = msgspec.json.decode(delivery.payload, type=dict[str, str])
        if self._registry is None:
            raise Undelivered("no registry is configured any more")
        try:
            await self._registry.set_alias(move["model"], ALIAS, move["version"])
        except RegistryError as error:
            raise Undelivered(str(error)) from error


def _read_if_changed(path: Path, before: tuple[Stamp, Baseline] | None) -> tuple[Stamp, Baseline]:
    """The file's baseline, read again only when its time or size changed. Raises OSError, RegistryError."""
    with path.open("rb") as file:
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        if before is not None and before[0] == stamp:
            return before
        return stamp, from_json(file.read(DOCUMENT_LIMIT_BYTES + 1))
