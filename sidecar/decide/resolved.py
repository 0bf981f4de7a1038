"""What a deployment's settings mean once the registry has named the versions: its champion and challengers.

Keeps: the stored champion beats the registry, an alias of the champion's is read for the first start only; aliases of
challengers are followed; a version gets nothing before its place is known, and no version stands there twice. Where a
call has said that the champion answers elsewhere, or its place is not known now, it stays where it is stored.
Does not: ask the registry or start a model. Pure. Called by `control/following`; whoever needs the deployment that is
in force takes what comes out of this for the settings file's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sidecar.config import Deployment
from sidecar.config_registry import FromRegistry
from sidecar.config_versions import Challenger, Champion
from sidecar.decide.roster import tls_settings
from sidecar.standing import DeploymentState, Target

Answering = Callable[[str], Target | str]
"""Of a version that runs here: where it answers, or a sentence about what is waited for."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """`deployment` has a champion as soon as one can be served.

    `named`: every version that the aliases of challengers name, whether it gets copies yet or not. `unserved` says why
    the champion is not where the registry means it, `waits` of each challenger that gets no copies yet why
    (`following` adds what is wrong with versions that ail).
    """

    deployment: Deployment
    named: tuple[str, ...] = ()
    unserved: str | None = None
    waits: tuple[str, ...] = ()


def followed(source: FromRegistry, aliases: Mapping[str, str]) -> dict[str, str]:
    """The aliases of challengers that are there, in the settings' order."""
    return {alias: aliases[alias] for alias in source.challengers if alias in aliases}


def moves(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[tuple[str, str | None, str | None], ...]:
    """(alias, version before, version after) of each that differs; None where it was not or is not there."""
    both = dict.fromkeys((*before, *after))
    return tuple((name, before.get(name), after.get(name)) for name in both if before.get(name) != after.get(name))


def serving(source: FromRegistry, aliases: Mapping[str, str], state: DeploymentState | None) -> str | None:
    """The version that answers callers, or would at the first start."""
    return state.champion if state is not None else aliases.get(source.champion)


def wanted(
    source: FromRegistry, aliases: Mapping[str, str], state: DeploymentState | None, removed: Collection[str] = ()
) -> tuple[str, ...]:
    """Every version that has to run: champion, the one that a rollback goes back to, challengers; each once."""
    former = state.previous if state is not None else None
    challengers = (version for version in followed(source, aliases).values() if version not in removed)
    versions = dict.fromkeys((serving(source, aliases, state), former, *challengers))
    return tuple(version for version in versions if version is not None)


def resolve(
    deployment: Deployment,
    aliases: Mapping[str, str],
    state: DeploymentState | None,
    answering: Answering,
    placed_by_call: Collection[str] = (),
) -> Resolved:
    """The deployment with the versions that the registry's aliases name; the same one if it names them itself.

    Args:
        deployment: of the settings file.
        aliases: alias to version, as the registry has them.
        state: as stored, None before the first start.
        answering: of managed versions; not asked for others.
        placed_by_call: the versions whose address a call has set.
    """
    source = deployment.from_registry
    if source is None:
        return Resolved(deployment)
    placed = _place_of_champion(deployment, source, aliases, state, answering, placed_by_call)
    unserved = placed if isinstance(placed, str) else None
    champion = placed if isinstance(placed, Champion) else None if state is None else _stored(state)
    serves = serving(source, aliases, state)
    named = tuple(dict.fromkeys(version for version in followed(source, aliases).values() if version != serves))
    challengers: list[Challenger] = []
    waits: list[str] = []
    for version in named:
        place = _placed(deployment, source, version, answering)
        if isinstance(place, str):
            waits.append(place)
        else:
            challengers.append(source.challenger(place))
    found = deployment.model_copy(update={"champion": champion, "challengers": tuple(challengers)})
    return Resolved(found, named, unserved, tuple(waits))


def _place_of_champion(
    deployment: Deployment,
    source: FromRegistry,
    aliases: Mapping[str, str],
    state: DeploymentState | None,
    answering: Answering,
    placed_by_call: Collection[str],
) -> Champion | str:
    """Where the champion answers, or a sentence about what is waited for."""
    version = serving(source, aliases, state)
    if version is None:
        return f"the registry's alias {source.champion} is not known: set it to the version that shall serve"
    if state is not None and version in placed_by_call:
        return _stored(state)
    return _placed(deployment, source, version, answering)


def _stored(state: DeploymentState) -> Champion:
    """The champion where it was last."""
    target = state.champion_target
    return Champion.model_validate(
        {"version": state.champion, "url": target.url, "path": target.path, "tls": tls_settings(target)}
    )


def _placed(deployment: Deployment, source: FromRegistry, version: str, answering: Answering) -> Champion | str:
    if not source.managed:
        try:
            return source.placed(version)
        except ValueError as fault:
            return f"version {version} cannot be called: {fault}"
    place = answering(version)
    if isinstance(place, str):
        return place
    # One path cannot stand for all that begin with a prefix: then each keeps its own.
    path = None if deployment.path.endswith("*") else place.path
    return Champion.model_validate({"version": version, "url": place.url, "path": path})
