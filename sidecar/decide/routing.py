"""Makes the routing table from settings and stored states: who is champion, who scores in the shadow, and the bounds.

Keeps: the stored champion is served, whatever the settings name; every other known version is a shadow. The table's
own types stand in `routing_table`, which workers load without settings. Called by control's side only, with the
deployments that are in force (`roster`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from sidecar.address import parse_url
from sidecar.config import Deployment, Settings
from sidecar.config_versions import Challenger, Champion, ClientTls, VersionTls
from sidecar.decide.routing_table import (
    AccessLog,
    Bounds,
    BreakerPolicy,
    CanaryRoute,
    Certificate,
    Destination,
    Route,
    RoutingTable,
    Shadow,
    Trust,
)
from sidecar.standing import DeploymentState, Target, TargetTls

_PLAIN = ClientTls()


def destination(version: str, target: Target, upstream_tls: ClientTls = _PLAIN) -> Destination:
    """Resolves a version's configured url once, at the table's making."""
    address = parse_url(target.url)
    trust = trust_of(target, upstream_tls)
    return Destination(version, address.host, address.port, address.unix, target.path, trust)


def trust_of(target: Target, upstream_tls: ClientTls) -> Trust | None:
    """How a version is verified, None without TLS. What it does not say itself is as for all; a pair stays a pair."""
    if not parse_url(target.url).tls:
        return None
    own = target.tls or TargetTls()
    pair = (own.cert_file, own.key_file) if own.cert_file else (upstream_tls.cert_file, upstream_tls.key_file)
    return Trust(
        ca_file=own.ca_file or upstream_tls.ca_file or "",
        cert_file=pair[0] or "",
        key_file=pair[1] or "",
        server_name=own.server_name,
    )


def target_of(version: Champion) -> Target:
    """Where the settings say that a version answers."""
    tls = version.tls
    if tls == VersionTls():
        return Target(version.url, version.path)
    own = TargetTls(tls.ca_file or "", tls.cert_file or "", tls.key_file or "", tls.server_name or "")
    return Target(version.url, version.path, own)


def targets(deployment: Deployment) -> dict[str, Target]:
    """Every version that the settings name for a deployment."""
    return {v.version: target_of(v) for v in deployment.versions}


def shadows(
    deployment: Deployment, state: DeploymentState, settings: Settings | None = None, *, enabled: bool = True
) -> tuple[Shadow, ...]:
    """Every version but the champion scores in the shadow, a former champion too (reverse shadow).

    Without `settings` bounds and trust are the defaults: enough to tell who scores, and where.
    """
    settings = settings or Settings.model_construct()
    known = targets(deployment)
    if state.previous is not None and state.previous_target is not None:
        known.setdefault(state.previous, state.previous_target)
    policies = {c.version: c for c in deployment.challengers}
    result = []
    for version, target in known.items():
        if version == state.champion:
            continue
        policy = policies.get(version) or Challenger.model_construct(version=version, url=target.url)
        to = destination(version, target, settings.upstream_tls)
        result.append(_shadow(to, policy, settings, enabled=enabled))
    return tuple(result)


def _shadow(to: Destination, policy: Challenger, settings: Settings, *, enabled: bool) -> Shadow:
    limits, breaker = settings.limits, policy.breaker
    own_share = max(limits.mirror_bytes // 4, limits.mirror_body_bytes)
    copy_bytes = own_share if policy.copy_bytes is None else policy.copy_bytes
    return Shadow(
        to=to,
        fraction=policy.fraction,
        timeout_s=policy.timeout_s,
        max_inflight=policy.max_inflight,
        enabled=enabled,
        copy_bytes=min(copy_bytes, limits.mirror_bytes),
        max_per_s=float(policy.max_per_s),
        ramp_s=float(policy.ramp_s),
        breaker=BreakerPolicy(breaker.failures, float(breaker.open_s), float(breaker.max_open_s)),
        headers=tuple(policy.headers.items()),
    )


def route(deployment: Deployment, state: DeploymentState, settings: Settings, *, enabled: bool = True) -> Route:
    """One deployment's route as its stored state says."""
    prefix = deployment.path.endswith("*")
    return Route(
        deployment=deployment.name,
        match=deployment.path.removesuffix("*"),
        prefix=prefix,
        protocol=deployment.protocol,
        generation=state.generation,
        champion=destination(state.champion, state.champion_target, settings.upstream_tls),
        shadows=shadows(deployment, state, settings, enabled=enabled),
        sticky=(deployment.sticky or "").lower(),
        upgrades=deployment.upgrades,
        canary=canary_route(deployment, state, settings) if enabled else None,
    )


def canary_route(deployment: Deployment, state: DeploymentState, settings: Settings) -> CanaryRoute | None:
    """What the canary answers now; None where there is none, or where the settings do not name it as it began."""
    canary = state.canary
    if canary is None or targets(deployment).get(canary.version) != canary.target:
        return None
    policies = {c.version: c for c in deployment.challengers}
    target = state.champion_target
    policy = policies.get(state.champion) or Challenger.model_construct(version=state.champion, url=target.url)
    to = destination(state.champion, target, settings.upstream_tls)
    copies = msgspec.structs.replace(
        _shadow(to, policy, settings, enabled=True), fraction=1.0, timeout_s=settings.timeouts.answer_s
    )
    return CanaryRoute(canary.version, canary.now.weight, canary.salt, copies, canary.step_since)


def unserved(deployment: Deployment) -> Route:
    """The route of a deployment without a champion: its requests are refused, and go to nobody else."""
    return Route(
        deployment=deployment.name,
        match=deployment.path.removesuffix("*"),
        prefix=deployment.path.endswith("*"),
        protocol=deployment.protocol,
        generation=0,
        champion=Destination("", "", 0, "", None),
        shadows=(),
        unserved=True,
    )


def routing_table(
    settings: Settings, states: Mapping[str, DeploymentState], serial: int, switched_off: Collection[str] = ()
) -> RoutingTable:
    """The whole table. Unmatched requests go to `upstream`, else to a sole deployment's champion.

    Requests of a deployment without a state are refused: neither another one's champion nor `upstream` answers in its
    place. `switched_off` names the deployments whose shadow work is switched off.
    """
    routes = tuple(
        route(d, states[d.name], settings, enabled=d.name not in switched_off) if d.name in states else unserved(d)
        for d in settings.deployments
    )
    if settings.upstream is not None:
        upstream: Destination | None = destination("", Target(settings.upstream), settings.upstream_tls)
    elif len(routes) == 1 and not routes[0].unserved:
        upstream = msgspec.structs.replace(routes[0].champion, version="", path=None)
    else:
        upstream = None
    return RoutingTable(
        serial=serial,
        routes=routes,
        upstream=upstream,
        bounds=Bounds(**settings.limits.model_dump(), **settings.timeouts.model_dump()),
        upgrades=settings.upstream_upgrades,
        certificate=_certificate(settings),
        access_log=AccessLog(settings.access_log.share, settings.access_log.path or ""),
        trace=0.0 if settings.telemetry.otlp_endpoint is None else settings.telemetry.sample,
    )


def _certificate(settings: Settings) -> Certificate | None:
    tls = settings.tls
    if tls.cert_file is None or tls.key_file is None:
        return None
    return Certificate(tls.cert_file, tls.key_file, tls.client_ca_file or "")
