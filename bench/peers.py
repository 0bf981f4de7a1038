"""nginx and Envoy in front of the same model servers as the sidecar, each in the ways that people run it.

Every one is a process of its own, so that none carries connections of another. Names as all tables use them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import child, envoy, nginx
from bench.stand import Stand

NGINX_PLAIN = "nginx, no mirror"
NGINX_MIRROR = "nginx mirror, as documented"
NGINX_KEPT = "nginx mirror, kept alive"
ENVOY_PLAIN = "Envoy, no mirror"
ENVOY_MIRROR = "Envoy mirror"
ENVOY_RAISED = "Envoy mirror, breaker raised"
MIRRORS = (NGINX_MIRROR, NGINX_KEPT, ENVOY_MIRROR)

_NGINX: dict[str, Callable[[int, Path], str]] = {
    NGINX_PLAIN: lambda port, _: nginx.plain(port),
    NGINX_MIRROR: lambda port, _: nginx.mirroring(port, None),
    NGINX_KEPT: nginx.mirroring,
}


@contextlib.contextmanager
def running(
    stand: Stand, name: str, champion: int, challenger: int, *, patience_s: float = 30.0
) -> Iterator[tuple[str, int]]:
    """A peer on the measured core while the context lasts; gives its address and process id."""
    (port,) = child.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    # Its files are in memory: neither should wait for a disk.
    folder = stand.new("peer", in_memory=True)
    if name in _NGINX:
        parts = [nginx.upstream("champion", champion), nginx.upstream("challenger", challenger)]
        parts.append(_NGINX[name](port, folder))
        with nginx.running(folder, parts, [port], stand.core, patience_s=patience_s) as pid:
            yield url, pid
    else:
        copies_to = None if name == ENVOY_PLAIN else challenger
        breaker = envoy.RAISED if name == ENVOY_RAISED else None
        configured = envoy.configuration(port, champion, copies_to, breaker)
        with envoy.running(folder, configured, port, stand.core, patience_s=patience_s) as pid:
            yield url, pid
