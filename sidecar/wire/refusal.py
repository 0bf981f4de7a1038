"""The data plane's own answers: a closed set of reasons, each with its status, written as bytes.

A body is a problem document (RFC 9457) with an `error` key beside, since model servers' clients read that one.
Nothing of the caller's request is repeated in it.
"""

from __future__ import annotations

import json
from http import HTTPStatus

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """Why the sidecar itself answers. `retry_after_s` only where trying again may help."""

    status: int
    reason: str
    says: str
    retry_after_s: int | None = None


MALFORMED = Refusal(400, "malformed", "The request is not valid HTTP/1.1.")
BAD_HOST = Refusal(400, "malformed", "The request needs exactly one Host header that agrees with its target.")
BAD_TARGET = Refusal(400, "malformed", "The request target is not one that a server can route.")
BAD_FRAMING = Refusal(400, "malformed", "The request's length cannot be told without doubt.")
BAD_VERSION = Refusal(400, "malformed", "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
BAD_EXPECTATION = Refusal(417, "expectation", "The only expectation that can be met is 100-continue.")
CONNECT = Refusal(405, "method", "CONNECT is not available: the sidecar is no forward proxy.")
UPGRADE = Refusal(501, "upgrade", "Upgrades such as WebSocket are not allowed on this path; the key is `upgrades`.")
NO_ROUTE = Refusal(404, "no_route", "No deployment matches this path and no upstream is configured.")
NO_CHAMPION = Refusal(
    503, "no_champion", "This deployment has no champion yet; the sidecar's /readyz says why.", retry_after_s=5
)
HEADERS_TIMEOUT = Refusal(408, "headers_timeout", "The request's headers did not arrive in time.")
BODY_TIMEOUT = Refusal(408, "body_timeout", "The request's body did not arrive in time.")
TOO_LARGE = Refusal(413, "body_too_large", "The request's body is larger than limits.body_bytes.")
TARGET_TOO_LONG = Refusal(414, "target_too_long", "The request's target is longer than limits.target_bytes.")
HEADERS_TOO_LARGE = Refusal(
    431, "headers_too_large", "The request's headers exceed limits.header_bytes or limits.headers."
)
CONNECT_FAILED = Refusal(502, "connect", "The model server could not be connected to.")
UPSTREAM_RESET = Refusal(502, "reset", "The model server closed the connection before it answered.")
UPSTREAM_MALFORMED = Refusal(502, "upstream_malformed", "The model server's answer is not valid HTTP/1.1.")
OVERLOADED = Refusal(503, "overloaded", "The sidecar has no room for another connection.", retry_after_s=1)
DRAINING = Refusal(503, "draining", "The sidecar is shutting down.", retry_after_s=1)
ANSWER_TIMEOUT = Refusal(504, "answer_timeout", "The model server did not answer in time.")

# By how a champion's leg failed.
OF_FAILURE = {
    "connect": CONNECT_FAILED,
    "exhausted": OVERLOADED,
    "reset": UPSTREAM_RESET,
    "malformed": UPSTREAM_MALFORMED,
}

ALL = tuple(value for value in globals().values() if isinstance(value, Refusal))


def write_refusal(refusal: Refusal, own: bytes, *, close: bool, body: bool = True) -> bytes:
    """The whole answer as bytes; `own` are the sidecar's header lines (answer_head.own_lines).

    Without `body` (an answer to HEAD) the length is told all the same.
    """
    title = HTTPStatus(refusal.status).phrase
    document = {
        "error": refusal.says,
        "type": "about:blank",
        "title": title,
        "status": refusal.status,
        "detail": refusal.says,
    }
    content = json.dumps(document).encode()
    lines = [
        b"HTTP/1.1 %d %s\r\n" % (refusal.status, title.encode()),
        b"content-type: application/problem+json\r\ncontent-length: %d\r\n" % len(content),
        b"sidecar-error: %s\r\n" % refusal.reason.encode(),
        own,
    ]
    if refusal.retry_after_s is not None:
        lines.append(b"retry-after: %d\r\n" % refusal.retry_after_s)
    if close:
        lines.append(b"connection: close\r\n")
    lines.append(b"\r\n")
    if body:
        lines.append(content)
    return b"".join(lines)
