"""Signed tokens of an identity provider: real keys, and every forgery that has worked somewhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.admin.auth import Access, auth_token
from sidecar.admin.identity import Identity
from sidecar.config_admin import Oidc
from tests.admin.api_ground import PROMOTE, D, Serve
from tests.admin.fake_service import FakeService

ISSUER, AUDIENCE = "https://login.example.com/ml", "sidecar"
SETTINGS = Oidc.model_validate(
    {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "keys_url": "https://login.example.com/keys",
        "name_claim": "email",
        "role_claim": "realm.roles",
        "roles": {"ml-readers": "viewer", "ml-operators": "operator", "ml-admins": "admin", "ml-jobs": "reporter"},
    }
)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  is refused
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()


def public(key: Any, kid: str | None, algorithm: str, **more: Any) -> dict[str, Any]:
    kind: dict[str, Any] = {
        "R": jwt.algorithms.RSAAlgorithm,
        "P": jwt.algorithms.RSAAlgorithm,
        "E": jwt.algorithms.ECAlgorithm,
    }
    by: Any = jwt.algorithms.OKPAlgorithm if algorithm == "EdDSA" else kind[algorithm[0]]
    document: dict[str, Any] = by.to_jwk(key.public_key(), as_dict=True)
    return (
        {name: value for name, value in document.items() if name != "key_ops"}
        | ({"kid": kid} if kid is not None else {})
        | {"alg": algorithm, "use": "sig"}
        | more
    )


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys), "issuer": ISSUER}).encode()


KEYS = key_set(public(RSA, "r", "RS256"), public(CURVE, "c", "ES256"), public(EDWARDS, "e", "EdDSA"))


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    told = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "7f3a", "email": "ana@example.com", "iat": now, "nbf": now,
        "exp": now + 300, "realm": {"roles": ["ml-operators", "other"]},
    }  # fmt: skip
    return {name: value for name, value in (told | changes).items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r", header: Any = None, **changes: Any) -> str:
    named = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm, headers=named | (header or {}))


@pytest.fixture
def identity() -> Identity:
    one = Identity(SETTINGS, lambda: None)
    assert one.renew(KEYS) == 3
    return one


def part(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def unsigned(algorithm: str, **changes: Any) -> str:
    return f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': 'r'})}.{part(claims(**changes))}."


def signed_with_the_public_key(algorithm: str = "HS256") -> str:
    """Key confusion: the public key, which everybody has, as the secret of an HMAC (CVE-2015-9235)."""
    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    content = f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': 'r'})}.{part(claims())}"
    mac = hmac.new(secret, content.encode(), hashlib.sha256).digest()
    return f"{content}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def changed_after_signing() -> str:
    header, _, signature = token().split(".")
    return f"{header}.{part(claims(realm={'roles': ['ml-admins']}))}.{signature}"


def carries_its_own_key() -> str:
    return token(STRANGER, header={"jwk": public(STRANGER, "r", "RS256")})


FORGED: dict[str, Callable[[], str]] = {
    "by a stranger's key": lambda: token(STRANGER),
    "no signature": lambda: unsigned("none"),
    "no signature, spelt otherwise": lambda: unsigned("nOnE"),
    "no signature under a real algorithm": lambda: unsigned("RS256"),
    "the public key as a secret": signed_with_the_public_key,
    "another payload": changed_after_signing,
    "its own key in the header": carries_its_own_key,
    "a key to be fetched from elsewhere": lambda: token(STRANGER, header={"jku": "https://evil.example/keys"}),
    "an unknown key": lambda: token(STRANGER, kid="x"),
    "a path as the key's name": lambda: token(STRANGER, kid="../../dev/null"),
    "no key named, of several": lambda: token(kid=None),
    "another key's name": lambda: token(RSA, kid="c"),
    "another algorithm of the same key": lambda: token(algorithm="RS512"),
    "another padding of the same key": lambda: token(algorithm="PS256"),
    "critical extensions": lambda: token(header={"crit": ["b64"], "b64": False}),
    "expired": lambda: token(exp=int(time.time()) - 3_600),
    "never expires": lambda: token(exp=None),
    "expires in words": lambda: token(exp="tomorrow"),
    "not yet": lambda: token(nbf=int(time.time()) + 3_600),
    "another issuer": lambda: token(iss="https://login.example.com/ml/"),
    "no issuer": lambda: token(iss=None),
    "another audience": lambda: token(aud="grafana"),
    "no audience": lambda: token(aud=None),
    "other audiences": lambda: token(aud=["a", "b"]),
    "no role": lambda: token(realm={"roles": ["other"]}),
    "roles that are none": lambda: token(realm={"roles": {"ml-admins": True}}),
    "roles elsewhere": lambda: token(realm=None, roles=["ml-admins"]),
    "no name": lambda: token(email=None),
    "a name of two lines": lambda: token(email="ana\nadmin"),
    "a name that is none": lambda: token(email=["ana"]),
    "a very long name": lambda: token(email="a" * 200),
    "very long": lambda: token(padding="x" * 20_000),
    "four parts": lambda: token() + ".x",
    "not base64": lambda: "a.b.c",
    "nothing": lambda: "..",
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_token_that_is_not_right_is_nobodys(identity: Identity, forged: str) -> None:
    assert identity.caller(FORGED[forged]()) is None


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "r"), (CURVE, "ES256", "c"), (EDWARDS, "EdDSA", "e")]
)
def test_a_right_one_names_its_holder_and_the_role(identity: Identity, key: Any, algorithm: str, kid: str) -> None:
    caller = identity.caller(token(key, algorithm, kid))

    assert caller is not None
    assert (caller.name, caller.role) == ("oidc:ana@example.com", "operator")


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        (["ml-readers", "ml-admins"], "admin"),
        (["ml-jobs", "ml-readers"], "viewer"),
        ("ml-readers ml-operators", "operator"),
        (["ml-jobs", 7, None], "reporter"),
    ],
)
def test_of_several_roles_the_highest_counts(identity: Identity, roles: Any, role: str) -> None:
    caller = identity.caller(token(realm={"roles": roles}))

    assert caller is not None
    assert caller.role == role


def test_clocks_may_differ_by_a_minute(identity: Identity) -> None:
    assert identity.caller(token(exp=int(time.time()) - 30))
    assert identity.caller(token(nbf=int(time.time()) + 30))


def test_an_audience_among_others_is_enough(identity: Identity) -> None:
    assert identity.caller(token(aud=["grafana", AUDIENCE]))


def test_a_new_key_is_asked_for_and_an_old_one_counts_no_more(identity: Identity) -> None:
    asked: list[bool] = []
    identity = Identity(SETTINGS, lambda: asked.append(True))
    identity.renew(key_set(public(RSA, "old", "RS256")))
    assert identity.caller(token(kid="old"))
    assert identity.caller(token(kid=None))  # the only one
    assert not asked

    assert identity.caller(token(STRANGER, kid="new")) is None
    assert asked
    identity.renew(key_set(public(STRANGER, "new", "RS256")))
    assert identity.caller(token(STRANGER, kid="new"))
    assert identity.caller(token(kid="old")) is None


def private() -> dict[str, Any]:
    told: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(RSA, as_dict=True)
    return told | {"kid": "r", "alg": "RS256"}


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"{}", b"null", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [1]}', b"\xff", b"[" * 100_000,
        key_set({"kty": "oct", "k": "c2VjcmV0", "kid": "r", "alg": "HS256"}),
        key_set({"kty": "RSA", "kid": "r"}),
        key_set({"kty": "RSA", "kid": "r", "n": 5, "e": []}),
        key_set(public(RSA, "r", "RS256", use="enc")),
        key_set(public(RSA, "r", "RS256", alg="RSA-OAEP")),
        key_set(public(SHORT, "r", "RS256")),
        key_set(private()),
    ],
    ids=range(16),
)  # fmt: skip
def test_a_document_without_a_usable_key_changes_nothing(identity: Identity, document: bytes) -> None:
    with pytest.raises(ValueError, match=r"it (is no set of keys|has no key)"):
        identity.renew(document)
    assert identity.caller(token())


async def test_a_signed_token_calls_within_its_role_and_stands_in_the_trail(serve: Serve, identity: Identity) -> None:
    service = FakeService(calm=True)
    client = await serve(service, tokens=[auth_token("ci", "reporter", "s3cret")], identity=identity.caller)

    def bearer(value: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {value}"}

    assert (await client.post(f"{D}/promote", json=PROMOTE, headers=bearer(token()))).status == 200
    assert [call["actor"] for _, call in service.calls] == ["oidc:ana@example.com"]
    reader = token(realm={"roles": ["ml-readers"]})
    assert (await client.post(f"{D}/promote", json=PROMOTE, headers=bearer(reader))).status == 403
    assert (await client.get(D, headers=bearer(token(STRANGER)))).status == 401
    assert (await client.get(D)).status == 401
    assert (await client.post("/v1/outcomes", json={"outcomes": []}, headers=bearer("s3cret"))).status == 200


def test_with_a_provider_alone_nobody_is_anonymous(identity: Identity) -> None:
    access = Access((), "127.0.0.1", (), identity=identity.caller)

    assert access.closed
    assert access.caller(None) is None
    assert access.caller("Bearer wrong") is None
    assert access.caller(f"Bearer {token()}") is not None
    assert access.caller(f"Basic {token()}") is None


def test_a_token_of_the_settings_may_have_dots(identity: Identity) -> None:
    access = Access([auth_token("ci", "reporter", "a.b.c")], "127.0.0.1", (), identity=identity.caller)

    caller = access.caller("Bearer a.b.c")
    assert caller is not None
    assert caller.name == "ci"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keys_url": "http://login.example.com/keys"}, "https"),
        ({"keys_url": "http://127.0.0.1.evil.example/keys"}, "https"),
        ({"keys_url": "http://127.0.0.1:9/keys", "ca_file": "/ca.pem"}, "no effect"),
        ({"roles": {}}, "at least 1"),
        ({"roles": {"a": "root"}}, "viewer"),
    ],
)
def test_settings_that_nobody_could_trust_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Oidc.model_validate(SETTINGS.model_dump() | changes)
