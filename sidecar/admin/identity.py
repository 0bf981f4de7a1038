"""Who an OpenID Connect provider says is calling: its signed tokens (RFC 7519), verified. Needs the extra `oidc`.

Keeps: only public-key signatures are believed, each by the algorithm of the key it names, so that neither `none` nor a
public key used as a secret passes; issuer, audience and expiry must be there; a name has the prefix `oidc:`, so that
nobody is taken for the holder of a token of the settings. Whatever is wrong, the answer is the same: nobody.
Does not: fetch keys (`app` does and hands them in), log tokens. Called by: `auth`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jwt
import msgspec

from sidecar.admin.caller import Caller, Role
from sidecar.config_admin import Oidc

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_TOKEN_BYTES = 16_384
_KEYS = 64
_RSA_BITS = 2_048
# Clocks of two machines.
_LEEWAY_S = 60
# Who may be several things is the one that may most; a reporter reads nothing.
_MOST_FIRST: tuple[Role, ...] = ("admin", "operator", "viewer", "reporter")


class _KeySet(msgspec.Struct):
    keys: list[dict[str, object]]


class Identity:
    """Verifies tokens by the keys that it was given last. `wanted` is called for a key that is not among them."""

    def __init__(self, settings: Oidc, wanted: Callable[[], None]) -> None:
        self._settings = settings
        self._wanted = wanted
        self._keys: dict[str | None, jwt.PyJWK] = {}

    def renew(self, document: bytes) -> int:
        """Takes a JSON Web Key Set (RFC 7517) in place of the last; how many of its keys are of use. ValueError."""
        try:
            told = msgspec.json.decode(document, type=_KeySet)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ValueError("it is no set of keys") from None
        found: dict[str | None, jwt.PyJWK] = {}
        for each in told.keys[:_KEYS]:
            key = _usable(each)
            if key is not None:
                found[key.key_id] = key
        if not found:
            raise ValueError("it has no key that signatures are verified with")
        self._keys = found
        return len(found)

    def caller(self, token: str) -> Caller | None:
        """Who holds this token; None for nobody, whatever the reason."""
        if len(token) > _TOKEN_BYTES:
            return None
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header)
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None
        name, role = claims.get(self._settings.name_claim), self._role(claims)
        if role is None or not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= 120:
            return None
        return Caller(f"oidc:{name}", role)

    def _key(self, header: Mapping[str, object]) -> jwt.PyJWK | None:
        """The key that signed; the only one where none is named."""
        if header.get("alg") not in ALGORITHMS or "crit" in header:
            return None
        named = header.get("kid")
        if named is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        key = self._keys.get(named) if isinstance(named, str) else None
        if key is None:
            self._wanted()
            return None
        return key if key.algorithm_name == header["alg"] else None

    def _role(self, claims: Mapping[str, object]) -> Role | None:
        found: object = claims
        for step in self._settings.role_claim.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        values = found if isinstance(found, list) else str(found).split() if isinstance(found, str) else []
        roles = {
            self._settings.roles[value] for value in values if isinstance(value, str) and value in self._settings.roles
        }
        return next((role for role in _MOST_FIRST if role in roles), None)


def _usable(told: Mapping[str, object]) -> jwt.PyJWK | None:
    """A public key that signatures are verified with; None for secrets, keys for encryption, short or odd ones."""
    if told.get("kty") not in ("RSA", "EC", "OKP") or told.get("use", "sig") != "sig" or "d" in told:
        return None
    if told.get("alg") is not None and told["alg"] not in ALGORITHMS:
        return None
    try:
        key = jwt.PyJWK.from_dict(dict(told))
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if key.algorithm_name not in ALGORITHMS or getattr(key.key, "key_size", _RSA_BITS) < (
        _RSA_BITS if told["kty"] == "RSA" else 0
    ):
        return None
    return key
