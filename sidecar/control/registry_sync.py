"""What the sidecar needs of the model registry: baselines and lineage, and how good what is known of them is.

Keeps: what was fetched once stays when the registry is away, also over a restart; serving, promotion of what is known
and rollback never wait for it. A fault of one version (not registered, a damaged baseline) hides nothing of the
others. A baseline is as old as the registry's last word that it is still the one.
Does not: write, or judge where the champion's alias is: `write_back` does, and is told of what was seen here.
Called by control's composition root on a timer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from registry_client.baseline import DOCUMENT_LIMIT_BYTES, Baseline, from_json
from registry_client.cache import CachedRegistry
from registry_client.errors import NotFound, RegistryError, Unreachable
from registry_client.held_baseline import packed, unpacked
from sidecar.config import Deployment
from sidecar.control.carryover import Snapshot
from sidecar.control.write_back import WriteBack
from sidecar.decide.origin import Origin
from sidecar.standing import RegistryStatus

log = logging.getLogger("sidecar.control.registry")

_FROM_REGISTRY = (None, "registry")
Stamp = tuple[int, int]


class RegistrySync:
    """The last known good of everything that was asked of the registry. `clock`: seconds since the epoch."""

    def __init__(
        self,
        registry: CachedRegistry | None,
        write_back: WriteBack | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._write_back = write_back or WriteBack(None)
        self._clock = clock
        self._status: dict[str, RegistryStatus] = {}
        # By deployment: the registry's name of its model. A reload may change it, so what is known is kept by model.
        self._models: dict[str, str] = {}
        self._baselines: dict[tuple[str, str], Baseline] = {}
        # When the registry itself last named this very baseline.
        self._confirmed: dict[tuple[str, str], float] = {}
        self._lineage: dict[tuple[str, str], dict[str, str]] = {}
        self._origins: dict[tuple[str, str], Origin] = {}
        self._files: dict[str, tuple[Stamp, Baseline]] = {}
        self._file_faults: dict[str, str] = {}

    def status(self, deployment: str) -> RegistryStatus:
        """Reachable and since when, and a sentence where there is one; `write_back` adds where the alias is."""
        known = self._status.get(deployment)
        if known is None or self._registry is None:
            return RegistryStatus(reachable=None, diverged=False)
        return msgspec.structs.replace(known, age_s=self._registry.age_s(self._models[deployment]))

    def baseline(self, deployment: Deployment, version: str) -> Baseline | None:
        """The baseline of a version, as fetched. A file's serves every version of its deployment."""
        if deployment.baseline in _FROM_REGISTRY:
            return self._baselines.get((deployment.model, version))
        known = self._files.get(deployment.baseline or "")
        return known[1] if known is not None else None

    def baseline_age_s(self, deployment: Deployment, version: str) -> float | None:
        """Seconds since the registry last named this baseline; None where it never did, or the clock was set back."""
        confirmed = self._confirmed.get((deployment.model, version))
        age_s = None if confirmed is None else self._clock() - confirmed
        return None if age_s is None or age_s < 0 else age_s

    def knows(self, deployment: str, version: str) -> bool:
        """Whether the registry has ever told about a version, so that what is missing there is really missing."""
        return (self._models.get(deployment, ""), version) in self._lineage

    def lineage(self, deployment: str, version: str) -> dict[str, str]:
        """The registry's fields about a version."""
        return self._lineage.get((self._models.get(deployment, ""), version), {})

    def lineage_age_s(self, deployment: str, version: str) -> float | None:
        """Seconds since the registry last told those fields; None where it never did, or the clock was set back."""
        model = self._models.get(deployment)
        return None if self._registry is None or model is None else self._registry.age_s(model, version)

    def origin(self, deployment: Deployment, version: str) -> Origin:
        """What the registry last said that this version is."""
        model = deployment.model
        return self._origins.get((model, version)) or Origin(model=model)

    def unsaved(self, now: float) -> list[Snapshot]:
        """Where aliases are that a restart would not know yet."""
        return self._write_back.unsaved(now)

    def saved(self, snapshots: Iterable[Snapshot]) -> None:
        """A restart knows these."""
        self._write_back.saved(snapshots)

    async def refresh(self, deployment: Deployment, versions: Iterable[str]) -> None:
        """Asks how things stand there now. Never raises for the faults of a registry or a file."""
        if deployment.baseline not in _FROM_REGISTRY:
            await self._read_file(deployment.name, deployment.baseline or "")
        registry, model = self._registry, deployment.model
        if registry is None:
            return
        self._models[deployment.name] = model
        faults: list[str | None] = []
        asked = self._write_back.asked(deployment.name)
        try:
            aliases, own = await registry.aliases_told(model)
        except NotFound as error:
            self._write_back.saw(deployment, {}, asked)
            self._tell(deployment, usable=True, says=str(error))
            return
        except RegistryError as error:
            faults.append(_beyond_health(registry, error))
        else:
            if own:
                self._write_back.saw(deployment, aliases, asked)
                await self._write_back.answers(deployment.name)
        faults += [await self._know(registry, deployment, version) for version in dict.fromkeys(versions)]
        said = dict.fromkeys(fault for fault in (registry.health.says, registry.fault(model), *faults) if fault)
        usable = registry.health.reachable is True and registry.fault(model) is None
        self._tell(deployment, usable=usable, says="; ".join(said) or None)

    async def _know(self, registry: CachedRegistry, deployment: Deployment, version: str) -> str | None:
        """Lineage anew each time, a baseline when there is another; a sentence about what is wrong with the version."""
        model = deployment.model
        key = model, version
        try:
            found = await registry.version(model, version)
            self._lineage[key] = dict(found.lineage)
            self._origins[key] = Origin(model=model, made_at=found.created_at.timestamp(), digest=found.digest)
            known = self._baselines.get(key)
            if (
                deployment.baseline in _FROM_REGISTRY
                and found.baseline_digest is not None
                and (known is None or known.digest != found.baseline_digest)
            ):
                known = self._baselines[key] = unpacked(packed(await registry.baseline(model, version)))
        except RegistryError as error:
            return _beyond_health(registry, error)
        age_s = registry.age_s(model, version)
        if known is not None and known.digest == found.baseline_digest and age_s is not None:
            self._confirmed[key] = self._clock() - age_s
        return registry.fault(model, version)

    def _tell(self, deployment: Deployment, *, usable: bool, says: str | None) -> None:
        """`usable`: the registry answers, and what it says about this model can be used."""
        name, before = deployment.name, self._status.get(deployment.name)
        changed = before is None or before.reachable != usable
        since = self._clock() if changed or before is None else before.since
        self._status[name] = RegistryStatus(reachable=usable, diverged=False, since=since, says=says)
        if changed and (before is not None or not usable):
            event = "the registry answers again" if usable else "the registry gives no usable answer"
            log.log(
                logging.INFO if usable else logging.WARNING, event, extra={"fields": {"deployment": name, "says": says}}
            )

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


def _beyond_health(registry: CachedRegistry, error: RegistryError) -> str | None:
    """A fault's sentence, unless it is the one that the registry's health tells anyway."""
    return None if isinstance(error, Unreachable) and not registry.health.reachable else str(error)


def _read_if_changed(path: Path, before: tuple[Stamp, Baseline] | None) -> tuple[Stamp, Baseline]:
    """The file's baseline, read again only when its time or size changed. Raises OSError, RegistryError."""
    with path.open("rb") as file:
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        if before is not None and before[0] == stamp:
            return before
        return stamp, unpacked(packed(from_json(file.read(DOCUMENT_LIMIT_BYTES + 1))))
