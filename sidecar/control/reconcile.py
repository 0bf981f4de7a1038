"""The verb on a divergence: a person says that the registry's alias is to be where we are.

Keeps: the alias is asked for at that moment, and written only if it is still where the person saw it; the audit entry
and what is to be told are one transaction, sent by the outbox like any transition's. Taking the registry's side changes
nothing here: it answers which verb does, since there is one way to become champion.
Does not: promote, roll back, or hold up the deployment's other verbs while the registry answers.
Called by: the service that the admin API sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Literal

from registry_client.errors import RegistryError
from sidecar import __version__
from sidecar.config import Deployment
from sidecar.control.store import Store
from sidecar.control.turns import Turns
from sidecar.control.write_back import WriteBack, alias_of
from sidecar.decide.audit_chain import Deed
from sidecar.decide.promotion import checked_reason
from sidecar.decide.routing import targets
from sidecar.decide.write_back import Notice
from sidecar.errors import Refused, SidecarError, Unavailable, Unknown
from sidecar.standing import DeploymentState, Reconciliation

Side = Literal["sidecar", "registry"]

# A registry that answers has taken the alias by then; one that is slow gets it later, and the answer says so.
WRITTEN_WITHIN_S = 5.0


class Reconciler:
    """Carries the verb out.

    Args:
        store: open.
        turns: shared with the controller.
        write_back: knows the registry.
        deployments: those in force, by name.
        states: the stored states by deployment.
        wake: there is something in the outbox.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        turns: Turns,
        write_back: WriteBack,
        *,
        deployments: Callable[[], Mapping[str, Deployment]],
        states: Callable[[], Mapping[str, DeploymentState]],
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._turns = turns
        self._write_back = write_back
        self._deployments = deployments
        self._states = states
        self._wake = wake
        self._clock = clock

    async def reconcile(
        self, name: str, *, take: Side, expected: str | None, actor: str, reason: str
    ) -> Reconciliation:
        """Points the registry's alias at the version that serves; `expected` is compared where given.

        Raises Unknown, Invalid, Refused (no registry is configured; someone moved the alias once more; the registry's
        side is asked for, and what to do instead), Unavailable (the registry does not answer).
        """
        text = checked_reason(reason)
        deployment, _ = self._standing(name)
        if not self._write_back.configured:
            raise Refused("no registry is configured: no alias names a champion that could be another")
        try:
            there = await self._write_back.look(deployment)
        except RegistryError as error:
            raise Unavailable(f"the registry cannot be asked, nothing was changed ({error}): repeat later") from error
        alias = alias_of(deployment)
        if expected is not None and expected != there:
            raise Refused(f"{name}: the registry's alias {alias} is at {_at(there)}, not {expected}: look again")
        async with self._turns.of(name):
            deployment, state = self._standing(name)
            if there == state.champion:
                return self._answer(state, alias, there, None)
            if take == "registry":
                raise Refused(_way(deployment, state, alias, there))
            notice = Notice(
                model=deployment.model,
                version=state.champion,
                alias=alias,
                from_version=there,
                deployment=name,
                generation=state.generation,
                action="reconcile",
                at=self._clock(),
                actor=actor,
                reason=text,
            )
            tried = self._write_back.tried(name)
            seq = await self._turns.to_its_end(self._commit(notice))
        with contextlib.suppress(TimeoutError):  # the answer says whether it is written
            async with asyncio.timeout(WRITTEN_WITHIN_S):
                await tried.wait()
        return self._answer(state, alias, there, seq)

    async def _commit(self, notice: Notice) -> int:
        details = {"alias": notice.alias, "model": notice.model, "take": "sidecar", "software": __version__}
        deed = Deed(
            at=notice.at,
            actor=notice.actor,
            action="reconcile",
            deployment=notice.deployment,
            from_version=notice.from_version,
            to_version=notice.version,
            reason=notice.reason,
            evidence=None,
            details=json.dumps(details, sort_keys=True, separators=(",", ":")),
        )
        try:
            entry = await self._store.record(deed, (self._write_back.delivery(notice),))
        except SidecarError:
            self._write_back.withdraw(notice)
            raise
        self._wake()
        return entry.seq

    def _standing(self, name: str) -> tuple[Deployment, DeploymentState]:
        deployments, states = self._deployments(), self._states()
        if name not in deployments:
            raise Unknown(f"there is no deployment {name!r}; there are: {', '.join(deployments) or 'none'}")
        if name not in states:
            raise Unknown(f"deployment {name!r} was not started yet")
        return deployments[name], states[name]

    def _answer(self, state: DeploymentState, alias: str, there: str | None, seq: int | None) -> Reconciliation:
        return Reconciliation(
            deployment=state.deployment,
            alias=alias,
            from_version=there,
            to_version=state.champion,
            written=self._write_back.seen(state.deployment) == state.champion,
            audit_seq=seq,
        )


def _at(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


def _way(deployment: Deployment, state: DeploymentState, alias: str, there: str | None) -> str:
    """Which verb makes the registry's version the champion here."""
    name = state.deployment
    if there is None:
        return f"{name}: the registry has no alias {alias}, so there is no version to take"
    if there == state.previous:
        return (
            f"{name}: version {there}, which the registry names, was champion before {state.champion}: go back to it"
            f" with `sidecar rollback {name} --to {there} --reason …`; nothing was changed"
        )
    if there in targets(deployment):
        return (
            f"{name}: version {there}, which the registry names, becomes champion through the gates only:"
            f" `sidecar promote {name} {there} --reason …`; nothing was changed"
        )
    return (
        f"{name}: version {there}, which the registry names, is not known here: make it a challenger first, so that"
        " there is evidence about it; nothing was changed"
    )
