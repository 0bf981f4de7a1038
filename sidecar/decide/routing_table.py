"""The routing table: immutable, swapped by reference, the only thing a proxy worker knows of deployments.

Made in `routing` by control, written to disk and sent to the workers. Which requests are copied is a pure function of
the request id, so every replica and every challenger decides alike. Imports no settings: a worker loads this file and
must stay small.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from sidecar.address import Address


class Destination(msgspec.Struct, frozen=True):
    """A version and where its requests go. Exactly one of `unix` and `host` is set; `path` replaces the caller's."""

    version: str
    host: str
    port: int
    unix: str
    path: str | None

    @property
    def authority(self) -> str:
        """What goes into `Host` where the caller gave none."""
        return str(Address(self.host, self.port)) if self.host else "localhost"


class Shadow(msgspec.Struct, frozen=True):
    """A challenger and the bounds on its copies."""

    to: Destination
    fraction: float
    timeout_s: float
    max_inflight: int
    enabled: bool


class Route(msgspec.Struct, frozen=True):
    """One deployment's inference route. `prefix` is `match` without its star where it had one."""

    deployment: str
    match: str
    prefix: bool
    protocol: str
    generation: int
    champion: Destination
    shadows: tuple[Shadow, ...]


class Bounds(msgspec.Struct, frozen=True):
    """Sizes and times that the data plane enforces; fields as in config.Limits and config.Timeouts."""

    body_bytes: int
    mirror_body_bytes: int
    header_bytes: int
    target_bytes: int
    headers: int
    connections: int
    mirror_bytes: int
    capture_bytes: int
    headers_s: float
    body_s: float
    connect_s: float
    answer_s: float
    between_bytes_s: float
    idle_client_s: float
    idle_upstream_s: float
    drain_s: float


class RoutingTable(msgspec.Struct, frozen=True):
    """Everything a worker routes by. `serial` grows with every change, over restarts too."""

    serial: int
    routes: tuple[Route, ...]
    upstream: Destination | None
    bounds: Bounds


class Router:
    """Finds the route of a path: exact ones first, then the longest prefix."""

    def __init__(self, table: RoutingTable) -> None:
        self._exact = {route.match.encode(): route for route in table.routes if not route.prefix}
        prefixes = [(route.match.encode(), route) for route in table.routes if route.prefix]
        self._prefixes = sorted(prefixes, key=lambda item: -len(item[0]))

    def find(self, path: bytes) -> Route | None:
        """The route for a path without its query, or None."""
        route = self._exact.get(path)
        if route is not None:
            return route
        for prefix, route in self._prefixes:
            if path.startswith(prefix):
                return route
        return None


def copied(request_id: bytes, fraction: float) -> bool:
    """Whether a request falls into a challenger's fraction: deterministic by id, the same on every replica."""
    return fraction >= 1.0 or crc32(request_id) < fraction * 4_294_967_296.0
