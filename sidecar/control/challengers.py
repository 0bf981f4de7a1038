"""The verbs on the shadow: set a challenger, remove one, switch all copies off and on, without a restart.

Keeps: read, check, decide, commit roster and audit entry at once, then publish; in turn with promotions and rollbacks
of the same deployment. The trail names a challenger's own headers, never their values.
Does not: judge what may be removed (`decide/roster` does), check settings (`config` does, handed in), probe: a
challenger that is not there yet harms nobody.
Called by: the service that the admin API sees; `start` by control's composition root.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping

from sidecar import __version__
from sidecar.config import Deployment
from sidecar.config_versions import Challenger
from sidecar.control.store import Store
from sidecar.control.stored_roster import to_row
from sidecar.control.turns import Turns
from sidecar.decide.audit_chain import Deed
from sidecar.decide.promotion import checked_reason
from sidecar.decide.roster import (
    Roster,
    following,
    in_force,
    known_settings,
    switched,
    with_challenger,
    without_challenger,
)
from sidecar.errors import Invalid, Unknown
from sidecar.standing import DeploymentState, ShadowAction, ShadowChange

_FOLLOWED = "the settings file, or the registry, says the same by now, or names a version no longer"


class Challengers:
    """Carries out changes of the shadow. `rosters` is what was last committed.

    Args:
        store: open.
        turns: shared with the controller.
        deployments: the settings file's by name, with the versions that the registry has named for them; asked at each
            verb, so that a reload counts at once.
        states: the stored states by deployment.
        read: checks a challenger's settings as in the file; may read the files that they name. Raises Invalid.
        clock: seconds since the epoch.
        named: versions that the registry names for a deployment, also those that get no copies yet.
    """

    def __init__(
        self,
        store: Store,
        turns: Turns,
        *,
        deployments: Callable[[], Mapping[str, Deployment]],
        states: Callable[[], Mapping[str, DeploymentState]],
        read: Callable[[Mapping[str, object]], Challenger],
        clock: Callable[[], float],
        named: Callable[[str], Collection[str]] = lambda _: (),
    ) -> None:
        self.rosters: dict[str, Roster] = {}
        self._store = store
        self._turns = turns
        self._deployments = deployments
        self._states = states
        self._read = read
        self._clock = clock
        self._named = named

    async def take_up(self) -> None:
        """Reads what is stored, so that others know it before `start`."""
        self.rosters = await self._store.rosters() | self.rosters

    async def start(self, names: Collection[str] | None = None) -> None:
        """Takes up what is stored, less what the settings file or the registry's aliases say too; does not publish.

        Also after a reload. `names`: the deployments that this is about, by default all. Raises Unavailable.
        """
        await self.take_up()
        for name in self._deployments() if names is None else names:
            async with self._turns.of(name):
                deployment, before = self._deployments().get(name), self.roster(name)
                if deployment is None:
                    continue
                after = following(deployment, before, self._named(name))
                if after is not before:
                    await self._write(before, after, self._deed(after, "follow_settings", "sidecar", _FOLLOWED))

    def roster(self, name: str) -> Roster:
        """What calls have changed about a deployment; nothing, where none has."""
        return self.rosters.get(name) or Roster(deployment=name)

    def in_force(self) -> dict[str, Deployment]:
        """The deployments with what calls have changed, by name."""
        return {name: in_force(d, self.rosters.get(name)) for name, d in self._deployments().items()}

    def switched_off(self) -> frozenset[str]:
        """The deployments whose shadow work is switched off."""
        return frozenset(name for name, roster in self.rosters.items() if not roster.enabled)

    async def set(
        self, name: str, version: str, changes: Mapping[str, object], *, actor: str, reason: str
    ) -> ShadowChange:
        """Adds a challenger, or changes the given settings of one; the others stay.

        Raises Unknown, Invalid for what could not stand in the file either, Refused, Unavailable.
        """
        text = _checked(reason)
        if changes.get("version", version) != version:
            raise Invalid("version: is another one than the path names")
        async with self._turns.of(name):
            deployment, state = self._standing(name)
            before, now = self.roster(name), in_force(deployment, self.roster(name))
            known = known_settings(now, state, version)
            challenger = await asyncio.to_thread(self._read, {**(known or {}), **changes, "version": version})
            after = with_challenger(deployment, state, before, challenger)
            seq = None
            if after is not before:
                was = next((c for c in now.challengers if c.version == version), None)
                deed = self._deed(after, "set_challenger", actor, text, before=was, challenger=challenger)
                seq = await self._commit(before, after, deed)
            return ShadowChange(
                deployment=name,
                version=version,
                done="unchanged" if seq is None else "added" if known is None else "changed",
                audit_seq=seq,
            )

    async def remove(self, name: str, version: str, *, actor: str, reason: str) -> ShadowChange:
        """Takes a challenger out of the shadow; what is under way to it ends as it does. Raises as `set`."""
        text = _checked(reason)
        async with self._turns.of(name):
            deployment, state = self._standing(name)
            before = self.roster(name)
            after = without_challenger(deployment, state, before, version)
            was = next(c for c in in_force(deployment, before).challengers if c.version == version)
            deed = self._deed(after, "remove_challenger", actor, text, before=was)
            seq = await self._commit(before, after, deed)
            return ShadowChange(deployment=name, version=version, done="removed", audit_seq=seq)

    async def switch(self, name: str, *, enabled: bool, actor: str, reason: str) -> ShadowChange:
        """The kill switch for all shadow work of a deployment. Raises Unknown, Invalid, Unavailable."""
        text = _checked(reason)
        async with self._turns.of(name):
            self._standing(name)
            before = self.roster(name)
            after = switched(before, enabled=enabled)
            if after is before:
                return ShadowChange(deployment=name, version=None, done="unchanged", audit_seq=None)
            deed = self._deed(after, "shadow_on" if enabled else "shadow_off", actor, text)
            seq = await self._commit(before, after, deed)
            return ShadowChange(deployment=name, version=None, done="enabled" if enabled else "disabled", audit_seq=seq)

    # --- the steps ----------------------------------------------------------------------------------------------

    def _standing(self, name: str) -> tuple[Deployment, DeploymentState]:
        deployments, states = self._deployments(), self._states()
        if name not in deployments:
            raise Unknown(f"there is no deployment {name!r}; there are: {', '.join(deployments) or 'none'}")
        if name not in states:
            raise Unknown(f"deployment {name!r} was not started yet")
        return deployments[name], states[name]

    def _deed(
        self,
        after: Roster,
        action: ShadowAction,
        actor: str,
        reason: str,
        before: Challenger | None = None,
        challenger: Challenger | None = None,
    ) -> Deed:
        """What the trail tells; `before` and `challenger` are the challenger's settings before and after."""
        details = {
            "before": None if before is None else _shown(before),
            "after": None if challenger is None else _shown(challenger),
            "roster": to_row(after)["digest"],
            "software": __version__,
        }
        return Deed(
            at=self._clock(),
            actor=actor,
            action=action,
            deployment=after.deployment,
            from_version=before.version if before is not None and challenger is None else None,
            to_version=challenger.version if challenger is not None else None,
            reason=reason,
            evidence=None,
            details=json.dumps(details, sort_keys=True, separators=(",", ":"), allow_nan=False),
        )

    async def _commit(self, before: Roster, after: Roster, deed: Deed) -> int:
        return await self._turns.to_its_end(self._carry_out(before, after, deed))

    async def _carry_out(self, before: Roster, after: Roster, deed: Deed) -> int:
        seq = await self._write(before, after, deed)
        await self._turns.publish()
        return seq

    async def _write(self, before: Roster, after: Roster, deed: Deed) -> int:
        entry = await self._store.change_roster(after, expected_revision=before.revision, deed=deed)
        self.rosters[after.deployment] = after
        return entry.seq


def _shown(challenger: Challenger) -> dict[str, object]:
    """Its settings as the trail may keep them: of its own headers the names only, since a value may be a secret."""
    return challenger.model_dump(exclude={"version"}) | {"headers": sorted(challenger.headers)}


def _checked(reason: str) -> str:
    """A switch is thrown in a hurry: no reason is needed, but one that is given must be readable."""
    return checked_reason(reason) if reason.strip() else ""
