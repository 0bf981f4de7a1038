"""Makes the routing table from settings and stored states: who is champion, who scores in the shadow, and the bounds.

Keeps: the stored champion is served, whatever the settings name; every other known version is a shadow. The table's
own types stand in `routing_table`, which workers load without settings. Called by control's side only.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sidecar.address import parse_url
from sidecar.config import Deployment, Settings
from sidecar.decide.routing_table import Bounds, Destination, Route, RoutingTable, Shadow
from sidecar.standing import DeploymentState, Target


def destination(version: str, target: Target) -> Destination:
    """Resolves a version's configured url once, at the table's making."""
    address = parse_url(target.url)
    return Destination(version, address.host, address.port, address.unix, target.path)


def targets(deployment: Deployment) -> dict[str, Target]:
    """Every version that the settings name for a deployment."""
    named = {deployment.champion.version: Target(deployment.champion.url, deployment.champion.path)}
    return named | {c.version: Target(c.url, c.path) for c in deployment.challengers}


def shadows(deployment: Deployment, state: DeploymentState) -> tuple[Shadow, ...]:
    """Every version but the champion scores in the shadow, a former champion too (reverse shadow)."""
    known = targets(deployment)
    if state.previous is not None and state.previous_target is not None:
        known.setdefault(state.previous, state.previous_target)
    policies = {c.version: c for c in deployment.challengers}
    result = []
    for version, target in known.items():
        if version == state.champion:
            continue
        policy = policies.get(version)
        if policy is None:
            result.append(Shadow(destination(version, target), 1.0, 5.0, 100, enabled=True))
        else:
            to = destination(version, target)
            result.append(Shadow(to, policy.fraction, policy.timeout_s, policy.max_inflight, enabled=True))
    return tuple(result)


def route(deployment: Deployment, state: DeploymentState) -> Route:
    """One deployment's route as its stored state says."""
    prefix = deployment.path.endswith("*")
    return Route(
        deployment=deployment.name,
        match=deployment.path.removesuffix("*"),
        prefix=prefix,
        protocol=deployment.protocol,
        generation=state.generation,
        champion=destination(state.champion, state.champion_target),
        shadows=shadows(deployment, state),
    )


def routing_table(settings: Settings, states: Mapping[str, DeploymentState], serial: int) -> RoutingTable:
    """The whole table. Unmatched requests go to `upstream`, else to a sole deployment's champion."""
    routes = tuple(route(d, states[d.name]) for d in settings.deployments)
    if settings.upstream is not None:
        upstream: Destination | None = destination("", Target(settings.upstream))
    elif len(routes) == 1:
        upstream = msgspec.structs.replace(routes[0].champion, version="", path=None)
    else:
        upstream = None
    limits, timeouts = settings.limits, settings.timeouts
    bounds = Bounds(**limits.model_dump(), **timeouts.model_dump())
    return RoutingTable(serial, routes, upstream, bounds)
