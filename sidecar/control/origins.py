"""Evidence begins anew where a version's name stands for another model than before, though its address is the same.

Keeps: the same version number with other content, one that was registered anew, and another model's version of that
number are nothing that evidence so far is about: a challenger's begins anew, or with the champion's all of it, and the
log says why. Known over restarts. Does not: ask the registry, or look at addresses (`watch` does).
Called by: `rounds` after each look at the registry; `begin` by control's composition root once evidence is restored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

import msgspec

from sidecar.config import Deployment
from sidecar.control.carryover import Snapshot
from sidecar.control.watch import DeploymentWatch
from sidecar.decide.origin import Origin, contradiction, together

log = logging.getLogger("sidecar.control.registry")

SNAPSHOT = "origins"


def by_name(deployment: Deployment, version: str) -> Origin:
    """No registry says more than the settings."""
    del version
    return Origin(model=deployment.model)


class Origins:
    """What the versions in play were when they were last looked at. `origin_of` (deployment, version) as known now."""

    def __init__(self, origin_of: Callable[[Deployment, str], Origin] = by_name) -> None:
        self._origin_of = origin_of
        self._known: dict[str, dict[str, Origin]] = {}
        self._kept: dict[str, dict[str, Origin]] = {}
        self._begun = False

    def begin(self, watches: Iterable[DeploymentWatch], now: float) -> None:
        """From now on: before, evidence of the last run was not there yet, and would have come on top."""
        self._begun = True
        for watch in watches:
            self.look(watch, now)

    def known(self, deployment: str) -> Mapping[str, Origin]:
        """By version, as of the last look."""
        return self._known.get(deployment, {})

    def look(self, watch: DeploymentWatch, now: float) -> None:
        """Compares with what was known, and lets evidence begin anew that is about something else."""
        if not self._begun:
            return
        name, champion = watch.deployment.name, watch.state.champion
        before, found = self.known(name), {}
        others: dict[str, str] = {}
        for version in dict.fromkeys((champion, *watch.comparisons)):
            origin, known = self._origin_of(watch.deployment, version), before.get(version)
            why = None if known is None else contradiction(known, origin)
            if why is not None:
                others[version] = why
            found[version] = origin if known is None or why is not None else together(known, origin)
        self._known[name] = found
        for version, why in others.items():
            fields = {"deployment": name, "version": version, "says": why}
            log.warning("evidence begins anew, the version is another one", extra={"fields": fields})
        if others:
            _anew(watch, tuple(watch.comparisons) if champion in others else tuple(others), now)

    # --- over restarts -------------------------------------------------------------------------------------------

    def unsaved(self, now: float) -> list[Snapshot]:
        """What a restart would not know yet."""
        changed = {name: known for name, known in self._known.items() if self._kept.get(name) != known}
        return [Snapshot(name, SNAPSHOT, msgspec.msgpack.encode(known), now) for name, known in changed.items()]

    def saved(self, snapshots: Iterable[Snapshot]) -> None:
        """A restart knows these."""
        for snapshot in snapshots:
            if snapshot.observer == SNAPSHOT:
                self._kept[snapshot.deployment] = msgspec.msgpack.decode(snapshot.blob, type=dict[str, Origin])

    def restore(self, snapshots: Mapping[str, Snapshot]) -> None:
        """What a deployment's versions were before the restart; what nobody can read is as if never seen."""
        kept = snapshots.get(SNAPSHOT)
        if kept is None:
            return
        try:
            known = msgspec.msgpack.decode(kept.blob, type=dict[str, Origin])
        except ValueError as error:
            log.warning("what versions were is forgotten", extra={"fields": {"says": str(error)}})
            return
        self._known[kept.deployment] = self._kept[kept.deployment] = known


def _anew(watch: DeploymentWatch, versions: Iterable[str], now: float) -> None:
    watch.evidence.forget(versions, now)
