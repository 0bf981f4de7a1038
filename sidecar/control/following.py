"""Champion and challengers as the registry's aliases name them: asked for by the clock, taken, and put in force.

Keeps: an alias counts once it stood still, so that of one that flaps only what stands is taken; what is taken is in
the audit trail before it is in force, and a restart without a registry goes on from there; a version that runs here
gets nothing before it answers, and then stays until no alias names it. A registry that is away changes nothing.
Does not: decide what aliases mean (`decide/resolved` does), move the champion, or start a model (`managed_models`).
Called by control's composition root: `start`, `run`, and `deployments` for whatever is to be in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

import msgspec

from registry_client.client import Registry
from registry_client.errors import NotFound, RegistryError
from sidecar import __version__
from sidecar.config import Deployment, Settings
from sidecar.config_registry import RegistrySettings
from sidecar.control.store import Store
from sidecar.control.turns import Turns
from sidecar.decide.audit_chain import Deed
from sidecar.decide.resolved import Resolved, followed, moves, resolve, wanted
from sidecar.decide.roster import Roster
from sidecar.errors import SidecarError
from sidecar.standing import DeploymentState, Following, Target

log = logging.getLogger("sidecar.control.following")

ACTION = "follow_registry"
ACTOR = "registry"
START_S = 10.0  # for models that run here; after a control that died they still answer
SETTLE_S = 0.25  # how long an alias stands still before it counts
_LOOKS = 8  # so often in a row; an alias that never stands still is looked at by the next poll
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Managed(Protocol):
    """Models that this sidecar runs itself. `changed` is called when one is ready, or is not any more."""

    changed: Callable[[], None]

    def want(self, wanted: Mapping[tuple[str, str], str], held: Collection[tuple[str, str]] = ()) -> None:
        """(deployment, version) -> the registry's model; these shall run and no others.

        `held`: of these, those whose content stays what it was, whatever is registered under their number by now.
        """

    def ready(self, deployment: str, version: str) -> Target | None:
        """Where a version answers, None while it does not yet."""

    def says(self, deployment: str, version: str) -> str | None:
        """What is wrong with it, or what is waited for."""

    async def settled(self, within_s: float) -> None:
        """Waits until each is ready or known to be in trouble, and no longer than this."""


class _Taken(msgspec.Struct):
    """What an audit entry says was taken: all aliases of challengers, with their versions."""

    aliases: dict[str, str]


class AliasFollower:
    """Every deployment whose versions the registry names; the others pass through untouched.

    Args:
        registry: with its last known good before it; None where none is configured.
        managed: None where no model runs here.
        store: open.
        turns: shared with every verb.
        settings: of the file, asked each time, so that a reload counts at once.
        states: what is stored, by deployment.
        roster: what calls have changed about a deployment.
        take_up: puts what `deployments` says in force: rosters, first states, addresses, the routing table.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        registry: Registry | None,
        managed: Managed | None,
        *,
        store: Store,
        turns: Turns,
        settings: Callable[[], Settings],
        states: Callable[[], Mapping[str, DeploymentState]],
        roster: Callable[[str], Roster],
        take_up: Callable[[Collection[str]], Awaitable[None]],
        clock: Callable[[], float],
        settle_s: float = SETTLE_S,
    ) -> None:
        self._registry = registry
        self._managed = managed
        self._store = store
        self._turns = turns
        self._settings = settings
        self._states = states
        self._roster = roster
        self._take_up = take_up
        self._clock = clock
        self._settle_s = settle_s
        self._aliases: dict[str, dict[str, str]] = {}
        # Of challengers, as the trail has them.
        self._taken: dict[str, dict[str, str]] = {}
        self._faults: dict[str, str] = {}
        self._in_force: dict[str, Deployment] = {}
        # Where versions that run here have answered once, by deployment, version and model.
        self._answered: dict[tuple[str, str, str], Target] = {}
        # There at the start, and not served since.
        self._awaited: set[str] = set()
        self._woken = asyncio.Event()
        if managed is not None:
            managed.changed = self.wake

    # --- what is so ----------------------------------------------------------------------------------------------

    def deployments(self) -> dict[str, Deployment]:
        """The settings file's by name, with the versions that the registry has named."""
        return {d.name: self._resolved(d).deployment for d in self._settings().deployments}

    def named(self, name: str) -> tuple[str, ...]:
        """The versions that aliases of challengers name, also those that get no copies yet."""
        deployment = self._sources().get(name)
        return () if deployment is None else self._resolved(deployment).named

    def status(self, name: str) -> Following | None:
        """What was taken and what is waited for; None for a deployment that the registry does not name."""
        deployment = self._sources().get(name)
        if deployment is None:
            return None
        found = self._resolved(deployment)
        said = (found.unserved, *found.waits, self._faults.get(name))
        waits = tuple(says for says in said if says is not None)
        return Following(model=deployment.model, aliases=dict(self._aliases.get(name, {})), waits=waits)

    def unserved(self) -> tuple[str, ...]:
        """Of the deployments that were there at the start: whose champion could not be served yet, and why.

        One that a reload adds, or whose champion ails later, must not take the traffic of all others away.
        """
        found = []
        for name in sorted(self._awaited & self._sources().keys()):
            says = self._resolved(self._sources()[name]).unserved or "it is about to be served"
            fault = self._faults.get(name)
            found.append(f"{name}: {says}" if fault is None else f"{name}: {says} ({fault})")
        return tuple(found)

    def _sources(self) -> dict[str, Deployment]:
        return {d.name: d for d in self._settings().deployments if d.from_registry is not None}

    def _resolved(self, deployment: Deployment) -> Resolved:
        name = deployment.name
        by_call = [challenger.version for challenger in self._roster(name).challengers]
        notes: list[str] = []

        def answering(version: str) -> Target | str:
            if self._managed is None:
                return f"version {version} cannot be run here: the registry was configured after the start"
            # One that ails stays: what came back after a pause would have lost the evidence of its faults.
            key = name, version, deployment.model
            place = self._managed.ready(name, version) or self._answered.get(key)
            says = self._managed.says(name, version)
            if place is None:
                return f"version {version} gets nothing yet: {says or 'it starts'}"
            self._answered[key] = place
            notes.extend([] if says is None else [f"version {version}: {says}"])
            return place

        found = resolve(deployment, self._aliases.get(name, {}), self._states().get(name), answering, by_call)
        return dataclasses.replace(found, waits=(*found.waits, *notes))

    # --- what is done --------------------------------------------------------------------------------------------

    async def start(self, within_s: float = START_S) -> None:
        """Takes what the registry says, or what was taken before; then waits for what runs here, for so long.

        Before anything is published, so that no version leaves the shadow only because it was not asked for yet.
        """
        self._awaited = set(self._sources())
        for name in self._sources():
            entry = await self._store.newest(name, ACTION)
            if entry is not None:
                self._taken[name] = self._aliases[name] = _told(entry.details)
        await self._ask_registry()
        self.ask_for()
        if self._managed is not None:
            await self._managed.settled(within_s)

    def wake(self) -> None:
        """Something changed: an alias, or a version that runs here."""
        self._woken.set()

    async def run(self) -> None:
        """Looks until cancelled: every `registry.poll_s`, and at once when woken."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._registry_settings().poll_s):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self.look()
            except SidecarError as error:
                log.warning("what the registry says is not in force yet", extra={"fields": {"says": str(error)}})

    async def look(self) -> None:
        """What runs here first, then what the registry says. Raises Unavailable: the next look tries again."""
        await self.put_in_force()
        await self._ask_registry()
        await self.put_in_force()

    async def put_in_force(self) -> None:
        """Whatever resolves to something else than what was put in force last. Raises Unavailable."""
        self.ask_for()
        now = self._now()
        changed = [name for name, found in now.items() if self._in_force.get(name) != found.deployment]
        if changed:
            await self._take_up(changed)
            self.is_in_force(now)

    def is_in_force(self, resolved: Mapping[str, Resolved] | None = None) -> None:
        """All of these were put in force and sent to the workers, by default what `deployments` says now."""
        found = self._now() if resolved is None else resolved
        self._in_force = {name: one.deployment for name, one in found.items()}
        self._awaited -= {name for name, one in found.items() if one.unserved is None}

    def ask_for(self) -> None:
        """Says which models shall run here."""
        if self._managed is None:
            return
        shall: dict[tuple[str, str], str] = {}
        held: set[tuple[str, str]] = set()
        for name, deployment in self._sources().items():
            source = deployment.from_registry
            if source is not None and source.managed:
                removed = self._roster(name).removed
                for version in wanted(source, self._aliases.get(name, {}), self._states().get(name), removed):
                    shall[name, version] = deployment.model
                state = self._states().get(name)
                # Nobody becomes champion but by a transition, also not by other bytes under a champion's number.
                held |= set() if state is None else {(name, v) for v in (state.champion, state.previous) if v}
        self._managed.want(shall, held)
        wanted_still = {(*key, model) for key, model in shall.items()}
        self._answered = {key: place for key, place in self._answered.items() if key in wanted_still}

    def _now(self) -> dict[str, Resolved]:
        return {name: self._resolved(deployment) for name, deployment in self._sources().items()}

    # --- aliases -------------------------------------------------------------------------------------------------

    async def _ask_registry(self) -> None:
        """All at once, so that a slow answer about one holds up no other. Raises Unavailable."""
        looks = (self._look_at(deployment) for deployment in self._sources().values())
        for fault in await asyncio.gather(*looks, return_exceptions=True):
            if fault is not None:
                raise fault

    async def _look_at(self, deployment: Deployment) -> None:
        found = await self._asked(deployment)
        for _ in range(_LOOKS):
            if found is None or found == self._aliases.get(deployment.name):
                return
            await asyncio.sleep(self._settle_s)
            before, found = found, await self._asked(deployment)
            if found == before:
                await self._take(deployment, found)
                return

    async def _asked(self, deployment: Deployment) -> dict[str, str] | None:
        """The aliases that the settings name; None where the registry cannot say."""
        source, name = deployment.from_registry, deployment.name
        if self._registry is None or source is None:
            return None
        try:
            # A registry with its last known good before it has the same time, and then answers from there.
            async with asyncio.timeout(2 * self._registry_settings().timeout_s):
                aliases = await self._registry.aliases(deployment.model)
        except NotFound as error:
            self._faults[name] = str(error)
            return {}
        except RegistryError as error:
            self._faults[name] = str(error)
            return None
        except TimeoutError:
            self._faults[name] = "the registry did not answer in time"
            return None
        meant = {alias: aliases[alias] for alias in (source.champion, *source.challengers) if alias in aliases}
        unfit = [alias for alias, version in meant.items() if not _VERSION.fullmatch(version)]
        self._faults.pop(name, None)
        if unfit:
            self._faults[name] = f"the registry's alias {unfit[0]} names no version that could be called"
        return {alias: version for alias, version in meant.items() if alias not in unfit}

    async def _take(self, deployment: Deployment, aliases: dict[str, str]) -> None:
        """In the trail first. Raises Unavailable, and then nothing was taken."""
        name, source = deployment.name, deployment.from_registry
        if source is None:
            return
        async with self._turns.of(name):
            taken = self._taken.get(name, {})
            for alias, was, now in moves(taken, followed(source, aliases)):
                after = {key: version for key, version in taken.items() if key != alias}
                after |= {} if now is None else {alias: now}
                await self._store.record(self._deed(name, alias, was, now, after))
                taken = self._taken[name] = after
                fields = {"deployment": name, "alias": alias, "from": was, "to": now}
                log.info("an alias of the registry was followed", extra={"fields": fields})
            self._aliases[name] = aliases

    def _deed(self, name: str, alias: str, was: str | None, now: str | None, after: Mapping[str, str]) -> Deed:
        if now is None:
            reason = f"the registry's alias {alias} is gone, or followed no longer; it was at version {was}"
        elif was is None:
            reason = f"the registry's alias {alias} is at version {now}"
        else:
            reason = f"the registry's alias {alias} moved from version {was} to version {now}"
        details = {"alias": alias, "aliases": dict(after), "software": __version__}
        return Deed(
            at=self._clock(),
            actor=ACTOR,
            action=ACTION,
            deployment=name,
            from_version=was,
            to_version=now,
            reason=reason,
            evidence=None,
            details=json.dumps(details, sort_keys=True, separators=(",", ":")),
        )

    def _registry_settings(self) -> RegistrySettings:
        return self._settings().registry or RegistrySettings(uri="file:.")


def _told(details: str) -> dict[str, str]:
    """What an entry of the trail says was taken; nothing, where nobody can read it."""
    try:
        aliases = msgspec.json.decode(details, type=_Taken).aliases
    except msgspec.MsgspecError:
        return {}
    return {alias: version for alias, version in aliases.items() if _VERSION.fullmatch(version)}
