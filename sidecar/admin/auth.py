"""Who may call the admin API: tokens and roles, the Host check, the cross-site check, and the answers' headers.

Keeps: a secret is held and compared only as its SHA-256 digest, every token in turn and in constant time; an unknown
token and a missing one get the same answer. Without tokens (which the settings allow on loopback only) everybody is
"anonymous" with every role, so the Host check is what keeps web pages out (DNS rebinding).
Does not: know routes, read bodies, limit guessing. Called by `api` before every handler.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from multidict import CIMultiDictProxy

Role = Literal["viewer", "reporter", "operator", "admin"]
# What a route asks for. "anyone" needs no token; the others name the lowest role that may call it.
Need = Literal["anyone", "viewer", "reporter", "operator", "admin"]

# CONTRACT.md, Roles: reporter stands beside the ladder, it posts outcomes and reads nothing.
_GRANTS: Mapping[Role, frozenset[Need]] = {
    "viewer": frozenset({"anyone", "viewer"}),
    "reporter": frozenset({"anyone", "reporter"}),
    "operator": frozenset({"anyone", "viewer", "reporter", "operator"}),
    "admin": frozenset({"anyone", "viewer", "reporter", "operator", "admin"}),
}

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


class Caller(msgspec.Struct, frozen=True):
    """Who calls: the token's name goes into the audit trail as the actor."""

    name: str
    role: Role

    def may(self, need: Need) -> bool:
        """Whether the role covers what a route asks for."""
        return need in _GRANTS[self.role]


def auth_token(name: str, role: Role, secret: str) -> AuthToken:
    """Keeps the digest of a secret. ValueError for an empty one, which would let everybody in."""
    if not secret.strip():
        raise ValueError(f"the token of {name} is empty: set its environment variable to a secret")
    return AuthToken(name, role, hashlib.sha256(secret.encode()).digest())


class Access:
    """The three questions that are asked before a handler runs."""

    def __init__(self, tokens: Sequence[AuthToken], listen_host: str, allowed_hosts: Sequence[str]) -> None:
        self._tokens = tuple(tokens)
        self._hosts = frozenset(_bare(host) for host in ("localhost", listen_host, *allowed_hosts) if host)
        # Bound to all addresses, the listen host stands for each of them. A literal address is safe from rebinding,
        # which needs a name.
        self._any_address = listen_host in ("0.0.0.0", "::")

    @property
    def closed(self) -> bool:
        """True where tokens are configured."""
        return bool(self._tokens)

    def caller(self, authorization: str | None) -> Caller | None:
        """Who sends this Authorization header; None for nobody we know.

        Basic is taken as well, with the token's name as the user: a payload logger has no place for a secret but its
        sink's URL.
        """
        if not self._tokens:
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
