"""Which headers belong to one hop only (RFC 9110 section 7.6.1) and which a copy must never carry."""

from __future__ import annotations

from functools import lru_cache

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
# Options of `Connection` that are no header names.
_OPTIONS = frozenset((b"close", b""))
# The caller's own secrets: a challenger has no business with them.
CREDENTIALS = frozenset((b"authorization", b"cookie", b"proxy-authorization", b"x-api-key"))
# `Connection` must not be able to take these away: they frame the message or its content, address it, authorise it,
# join it to others, mark it, or tell where it came from and what may be done with it.
NEVER_NAMED = CREDENTIALS | {
    b"host",
    b"content-length",
    b"inference-header-content-length",
    b"content-encoding",
    b"content-type",
    b"content-range",
    b"cache-control",
    b"set-cookie",
    b"x-request-id",
    b"sidecar-shadow",
    b"traceparent",
    b"tracestate",
    b"forwarded",
    b"via",
    b"x-real-ip",
}
_ORIGIN = b"x-forwarded-"


@lru_cache(maxsize=256)
def named_by_connection(value: bytes) -> frozenset[bytes]:
    """The header names that a `Connection` header takes off the message, in lower case."""
    named = frozenset(token.strip().lower() for token in value.split(b",")) - NEVER_NAMED - HOP_BY_HOP - _OPTIONS
    return frozenset(name for name in named if not name.startswith(_ORIGIN))


@lru_cache(maxsize=256)
def asks_upgrade(value: bytes) -> bool:
    """Whether a `Connection` header says that `Upgrade` is meant (RFC 9110 section 7.8)."""
    return b"upgrade" in [token.strip().lower() for token in value.split(b",")]
