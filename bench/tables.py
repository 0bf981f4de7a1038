"""Routing tables for a worker of the bench's own, at the settings' defaults: what control would write.

A deployment of the bench is a name, a champion's port and perhaps a challenger's; its path is V2's for that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.traffic import CHALLENGER, CHAMPION, MODEL
from sidecar.config import Settings
from sidecar.decide.routing_table import Bounds, Destination, Route, RoutingTable, Shadow

ALONE = "alone"


def path_of(deployment: str) -> str:
    """Where a deployment is asked."""
    return f"/v2/models/{deployment}/infer"


def to(version: str, port: int) -> Destination:
    """A version on this machine."""
    return Destination(version, "127.0.0.1", port, "", None)


def deployment(name: str, champion: int, challenger: int | None = None) -> Route:
    """A route; with a challenger all of it is copied."""
    shadows: tuple[Shadow, ...] = ()
    if challenger is not None:
        usual = _usual().deployments[0].challengers[0]
        shadows = (Shadow(to(CHALLENGER, challenger), 1.0, usual.timeout_s, usual.max_inflight, enabled=True),)
    return Route(name, path_of(name), False, "auto", 1, to(CHAMPION, champion), shadows)


def pair(champion: int, challenger: int) -> tuple[Route, ...]:
    """The two deployments that most rows need: one that is copied, one that is not."""
    return deployment(MODEL, champion, challenger), deployment(ALONE, champion)


def write(path: Path, routes: Sequence[Route], champion: int) -> Path:
    """Writes a table; what no deployment matches goes to the champion's port."""
    usual = _usual()
    kept = {**usual.limits.model_dump(), **usual.timeouts.model_dump()}
    bounds = Bounds(**{name: kept[name] for name in Bounds.__struct_fields__ if name in kept})
    path.write_bytes(msgspec.msgpack.encode(RoutingTable(1, tuple(routes), to("", champion), bounds)))
    return path


def _usual() -> Settings:
    """Settings that say nothing but what must be said."""
    url = "http://127.0.0.1:1"
    versions = {"champion": {"version": CHAMPION, "url": url}, "challengers": [{"version": CHALLENGER, "url": url}]}
    return Settings.model_validate({"deployments": [{"name": MODEL, **versions}]})
