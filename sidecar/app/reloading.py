"""What a reload may change, and what waits for a restart: sockets, processes and folders are bound once.

Keeps: what needs a restart stays as it was at the start, so that a worker that is started meanwhile is like the
others. Pure. Called by control at SIGHUP.
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.config import Settings
from sidecar.config_admin import Admin

_SECTIONS = ("admin", "registry", "telemetry", "audit")
_KEYS = ("listen", "workers", "state_dir", *_SECTIONS)


def reloaded(now: Settings, read: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings to go on with, and the keys of the file that wait for a restart."""
    kept = [key for key in _KEYS if getattr(read, key) != getattr(now, key)]
    # Another certificate counts at once; but a socket either speaks TLS from its first byte or it does not.
    if read.tls.on != now.tls.on:
        kept.append("tls")
    settings = read.model_copy(update={key: getattr(now, key) for key in kept})
    named = tuple(name for key in kept for name in _named(key, now, read))
    renewed = dict(_renewed(now.admin, read.admin))
    if renewed:
        settings = settings.model_copy(update={"admin": settings.admin.model_copy(update=renewed)})
        named = tuple(name for name in named if name not in {f"admin.{member}" for member in renewed})
    return settings, named


def _renewed(now: Admin, read: Admin) -> Iterator[tuple[str, object]]:
    """What is changed of `admin` while it serves, besides what is in files."""
    # Whether callers have to say who they are at all is decided with the address, at the start.
    if bool(now.oidc or read.tokens or read.clients) == now.closed:
        yield "tokens", read.tokens
        yield "clients", read.clients
    if now.tls.on == read.tls.on:
        yield "tls", read.tls


def _named(key: str, now: Settings, read: Settings) -> Iterator[str]:
    """The key, or the members of its section that differ."""
    before, after = getattr(now, key), getattr(read, key)
    if key not in _SECTIONS or before is None or after is None:
        yield key
        return
    for member in type(after).model_fields:
        if getattr(before, member) != getattr(after, member):
            yield f"{key}.{member}"
