"""Who may call the admin API: tokens and roles, the Host check, the cross-site check, and the answers' headers.

Keeps: a secret is held and compared only as its SHA-256 digest, every token in turn and in constant time; an unknown
token and a missing one get the same answer; a call with a token is judged by that alone, whatever certificate its
connection has shown. Where nobody has to say who they are (which the settings allow on loopback only) everybody is
"anonymous" with every role, so the Host check is what keeps web pages out (DNS rebinding).
What it refuses is counted. Does not: know routes, read bodies. Called by `api` before every handler.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from multidict import CIMultiDictProxy

from sidecar.admin.caller import Caller, Need, Role
from sidecar.admin.certificates import Certified, Shown
from sidecar.admin.guesses import Guesses
from sidecar.config_admin import ClientCertificate

__all__ = ["REFUSALS", "SECURITY_HEADERS", "Access", "AuthToken", "Caller", "Need", "Role", "auth_token", "same_site"]

_log = logging.getLogger(__name__)

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class AuthToken(msgspec.Struct, frozen=True):
    """A person or program. The secret itself is not kept."""

    name: str
    role: Role
    digest: bytes


def auth_token(name: str, role: Role, secret: str) -> AuthToken:
    """Keeps the digest of a secret. ValueError for an empty one, which would let everybody in."""
    if not secret.strip():
        raise ValueError(f"the token of {name} is empty: its variable or file must hold a secret")
    return AuthToken(name, role, hashlib.sha256(secret.encode()).digest())


# Why a call was refused before its handler ran; the metric's closed set of labels.
Refusal = Literal["host", "cross_site", "token", "guesses", "role"]
REFUSALS: tuple[Refusal, ...] = ("host", "cross_site", "token", "guesses", "role")


class Access:
    """The questions that are asked before a handler runs. `refused` counts by reason since the start."""

    def __init__(
        self,
        tokens: Sequence[AuthToken],
        listen_host: str,
        allowed_hosts: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
        identity: Callable[[str], Caller | None] | None = None,
        clients: Sequence[ClientCertificate] = (),
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tuple(tokens)
        self._certified, self._wall_clock = Certified(clients), wall_clock
        self._identity = identity
        self._guesses, self._clock = Guesses(), clock
        self.refused: dict[Refusal, int] = dict.fromkeys(REFUSALS, 0)
        self._hosts = frozenset(_bare(host) for host in ("localhost", listen_host, *allowed_hosts) if host)
        # Bound to all addresses, the listen host stands for each of them. A literal address is safe from rebinding,
        # which needs a name.
        self._any_address = listen_host in ("0.0.0.0", "::")

    @property
    def closed(self) -> bool:
        """True where somebody must say who they are."""
        return bool(self._tokens or self._certified) or self._identity is not None

    def renew(self, tokens: Sequence[AuthToken], clients: Sequence[ClientCertificate] = ()) -> None:
        """Other tokens and certificates from now on; ValueError where that would open it to all, or close it."""
        if (bool(tokens or clients) or self._identity is not None) != self.closed:
            raise ValueError("whether callers say who they are at all is decided at the start")
        self._tokens, self._certified = tuple(tokens), Certified(clients)

    def wait_s(self, authorization: str | None, source: str | None) -> int:
        """Seconds that a caller from there must wait before a token is looked at again; 0 where it is now."""
        if not self.closed or authorization is None:
            return 0
        return self._guesses.wait_s(source, self._clock())

    def caller(self, authorization: str | None, source: str | None = None, shown: Shown = None) -> Caller | None:
        """Who sends this Authorization header from there; None for nobody we know, and then it was a guess.

        Without a header it is whose certificate the connection has shown.
        """
        if authorization is None and self.closed:
            return self._certified.caller(shown, self._wall_clock())
        found = self._caller(authorization)
        scheme, _, token = (authorization or "").partition(" ")
        if found is None and self._identity is not None and scheme.lower() == "bearer" and token.count(".") == 2:
            return self._identity(token.strip())  # a signature is no guess: an old one is of a page left open
        if found is None and authorization is not None and self._guesses.wrong(source, self._clock()):
            _log.warning("too many unknown tokens from one place", extra={"fields": {"source": source}})
        return found

    def _caller(self, authorization: str | None) -> Caller | None:
        """Who holds this token.

        Basic is taken as well, with the token's name as the user: a payload logger has no place for a secret but its
        sink's URL.
        """
        if not self.closed:
            return Caller("anonymous", "admin")
        scheme, _, secret = (authorization or "").partition(" ")
        user = None
        if scheme.lower() == "basic":
            user, _, secret = _basic(secret).partition(":")
        digest = hashlib.sha256(secret.strip().encode("utf-8", "surrogateescape")).digest()
        found = None
        for token in self._tokens:  # all of them, so that time does not tell which one nearly matched
            if hmac.compare_digest(token.digest, digest):
                found = Caller(token.name, token.role)
        if found is not None and user is not None:
            return found if hmac.compare_digest(found.name.encode(), user.encode()) else None
        return found if scheme.lower() == "bearer" else None

    def host_allowed(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether the Host header names this listener: a loopback name, the listen host or a configured one."""
        values = headers.getall("Host", [])
        if len(values) != 1:
            return False
        host = _bare(values[0])
        if host in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return address.is_loopback or self._any_address


def same_site(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a state-changing call comes from our own page or from no page at all.

    Browsers say so by Sec-Fetch-Site, older ones by Origin; programs send neither. Rule as in Datasette's csrf module
    and Filippo Valsorda's "Cross-Site Request Forgery" (2025).
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origins = headers.getall("Origin", [])
    if not origins:
        return True
    return len(origins) == 1 and urlsplit(origins[0]).netloc.lower() == headers.get("Host", "").lower()


def _basic(credentials: str) -> str:
    """User and password of a Basic header (RFC 7617); empty where it is none."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _bare(host: str) -> str:
    """A Host header's value without port, brackets and the final dot, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".") if host.count(":") == 1 else host.rstrip(".")
