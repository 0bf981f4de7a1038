"""What the sidecar needs of the model registry: baselines and lineage in, the champion's alias out.

Keeps: what was fetched once stays when the registry is away; serving, promotion of what is known and rollback never
wait for it. An alias that someone else moved is reported as diverged, never followed or moved back unasked.
Called by control's composition root on a timer, and by the outbox.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from registry_client.baseline import Baseline, from_json
from registry_client.client import Registry
from registry_client.errors import NotFound, RegistryError
from sidecar.config import Deployment
from sidecar.control.outbox import Undelivered
from sidecar.control.store import Delivery
from sidecar.decide.promotion import Plan
from sidecar.standing import DeploymentState, RegistryStatus

log = logging.getLogger("sidecar.control.registry")

ALIAS = "champion"
ALIAS_MOVE = "registry.alias"
_BASELINE_BYTES = 64 * 1024 * 1024


class RegistrySync:
    """The last known good of everything that was asked of the registry."""

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self._status: dict[str, RegistryStatus] = {}
        self._baselines: dict[tuple[str, str], Baseline] = {}
        self._lineage: dict[tuple[str, str], dict[str, str]] = {}

    def status(self, deployment: str) -> RegistryStatus:
        """Reachable, diverged, and a sentence where there is something to say."""
        return self._status.get(deployment, RegistryStatus(reachable=None, diverged=False))

    def baseline(self, deployment: str, version: str) -> Baseline | None:
        """The baseline of a version, as fetched."""
        return self._baselines.get((deployment, version))

    def lineage(self, deployment: str, version: str) -> dict[str, str]:
        """The registry's fields about a version."""
        return self._lineage.get((deployment, version), {})

    async def refresh(self, deployment: Deployment, state: DeploymentState, versions: Iterable[str]) -> None:
        """Asks for what is not known yet, and whether the alias still agrees. Never raises for a registry's faults."""
        if deployment.baseline not in (None, "registry"):
            await self._read_file(deployment, state.champion)
        if self._registry is None:
            return
        name = deployment.name
        try:
            aliases = await self._registry.aliases(name)
            for version in versions:
                await self._know(
                    self._registry, name, version, wants_baseline=deployment.baseline in (None, "registry")
                )
        except NotFound:
            says = f"the registry has no model {name}, or not every version of it"
            self._status[name] = RegistryStatus(reachable=True, diverged=False, says=says)
        except RegistryError as error:
            self._status[name] = RegistryStatus(reachable=False, diverged=self.status(name).diverged, says=str(error))
        else:
            there = aliases.get(ALIAS)
            diverged = there is not None and there != state.champion
            says = f"the registry's alias {ALIAS} is at version {there}, version {state.champion} serves"
            self._status[name] = RegistryStatus(reachable=True, diverged=diverged, says=says if diverged else None)

    async def _know(self, registry: Registry, model: str, version: str, *, wants_baseline: bool) -> None:
        if (model, version) not in self._lineage:
            self._lineage[model, version] = dict((await registry.version(model, version)).lineage)
        if wants_baseline and (model, version) not in self._baselines:
            try:
                self._baselines[model, version] = await registry.baseline(model, version)
            except NotFound:
                return  # a version without one: the inputs gate says so

    async def _read_file(self, deployment: Deployment, version: str) -> None:
        """A baseline file serves every version of its deployment."""
        if (deployment.name, version) in self._baselines or deployment.baseline is None:
            return
        try:
            content = await asyncio.to_thread(_read_bounded, Path(deployment.baseline))
            self._baselines[deployment.name, version] = from_json(content)
        except (OSError, RegistryError) as error:
            log.warning(
                "baseline cannot be read", extra={"fields": {"deployment": deployment.name, "says": str(error)}}
            )

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


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BASELINE_BYTES + 1)
