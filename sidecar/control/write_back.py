"""Tells the registry of transitions: the champion's alias and tags on both versions; and knows where that alias is.

Keeps: what is to be told is written in the transition's own transaction and sent by the outbox; an alias that someone
else moved is never moved back unasked, it is told as a divergence with both sides. Registries cannot compare and set,
so the alias is read right before it is written and again right after.
Does not: hold up a transition, read from a cache (it is handed the registry itself), or follow anyone.
Called by: `controller` (deliveries), the outbox (deliver), `registry_sync` (what was seen), `reconcile`, the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from registry_client.client import Registry
from registry_client.errors import NotFound, Refused, RegistryError, Unreachable
from sidecar.config import Deployment
from sidecar.control.outbox import Undelivered
from sidecar.control.store import Delivery
from sidecar.decide.promotion import Plan
from sidecar.decide.write_back import Notice, notice_of, tags_of, whose
from sidecar.standing import DeploymentState, Divergence, RegistryStatus

log = logging.getLogger("sidecar.control.registry")

WRITE_BACK = "registry.alias"
_ALIAS = "champion"
# All calls for one deployment together: a slow registry must not keep others from being told.
_LONGEST_S = 60.0


def alias_of(deployment: Deployment) -> str:
    """The champion's alias in the registry."""
    return _ALIAS if deployment.from_registry is None else deployment.from_registry.champion


class WriteBack:
    """What the registry was told, what it was not told yet, and where the champions' aliases were last seen.

    Args:
        registry: the registry itself, without a cache before it; None where none is configured.
        deployments: those in force, by name.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        registry: Registry | None,
        *,
        deployments: Callable[[], Mapping[str, Deployment]] = dict,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._registry = registry
        self._deployments = deployments
        self._clock = clock
        # By deployment: the alias's version (None: there is no such alias), and since when it is seen there.
        self._seen: dict[str, tuple[str | None, float]] = {}
        self._writes: Counter[str] = Counter()
        # By deployment: (generation, at) of what the registry was not told of yet. A transition whose commit failed
        # stays in here, and counts for nothing until one really has that number.
        self._untold: dict[str, set[tuple[int, float]]] = {}
        # By deployment: whose alias has been where it belongs. Whoever moves it from then on is someone else, also
        # back to where it came from, and while tags of the same notice are still to be written.
        self._landed: dict[str, Notice] = {}
        self._faults: dict[str, str] = {}
        self._tried: dict[str, asyncio.Event] = {}

    # --- outwards ------------------------------------------------------------------------------------------------

    def deliveries(self, plan: Plan) -> tuple[Delivery, ...]:
        """What a transition has to tell the registry; written in the transition's own transaction."""
        name, generation = plan.state.deployment, plan.state.generation
        # No transition has had this number so far: what is in here under it was never committed.
        self._untold[name] = {untold for untold in self._untold.get(name, ()) if untold[0] < generation}
        deployment = self._deployments().get(name)
        if self._registry is None or deployment is None or plan.action == "start":
            return ()
        return (self.delivery(notice_of(plan, deployment.model, alias_of(deployment))),)

    def delivery(self, notice: Notice) -> Delivery:
        """One row for the outbox; from now on it counts as not told yet."""
        self._untold.setdefault(notice.deployment, set()).add((notice.generation, notice.at))
        return Delivery(WRITE_BACK, notice.deployment, msgspec.json.encode(notice).decode())

    def withdraw(self, notice: Notice) -> None:
        """Its row was not stored after all."""
        self._untold.get(notice.deployment, set()).discard((notice.generation, notice.at))

    def take_up(self, waiting: Iterable[Delivery]) -> None:
        """What the last run could not tell; at the start, before anything is asked."""
        for delivery in waiting:
            with contextlib.suppress(Undelivered):  # the outbox says so at its first try
                notice = _read(delivery)
                self._untold.setdefault(delivery.subject, set()).add((notice.generation, notice.at))

    async def deliver(self, line: Sequence[Delivery]) -> None:
        """The outbox's handler of a whole line, oldest first: the newest decides. Raises Undelivered."""
        name = line[-1].subject
        try:
            notices = [_read(delivery) for delivery in line]
            async with asyncio.timeout(_LONGEST_S):
                await self._write(name, notices)
        except (RegistryError, Undelivered, TimeoutError) as error:
            self._faults[name] = str(error) or "the registry did not answer in time"
            raise Undelivered(self._faults[name]) from error
        else:
            self._faults.pop(name, None)
            self._untold.get(name, set()).difference_update((notice.generation, notice.at) for notice in notices)
        finally:
            self._tried.pop(name, asyncio.Event()).set()

    def tried(self, name: str) -> asyncio.Event:
        """Set once something was tried to be told of this deployment from now on, with or without success."""
        return self._tried.setdefault(name, asyncio.Event())

    async def _write(self, name: str, line: Sequence[Notice]) -> None:
        if self._registry is None:
            raise Unreachable("no registry is configured any more")
        newest = line[-1]
        refused = await self._note(self._registry, line)
        there = (await self._registry.aliases(newest.model)).get(newest.alias)
        found = whose(there, line)
        if found == "ours" and self._landed.get(name) == newest:
            found = "theirs"
        elif found == "ours":
            await self._registry.set_alias(newest.model, newest.alias, newest.version)
            self._landed[name] = newest
            there = (await self._registry.aliases(newest.model)).get(newest.alias)
            found = whose(there, line)
        elif found == "there":
            self._landed[name] = newest
        self._writes[name] += 1
        self._place(name, there)
        if found == "theirs":
            log.warning(
                "someone else moved the alias in the registry: it stays where it is",
                extra={"fields": {"deployment": name, "alias": newest.alias, "there": there, "here": newest.version}},
            )
        if refused is not None:
            raise refused

    async def _note(self, registry: Registry, line: Sequence[Notice]) -> RegistryError | None:
        """Tags first: whoever hears of the alias finds them. A version without them must not hold up the alias."""
        refused: RegistryError | None = None
        for (model, version), tags in tags_of(line).items():
            try:
                await registry.set_tags(model, version, tags)
            except NotFound as error:
                # Versions are removed there, and file settings may name some that never were.
                log.info("no tags for a version", extra={"fields": {"version": version, "says": str(error)}})
            except RegistryError as error:
                if isinstance(error, Unreachable) and not isinstance(error, Refused):
                    raise
                refused = error
        return refused

    # --- where the alias is --------------------------------------------------------------------------------------

    def asked(self, name: str) -> int:
        """Taken before asking for aliases and given back with the answer: one that our own write overtook is void."""
        return self._writes[name]

    def saw(self, deployment: Deployment, aliases: Mapping[str, str], asked: int) -> None:
        """The registry itself said so just now; what a cache says is no news."""
        if asked == self._writes[deployment.name]:
            self._place(deployment.name, aliases.get(alias_of(deployment)))

    async def look(self, deployment: Deployment) -> str | None:
        """Asks where the alias is; None where there is no such alias. Raises RegistryError."""
        if self._registry is None:
            raise Unreachable("no registry is configured")
        asked = self.asked(deployment.name)
        try:
            async with asyncio.timeout(_LONGEST_S):
                aliases = await self._registry.aliases(deployment.model)
        except TimeoutError as error:
            raise Unreachable("the registry did not answer in time") from error
        self.saw(deployment, aliases, asked)
        return self.seen(deployment.name)

    def seen(self, name: str) -> str | None:
        """Where the alias was seen last; None where it is nowhere, or nothing was seen yet."""
        version, _ = self._seen.get(name, (None, 0.0))
        return version

    def _place(self, name: str, version: str | None) -> None:
        if name not in self._seen or self._seen[name][0] != version:
            self._seen[name] = version, self._clock()

    # --- how it stands -------------------------------------------------------------------------------------------

    def told(self, status: RegistryStatus, deployment: Deployment, state: DeploymentState) -> RegistryStatus:
        """The status with what is known here: not told yet, or diverged; never both."""
        name, alias = deployment.name, alias_of(deployment)
        if any(generation <= state.generation for generation, _ in self._untold.get(name, ())):
            says = f"alias {alias} is to be moved to version {state.champion}"
            fault = self._faults.get(name)
            return msgspec.structs.replace(status, unwritten=says if fault is None else f"{says}: {fault}")
        there, since = self._seen.get(name, (None, 0.0))
        if there is None or there == state.champion:
            return status
        moved = f"the registry's alias {alias} is at version {there}, version {state.champion} serves"
        return msgspec.structs.replace(
            status,
            diverged=True,
            says=moved if status.says is None else f"{moved}; {status.says}",
            divergence=Divergence(alias=alias, registry=there, sidecar=state.champion, since=since),
        )


def _read(delivery: Delivery) -> Notice:
    """Raises Undelivered for a row that cannot be read: it stays, and status says so."""
    try:
        return msgspec.json.decode(delivery.payload, type=Notice)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Undelivered(f"what is to be told of {delivery.subject} cannot be read ({error})") from error
