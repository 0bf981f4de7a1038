"""What the machine does by itself: promotes where the settings say so, and takes back what does harm while watched.

Keeps: it moves by the same verbs as people, through the same gates and probes, bound to the champion and the evidence
that it has seen; what is refused waits half a minute. It acts on what has lasted, counted anew after a restart.
Does not: decide (`decide/automation`, `decide/harm`), keep a memory of its own: what people did is read from the trail.
Called by: the rounds, once a second; `hold` by the desk. Wired by control's composition root.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from sidecar import __version__
from sidecar.agreed import HoldDone
from sidecar.control.alarm_book import AlarmBook
from sidecar.control.announcer import Announcer
from sidecar.control.canarying import Canarying, CanaryVerbs
from sidecar.control.objection import Objection
from sidecar.control.store import Store
from sidecar.control.turns import Turns
from sidecar.control.watch import DeploymentWatch
from sidecar.decide.audit_chain import Deed
from sidecar.decide.automation import ACTIONS, HOLD, RELEASE, Past, waits
from sidecar.decide.harm import Harm, harm, watched
from sidecar.decide.promotion import MACHINE, checked_reason, phase
from sidecar.decide.routing import targets
from sidecar.errors import SidecarError, Unknown
from sidecar.reports import GateTable
from sidecar.standing import Canary, Transition
from sidecar.watched import WatchStatus
from sidecar.wished import Wish

log = logging.getLogger("sidecar.control.automation")

RETRY_S = 30.0


class Verbs(CanaryVerbs, Protocol):
    """The desk, as far as the machine needs it."""

    async def promote(self, name: str, wish: Wish, *, objection: Objection | None = None) -> Transition:
        """Through the gates."""

    async def rollback(
        self,
        name: str,
        *,
        actor: str,
        reason: str,
        to: str | None,
        force: bool,
        idempotency_key: str | None,
        harm: Harm | None = None,
    ) -> Transition:
        """Back."""

    async def start_canary(self, name: str, wish: Wish, *, objection: Objection | None = None) -> Transition:
        """A share of the requests first."""


class Automation:
    """One look at every deployment a second."""

    def __init__(
        self,
        store: Store,
        turns: Turns,
        *,
        verbs: Verbs,
        watches: Mapping[str, DeploymentWatch],
        alarms: AlarmBook,
        clock: Callable[[], float],
        announcer: Announcer,
    ) -> None:
        self._canarying = Canarying(verbs, announcer, clock)
        self._store = store
        self._turns = turns
        self._verbs = verbs
        self._watches = watches
        self._alarms = alarms
        self._clock = clock
        # Since when every gate has passed, by deployment, challenger, generation and the evidence's beginning.
        self._passing: dict[tuple[str, str, int, float], float] = {}
        self._pasts: dict[str, tuple[int, Past]] = {}
        self._waits: dict[str, dict[str, str]] = {}
        self._refused_at: dict[str, float] = {}

    def waits(self, name: str) -> dict[str, str]:
        """By version: what the machine's next step waits for."""
        return dict(self._waits.get(name, {}))

    def held(self, name: str) -> dict[str, str]:
        """By version: why the machine may not promote it, whatever the gates say. Empty where it promotes nothing."""
        watch = self._watches.get(name)
        if watch is None or watch.deployment.promotion.mode != "auto":
            return {}
        _, past = self._pasts.get(name, (-1, Past()))
        known = (version for version in watch.comparisons if version != watch.state.champion)
        return {version: says for version in known if (says := past.held(version)) is not None}

    def watched(self, name: str, now: float) -> WatchStatus | None:
        """What the watch of a new champion sees; None while none is watched."""
        watch = self._watches.get(name)
        until = None if watch is None else watch.state.watch_until
        if watch is None or until is None or phase(watch.state, now) != "watching":
            return None
        state, deployment = watch.state, watch.deployment
        former = state.previous
        compared = None if former is None else watch.comparisons.get(former)
        paired = None if former is None or compared is None else watch.paired.paired(state.champion, former, now)
        report = None if compared is None else compared.report(now)
        alarms = self._alarms.open(name)
        return watched(state, until, deployment.promotion.watch, report, paired, deployment.gates, alarms)

    async def round(self) -> None:
        """Every deployment once. Raises Unavailable where the trail cannot be read."""
        for name in [name for name in self._waits if name not in self._watches]:
            del self._waits[name]
        standing = {(name, watch.state.generation) for name, watch in self._watches.items()}
        self._passing = {key: since for key, since in self._passing.items() if (key[0], key[2]) in standing}
        faults: list[SidecarError] = []
        for name, watch in list(self._watches.items()):
            try:
                await self._look_at(name, watch, self._clock())
            except SidecarError as error:  # one of them hides no other
                faults.append(error)
        if faults:
            raise faults[0]

    async def _look_at(self, name: str, watch: DeploymentWatch, now: float) -> None:
        policy = watch.deployment.promotion
        self._waits[name] = {}
        if watch.state.canary is not None:
            await self._look_at_canary(name, watch, watch.state.canary, now)
        elif phase(watch.state, now) == "watching":
            if policy.watch.rollback == "auto":
                await self._watch_over(name, watch, now)
        elif policy.mode == "auto":
            await self._look(name, watch, now)

    # --- while a new champion is watched -------------------------------------------------------------------------

    async def _watch_over(self, name: str, watch: DeploymentWatch, now: float) -> None:
        state, deployment = watch.state, watch.deployment
        former = state.previous
        compared = None if former is None else watch.comparisons.get(former)
        if former is None or compared is None:
            return
        paired = watch.paired.paired(state.champion, former, now)
        alpha, alarms = deployment.promotion.watch.alpha, self._alarms.open(name)
        found = harm(state, compared.report(now), paired, deployment.gates, alarms, alpha)
        if found is None:
            self._waits[name][state.champion] = "it is watched; nothing speaks against it so far"
            return
        says = f"version {state.champion} does harm: {found.says}"
        if (await self._past(name)).moves_left(deployment.promotion.flaps, now) < 1:
            self._waits[name][state.champion] = f"{says}; the machine has moved the champion too often to go back"
            return
        if self._tried_just_now(name, now):
            self._waits[name][state.champion] = f"{says}; going back is tried again soon"
            return
        try:
            await self._verbs.rollback(
                name, actor=MACHINE, reason=says, to=former, force=False, idempotency_key=None, harm=found
            )
        except SidecarError as error:
            self._refused(name, state.champion, f"{says}; going back was refused: {error}", now)
        else:
            log.warning("a champion was rolled back", extra={"fields": {"deployment": name, "says": says}})

    # --- while a canary answers ----------------------------------------------------------------------------------

    async def _look_at_canary(self, name: str, watch: DeploymentWatch, canary: Canary, now: float) -> None:
        try:
            says = await self._canarying.look(name, watch, canary, lambda: self._past(name))
        except SidecarError as error:
            says = str(error)
        if not says and watch.deployment.promotion.mode == "auto":
            await self._look(name, watch, now, (canary.version,))
        else:
            self._waits[name][canary.version] = says or "every step has passed; a person may promote it"

    # --- while nothing is watched --------------------------------------------------------------------------------

    async def _look(self, name: str, watch: DeploymentWatch, now: float, only: Collection[str] | None = None) -> None:
        past = await self._past(name)
        for challenger, compared in list(watch.comparisons.items()):
            if only is not None and challenger not in only:
                continue
            key = (name, challenger, watch.state.generation, compared.since)
            if compared.self_test:
                self._waits[name][challenger] = "it answers at the champion's own address: there is nothing to promote"
                continue
            table = self._verbs.gates(name, challenger)
            if table.verdict == "pass":
                since = self._passing.setdefault(key, now)
                passing_s: float | None = now - since
                if since > now:  # the clock was set back
                    self._passing[key], passing_s = now, 0.0
            else:
                self._passing.pop(key, None)
                passing_s = None
            says = waits(watch.deployment.promotion, past, challenger, passing_s, now)
            if says is not None:
                self._waits[name][challenger] = says
            elif self._tried_just_now(name, now):
                self._waits[name][challenger] = "every gate passes; it is tried again soon"
            elif await self._moved(name, watch, table, now):
                return

    async def _moved(self, name: str, watch: DeploymentWatch, table: GateTable, now: float) -> bool:
        """A canary where there are steps for one and it has not taken them, else a promotion."""
        judged = watch.state

        async def objection() -> str | None:
            """What somebody has done or said before the turn came."""
            if watch.state != judged:
                return "somebody was faster"
            return (await self._past(name)).held(table.challenger)

        policy, says = watch.deployment.promotion, f"every gate has passed for {watch.deployment.promotion.dwell_s:g} s"
        wish = Wish(table.challenger, MACHINE, says, table.champion, table.evidence, automatic=True)
        try:
            if policy.canary.steps and watch.state.canary is None:
                await self._verbs.start_canary(name, wish, objection=objection)
                return True
            await self._verbs.promote(name, wish, objection=objection)
        except SidecarError as error:
            self._refused(name, table.challenger, str(error), now)
            return False
        log.info("a challenger was promoted", extra={"fields": {"deployment": name, "version": table.challenger}})
        return True

    def _tried_just_now(self, name: str, now: float) -> bool:
        """Within the last half minute; a clock that was set back makes nobody wait for longer."""
        return 0.0 <= now - self._refused_at.get(name, -RETRY_S) < RETRY_S

    def _refused(self, name: str, version: str, says: str, now: float) -> None:
        self._refused_at[name] = now
        self._waits[name][version] = says
        log.warning("the machine was refused", extra={"fields": {"deployment": name, "says": says}})

    # --- what people say -----------------------------------------------------------------------------------------

    async def hold(self, name: str, version: str, *, held: bool, actor: str, reason: str) -> HoldDone:
        """A person says whether the machine may promote a version. Raises Unknown, Invalid, Unavailable."""
        text = checked_reason(reason)
        watch = self._watches.get(name)
        if watch is None:
            raise Unknown(f"there is no deployment {name!r}; there are: {', '.join(self._watches) or 'none'}")
        async with self._turns.of(name):
            past = await self._past(name)
            known = {*targets(watch.deployment), *watch.comparisons, watch.state.champion}
            if version not in known and past.held(version) is None:
                raise Unknown(f"{name} has no version {version!r}; it has {', '.join(sorted(known))}")
            # Who holds what is held already, since it has been champion, says why from now on.
            if past.held_by_a_person(version) if held else past.held(version) is None:
                return HoldDone(deployment=name, version=version, done="unchanged", audit_seq=None)
            deed = Deed(
                at=self._clock(),
                actor=actor,
                action=HOLD if held else RELEASE,
                deployment=name,
                from_version=None,
                to_version=version,
                reason=text,
                evidence=None,
                details=json.dumps({"software": __version__}, separators=(",", ":")),
            )
            entry = await self._turns.to_its_end(self._store.record(deed))
            await self._past(name)  # so that whoever asks next is told
        return HoldDone(deployment=name, version=version, done="held" if held else "released", audit_seq=entry.seq)

    async def _past(self, name: str) -> Past:
        """Read anew only where the trail has grown."""
        seq, (read, past) = self._store.newest_seq, self._pasts.get(name, (-1, Past()))
        if read == seq:
            return past
        entries = await self._store.entries_of(ACTIONS)
        for each in {*self._watches, name}:
            self._pasts[each] = (seq, Past(entry for entry in entries if entry.deployment == each))
        return self._pasts[name][1]
