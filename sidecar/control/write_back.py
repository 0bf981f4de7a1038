"""Tells the registry of transitions: the champion's alias and tags on both versions; and knows where that alias is.

Keeps: what is to be told is written in the transition's own transaction and sent by the outbox; an alias that someone
else moved is never moved back unasked, also after a restart, it is told as a divergence with both sides. Registries
cannot compare and set, so the alias is read right before it is written and again right after.
Does not: hold up a transition, read from a cache (it is handed the registry itself), or follow anyone.
Called by: `controller` (deliveries), the outbox (deliver), `registry_sync` (what was seen), `reconcile`, the service,
`rounds` (what is to be remembered).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from registry_client.client import Registry
from registry_client.errors import NotFound, Refused, RegistryError, Unreachable
from sidecar.config import Deployment
from sidecar.control.carryover import Snapshot
from sidecar.control.outbox import Kept, Undelivered, Unreadable
from sidecar.control.store import Delivery
from sidecar.decide.promotion import Plan
from sidecar.decide.write_back import Notice, notice_of, tags_of, whose
from sidecar.errors import Unavailable
from sidecar.standing import DeploymentState, Divergence, RegistryStatus

log = logging.getLogger("sidecar.control.registry")

WRITE_BACK = "registry.alias"
# The name under which a restart finds where the alias was.
SNAPSHOT = "registry.alias"
_ALIAS = "champion"
# All calls for one deployment together: a slow registry must not keep others from being told.
_LONGEST_S = 60.0


def alias_of(deployment: Deployment) -> str:
    """The champion's alias in the registry."""
    return _ALIAS if deployment.from_registry is None else deployment.from_registry.champion


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an alias was seen last (None: there is no such alias), and since when, in seconds since the epoch."""

    model: str
    alias: str
    version: str | None
    since: float


async def _forgotten(delivery: Delivery) -> None:
    """Nobody keeps a note."""
    del delivery


async def _in_its_time(kind: str, name: str) -> None:
    """Nobody can be told to hurry."""
    del kind, name


class WriteBack:
    """What the registry was told, what it was not told yet, and where the champions' aliases were last seen.

    Args:
        registry: the registry itself, without a cache before it; None where none is configured.
        deployments: those in force, by name.
        clock: seconds since the epoch.

    Attributes:
        note_landed: keeps that this delivery has moved the alias; raises Unavailable. Set by the composition root.
        hurry: has what waits (kind, deployment) tried now; raises Unavailable. Set by the composition root.
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
        self.note_landed: Callable[[Delivery], Awaitable[None]] = _forgotten
        self.hurry: Callable[[str, str], Awaitable[None]] = _in_its_time
        # By deployment.
        self._seen: dict[str, Place] = {}
        self._kept: dict[str, Place] = {}
        self._writes: Counter[str] = Counter()
        # By deployment: (generation, at) of what the registry was not told of yet. A transition whose commit failed
        # stays in here, and counts for nothing until one really has that number.
        self._untold: dict[str, set[tuple[int, float]]] = {}
        # By deployment: whose alias has been where it belongs. Whoever moves it from then on is someone else, also
        # back to where it came from, and while tags of the same notice are still to be written.
        self._landed: dict[str, Notice] = {}
        # What nobody can read any more, as it lies there.
        self._aside: dict[str, set[str]] = {}
        self._faults: dict[str, str] = {}
        # Whose last try failed because nobody answered: it is worth another one as soon as somebody does.
        self._unheard: set[str] = set()
        self._tried: dict[str, asyncio.Event] = {}

    # --- outwards ------------------------------------------------------------------------------------------------

    def deliveries(self, plan: Plan) -> tuple[Delivery, ...]:
        """What a transition has to tell the registry; written in the transition's own transaction."""
        if plan.at is not None:
            return ()  # a canary is no champion
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

    def take_up(self, kept: Kept) -> None:
        """What the last run could not tell, or not all of it; at the start, before anything is asked."""
        for delivery in kept.waits:
            notice = _read(delivery)
            if notice is not None:  # else the outbox hears of it at its first try
                self._untold.setdefault(delivery.subject, set()).add((notice.generation, notice.at))
        for delivery in kept.landed:
            notice = _read(delivery)
            if notice is not None:
                self._landed[delivery.subject] = notice
        for delivery in kept.aside:
            self._aside.setdefault(delivery.subject, set()).add(delivery.payload)
        self._faults.update(kept.faults)
        self._unheard.update(kept.faults)

    async def deliver(self, line: Sequence[Delivery]) -> None:
        """The outbox's handler of a whole line, oldest first: the newest decides. Raises Undelivered, Unreadable."""
        name = line[-1].subject
        notices = self._understood(name, line)
        try:
            async with asyncio.timeout(_LONGEST_S):
                await self._write(name, notices, line[-1])
        except (RegistryError, TimeoutError) as error:
            self._failed(name, str(error) or "the registry did not answer in time")
            if not isinstance(error, RegistryError) or _unheard(error):
                self._unheard.add(name)
            raise Undelivered(self._faults[name]) from error
        else:
            self._faults.pop(name, None)
            self._untold.get(name, set()).difference_update((notice.generation, notice.at) for notice in notices)
        finally:
            self._tried.pop(name, asyncio.Event()).set()

    def tried(self, name: str) -> asyncio.Event:
        """Set once something was tried to be told of this deployment from now on, with or without success."""
        return self._tried.setdefault(name, asyncio.Event())

    def _understood(self, name: str, line: Sequence[Delivery]) -> list[Notice]:
        read = [(delivery, _read(delivery)) for delivery in line]
        unread = [delivery for delivery, notice in read if notice is None]
        if unread:
            self._aside.setdefault(name, set()).update(delivery.payload for delivery in unread)
            raise Unreadable(f"what is to be told of {name} cannot be read", unread)
        return [notice for _, notice in read if notice is not None]

    def _failed(self, name: str, says: str) -> None:
        if self._faults.get(name) != says:
            fields = {"deployment": name, "says": says}
            log.warning("the registry was not told of a transition yet", extra={"fields": fields})
        self._faults[name] = says

    async def _write(self, name: str, line: Sequence[Notice], delivery: Delivery) -> None:
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
            await self._lands(name, newest, delivery)
            there = (await self._registry.aliases(newest.model)).get(newest.alias)
            found = whose(there, line)
        elif found == "there":
            await self._lands(name, newest, delivery)
        self._writes[name] += 1
        self._place(name, newest.model, newest.alias, there)
        if found == "theirs":
            log.warning(
                "someone else moved the alias in the registry: it stays where it is",
                extra={"fields": {"deployment": name, "alias": newest.alias, "there": there, "here": newest.version}},
            )
        if refused is not None:
            raise refused

    async def _lands(self, name: str, notice: Notice, delivery: Delivery) -> None:
        """The alias is where this notice wants it: whoever moves it from now on is someone else."""
        if self._landed.get(name) == notice:
            return
        self._landed[name] = notice
        with contextlib.suppress(Unavailable):  # this run knows, and a later try notes it with all the rest
            await self.note_landed(delivery)

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
                if _unheard(error):
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
            alias = alias_of(deployment)
            self._place(deployment.name, deployment.model, alias, aliases.get(alias))

    async def answers(self, name: str) -> None:
        """The registry answers about this deployment's model: what it did not hear is told now, not in minutes."""
        if name in self._unheard:
            self._unheard.discard(name)
            with contextlib.suppress(Unavailable):
                await self.hurry(WRITE_BACK, name)

    @property
    def configured(self) -> bool:
        """Whether there is a registry to write to."""
        return self._registry is not None

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
        place = self._seen.get(name)
        return None if place is None else place.version

    def _place(self, name: str, model: str, alias: str, version: str | None) -> None:
        before = self._seen.get(name)
        if before is None or (before.model, before.alias, before.version) != (model, alias, version):
            self._seen[name] = Place(model=model, alias=alias, version=version, since=self._clock())

    # --- over restarts -------------------------------------------------------------------------------------------

    def unsaved(self, now: float) -> list[Snapshot]:
        """Where aliases are that was not kept yet."""
        changed = {name: place for name, place in self._seen.items() if self._kept.get(name) != place}
        return [Snapshot(name, SNAPSHOT, msgspec.msgpack.encode(place), now) for name, place in changed.items()]

    def saved(self, snapshots: Iterable[Snapshot]) -> None:
        """These are kept."""
        for snapshot in snapshots:
            if snapshot.observer == SNAPSHOT:
                self._kept[snapshot.deployment] = msgspec.msgpack.decode(snapshot.blob, type=Place)

    def restore(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Where a deployment's alias was before the restart; one that nobody can read is asked for anew."""
        kept = snapshots.get(SNAPSHOT)
        if kept is None:
            return
        try:
            place = msgspec.msgpack.decode(kept.blob, type=Place)
        except ValueError as error:
            log.warning("since when an alias is where it is was forgotten", extra={"fields": {"says": str(error)}})
            return
        self._seen[kept.deployment] = self._kept[kept.deployment] = place

    # --- how it stands -------------------------------------------------------------------------------------------

    def told(self, status: RegistryStatus, deployment: Deployment, state: DeploymentState) -> RegistryStatus:
        """The status with what is known here: not told yet, or diverged; never both. And what was set aside."""
        name, alias = deployment.name, alias_of(deployment)
        aside = len(self._aside.get(name, ()))
        if aside:
            says = f"{aside} of what was to be told cannot be read and was set aside: look at the trail, and reconcile"
            status = msgspec.structs.replace(status, set_aside=aside, says=_both(says, status.says))
        if any(generation <= state.generation for generation, _ in self._untold.get(name, ())):
            says = f"alias {alias} is to be moved to version {state.champion}"
            fault = self._faults.get(name)
            return msgspec.structs.replace(status, unwritten=says if fault is None else f"{says}: {fault}")
        place = self._seen.get(name)
        if place is None or place.version is None or place.version == state.champion:
            return status
        if (place.model, place.alias) != (deployment.model, alias):
            return status  # a reload names another one, which was not asked for yet
        there = place.version
        moved = f"the registry's alias {alias} is at version {there}, version {state.champion} serves"
        return msgspec.structs.replace(
            status,
            diverged=True,
            says=_both(moved, status.says),
            divergence=Divergence(alias=alias, registry=there, sidecar=state.champion, since=place.since),
        )


def _unheard(error: RegistryError) -> bool:
    return isinstance(error, Unreachable) and not isinstance(error, Refused)


def _both(first: str, second: str | None) -> str:
    return first if second is None else f"{first}; {second}"


def _read(delivery: Delivery) -> Notice | None:
    """None for a row that nobody can read."""
    try:
        return msgspec.json.decode(delivery.payload, type=Notice)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
