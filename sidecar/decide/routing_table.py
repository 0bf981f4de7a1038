"""The routing table: immutable, swapped by reference, the only thing a proxy worker knows of deployments.

Made in `routing` by control, written to disk and sent to the workers. Which requests are copied is a pure function of
the request id, so every replica and every challenger decides alike. Imports no settings: a worker loads this file and
must stay small.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from sidecar.address import Address


class Trust(msgspec.Struct, frozen=True):
    """TLS to a model server, always verified. Files are PEM; an empty one means: the system's authorities, no client
    certificate, the destination's own host name.
    """

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""


class Certificate(msgspec.Struct, frozen=True):
    """TLS in front. With `client_ca_file` callers must show a certificate of that authority, or may."""

    cert_file: str
    key_file: str
    client_ca_file: str = ""
    client_required: bool = True


class Destination(msgspec.Struct, frozen=True):
    """A version and where its requests go. Exactly one of `unix` and `host` is set; `path` replaces the caller's.

    `trust` is there where TLS is spoken.
    """

    version: str
    host: str
    port: int
    unix: str
    path: str | None
    trust: Trust | None = None

    @property
    def authority(self) -> str:
        """What goes into `Host` where the caller gave none."""
        return str(Address(self.host, self.port)) if self.host else "localhost"


class BreakerPolicy(msgspec.Struct, frozen=True):
    """When a challenger is paused: after `failures` in a row, for `open_s`, doubled each time up to `max_open_s`."""

    failures: int = 5
    open_s: float = 5.0
    max_open_s: float = 60.0


class Shadow(msgspec.Struct, frozen=True):
    """A challenger and the bounds on its copies.

    Attributes:
        copy_bytes: what its unfinished copies (request bodies and answers) may hold in one worker.
        max_per_s: copies per second and worker, reached over `ramp_s` after a start or a recovery; 0.0 is no ceiling.
        headers: header lines of its own that every copy carries, in place of the caller's of the same name.
    """

    to: Destination
    fraction: float
    timeout_s: float
    max_inflight: int
    enabled: bool
    copy_bytes: int = 4_194_304
    max_per_s: float = 0.0
    ramp_s: float = 10.0
    breaker: BreakerPolicy = BreakerPolicy()
    headers: tuple[tuple[str, str], ...] = ()


class CanaryRoute(msgspec.Struct, frozen=True):
    """One of the shadows that answers a share of the requests, and how the champion gets copies of these.

    `salt` decides, with a request's key, which they are: the same ones as the weight grows. `step_since` names the
    step: what was asked and counted at another one is no evidence of it.
    """

    version: str
    weight: float
    salt: str
    champion: Shadow
    step_since: float = 0.0


class Route(msgspec.Struct, frozen=True):
    """One deployment's inference route. `prefix` is `match` without its star where it had one.

    `sticky` names the header, in lower case, whose value decides which copies a fraction takes; empty: the request id.
    `upgrades` tells whether a WebSocket or another upgrade is tunnelled to the champion. `unserved`: there is no
    champion yet, `champion` leads nowhere, and requests are refused: what was meant for this model is no other
    server's to answer.
    """

    deployment: str
    match: str
    prefix: bool
    protocol: str
    generation: int
    champion: Destination
    shadows: tuple[Shadow, ...]
    sticky: str = ""
    upgrades: bool = False
    unserved: bool = False
    canary: CanaryRoute | None = None


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
    body_bytes_per_s: int = 0
    memory_bytes: int = 0


class AccessLog(msgspec.Struct, frozen=True):
    """The share of requests that are logged, by request id, and the file; an empty path is standard output."""

    fraction: float = 0.0
    path: str = ""


class RoutingTable(msgspec.Struct, frozen=True):
    """Everything a worker routes by. `serial` grows with every change, over restarts too.

    `upgrades` speaks of requests that go to `upstream`; `trace` is the share of requests that begin a
    trace where the caller names none.
    """

    serial: int
    routes: tuple[Route, ...]
    upstream: Destination | None
    bounds: Bounds
    upgrades: bool = False
    certificate: Certificate | None = None
    access_log: AccessLog = AccessLog()
    trace: float = 0.0


def copied(key: bytes, fraction: float) -> bool:
    """Whether a request falls into a challenger's fraction: deterministic by its key, the same on every replica.

    The key is the request id, or the value of the route's sticky header.
    """
    return fraction >= 1.0 or crc32(key) < fraction * 4_294_967_296.0


def canary_point(key: bytes, salt_sum: int) -> int:
    """Where a request lies among 2³²: below weight · 2³² it is the canary's. `salt_sum` is the salt's CRC-32.

    The sum alone would shift all requests alike, and split them as `copied` does: so it is mixed (MurmurHash3's end).
    """
    point = crc32(key, salt_sum)
    point = ((point ^ (point >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    point = ((point ^ (point >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return point ^ (point >> 16)
