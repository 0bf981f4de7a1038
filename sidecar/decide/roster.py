"""What calls have changed about a deployment's shadow: challengers set and removed, and the kill switch.

Keeps: a roster lies over the settings file and beats it; what the file says too is not kept in it, so that the file
counts again as soon as both agree. The champion and the version that a rollback goes back to are never removed.
Does not: store, publish or check a challenger's settings (`config` does). Pure: rosters in, rosters out; every change
counts `revision` up by one. Called by `control/challengers` and by whoever needs the deployment that is in force.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sidecar.config import Deployment
from sidecar.config_values import Section
from sidecar.config_versions import Challenger, VersionTls
from sidecar.errors import Refused, Unknown
from sidecar.standing import DeploymentState, Target, TargetTls

Source = Literal["settings", "registry", "call", "former"]


class Roster(Section):
    """The stored changes of one deployment. `removed`: versions that the file names and a call took away."""

    deployment: str
    revision: int = 0
    enabled: bool = True
    challengers: tuple[Challenger, ...] = ()
    removed: tuple[str, ...] = ()

    def challenger(self, version: str) -> Challenger | None:
        """As a call has set it."""
        return next((c for c in self.challengers if c.version == version), None)


def in_force(deployment: Deployment, roster: Roster | None) -> Deployment:
    """The deployment of the file with a roster over it."""
    if roster is None or not (roster.challengers or roster.removed):
        return deployment
    stored = {c.version: _addressed(deployment, c) for c in roster.challengers}
    kept = [stored.pop(c.version, c) for c in deployment.challengers if c.version not in roster.removed]
    return deployment.model_copy(update={"challengers": (*kept, *stored.values())})


def _addressed(deployment: Deployment, challenger: Challenger) -> Challenger:
    """The file's champion answers where the file says, also while it scores in the shadow under a call's settings."""
    named = deployment.champion
    if named is None or challenger.version != named.version:
        return challenger
    return challenger.model_copy(update={"url": named.url, "path": named.path, "tls": named.tls})


def known_settings(deployment: Deployment, state: DeploymentState, version: str) -> dict[str, object] | None:
    """What is known of a version before a call changes it, under the keys of the settings; None for a new one.

    `deployment` is the one in force.
    """
    challenger = next((c for c in deployment.challengers if c.version == version), None)
    if challenger is not None:
        return challenger.model_dump()
    named = deployment.champion
    if named is not None and version == named.version:
        return named.model_dump()
    former = {state.champion: state.champion_target, state.previous: state.previous_target}.get(version)
    if former is None:
        return None
    return {"version": version, "url": former.url, "path": former.path, "tls": tls_settings(former).model_dump()}


def tls_settings(target: Target) -> VersionTls:
    """A target's own TLS under the keys of the settings."""
    tls = target.tls or TargetTls()
    return VersionTls(
        ca_file=tls.ca_file or None,
        cert_file=tls.cert_file or None,
        key_file=tls.key_file or None,
        server_name=tls.server_name or None,
    )


def with_challenger(deployment: Deployment, state: DeploymentState, roster: Roster, challenger: Challenger) -> Roster:
    """The roster in which this challenger is as given; the same one where nothing changes.

    Raises Refused for the champion, whose bounds as a challenger would have no effect, and for another address of the
    version that the file names as champion.
    """
    version = challenger.version
    if version == state.champion:
        raise Refused(f"{deployment.name}: version {version} is the champion, it gets no copies")
    if _addressed(deployment, challenger) != challenger:
        raise Refused(
            f"{deployment.name}: the settings file names version {version} as champion, so its address is changed there"
        )
    if challenger in in_force(deployment, roster).challengers:
        return roster
    set_by_call = [challenger if c.version == version else c for c in roster.challengers]
    if challenger not in set_by_call:
        set_by_call.append(challenger)
    removed = tuple(v for v in roster.removed if v != version)
    changed = roster.model_copy(update={"challengers": tuple(set_by_call), "removed": removed})
    return _counted(roster, settled(deployment, changed))


def without_challenger(deployment: Deployment, state: DeploymentState, roster: Roster, version: str) -> Roster:
    """The roster in which this version gets no copies any more.

    Raises Unknown for a version that is none of the challengers, Refused for the champion and for its predecessor.
    """
    if version == state.champion:
        raise Refused(f"{deployment.name}: version {version} is the champion; promote another version first")
    if version == state.previous:
        raise Refused(
            f"{deployment.name}: version {version} is where a rollback goes back to, so it goes on scoring; set its"
            " fraction to 0 if it shall get no copies"
        )
    challengers = {c.version for c in in_force(deployment, roster).challengers}
    if version not in challengers:
        known = ", ".join(sorted(challengers - {state.champion})) or "none"
        raise Unknown(f"{deployment.name} has no challenger {version!r}; it has {known}")
    named = any(c.version == version for c in deployment.challengers)
    changed = {
        "challengers": tuple(c for c in roster.challengers if c.version != version),
        "removed": (*roster.removed, version) if named else roster.removed,
    }
    return _counted(roster, roster.model_copy(update=changed))


def switched(roster: Roster, *, enabled: bool) -> Roster:
    """The roster with the kill switch in this position."""
    return _counted(roster, roster.model_copy(update={"enabled": enabled}))


def settled(deployment: Deployment, roster: Roster, still_named: Collection[str] = ()) -> Roster:
    """Without what the file says too, and without removals of versions that the file no longer names.

    `still_named`: versions that are named, but get no copies yet. `revision` is left as it is.
    """
    named = {c.version: c for c in deployment.challengers}
    challengers = tuple(c for c in roster.challengers if named.get(c.version) != _addressed(deployment, c))
    removed = tuple(version for version in roster.removed if version in named or version in still_named)
    if (challengers, removed) == (roster.challengers, roster.removed):
        return roster
    return roster.model_copy(update={"challengers": challengers, "removed": removed})


def following(deployment: Deployment, roster: Roster, still_named: Collection[str] = ()) -> Roster:
    """After a start or a reload: what the file caught up with is no change any more."""
    return _counted(roster, settled(deployment, roster, still_named))


def source_of(deployment: Deployment, roster: Roster | None, version: str) -> Source:
    """Where a challenger's settings come from."""
    if roster is not None and roster.challenger(version) is not None:
        return "call"
    if all(c.version != version for c in deployment.challengers):
        return "former"
    return "settings" if deployment.from_registry is None else "registry"


def differences(deployment: Deployment, state: DeploymentState, roster: Roster | None) -> tuple[str, ...]:
    """What the settings file has otherwise, each in a few words."""
    told = []
    champion = deployment.champion
    if champion is not None and state.champion != champion.version:
        told.append(f"champion is {state.champion}, the file has {champion.version}")
    if roster is not None:
        named = {c.version for c in deployment.challengers}
        for challenger in roster.challengers:
            how = "changed" if challenger.version in named else "added"
            told.append(f"challenger {challenger.version} was {how} by a call")
        told += [f"challenger {version} was removed by a call" for version in roster.removed]
    return tuple(told)


def _counted(before: Roster, after: Roster) -> Roster:
    same = after.model_copy(update={"revision": before.revision}) == before
    return before if same else after.model_copy(update={"revision": before.revision + 1})
