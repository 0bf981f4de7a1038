"""What a reload may change, and what waits for a restart: sockets, processes and folders are bound once.

Keeps: what needs a restart stays as it was at the start, so that a worker that is started meanwhile is like the
others. Pure. Called by control at SIGHUP.
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.config import Settings

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
    # Tokens are changed while it serves; whether any is asked for at all is decided with the address, at the start.
    if bool(now.admin.tokens) == bool(read.admin.tokens):
        settings = settings.model_copy(
            update={"admin": settings.admin.model_copy(update={"tokens": read.admin.tokens})}
        )
        named = tuple(name for name in named if name != "admin.tokens")
    return settings, named


def _named(key: str, now: Settings, read: Settings) -> Iterator[str]:
    """The key, or the members of its section that differ."""
    before, after = getattr(now, key), getattr(read, key)
    if key not in _SECTIONS or before is None or after is None:
        yield key
        return
    for member in type(after).model_fields:
        if getattr(before, member) != getattr(after, member):
            yield f"{key}.{member}"
