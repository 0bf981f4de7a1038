"""Whose certificate it is: names to the letter, of the kind that the settings say, and while it lasts."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.admin.auth import Access, auth_token
from sidecar.admin.caller import Caller
from sidecar.admin.certificates import Certified
from sidecar.config_admin import ClientCertificate

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
SPIFFE = "spiffe://example.com/ns/ml/sa/deployer"
CLIENTS = [
    ClientCertificate(name="deployer", role="operator", uri=SPIFFE),
    ClientCertificate(name="gateway", role="reporter", dns="gateway.example.com"),
    ClientCertificate(name="ana", role="admin", email="ana@example.com"),
    ClientCertificate(name="prometheus", role="viewer", common_name="prometheus"),
]


def shown(*names: tuple[str, str], common: tuple[str, ...] = (), until: str = "Jan  1 00:00:01 2026 GMT") -> Any:
    """As `getpeercert` tells a verified certificate."""
    subject = tuple((("commonName", name),) for name in common)
    return {"subject": subject, "subjectAltName": names, "notAfter": until, "version": 3}


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        (shown(("URI", SPIFFE)), "deployer"),
        (shown(("DNS", "gateway.example.com")), "gateway"),
        (shown(("email", "ana@example.com")), "ana"),
        (shown(common=("prometheus",)), "prometheus"),
        (shown(("DNS", "other"), ("URI", SPIFFE), common=("x",)), "deployer"),
        (shown(("email", "ana@example.com"), ("URI", SPIFFE)), "deployer"),
        (shown(("DNS", SPIFFE)), None),
        (shown(("URI", "prometheus"), common=("ana@example.com",)), None),
        (shown(("email", "ana@example.com\0.evil.example")), None),
        (shown(("DNS", "GATEWAY.example.com")), None),
        (shown(("DNS", "*.example.com")), None),
        (shown(("DNS", "gateway.example.com.")), None),
        (shown(("URI", f"{SPIFFE}/other")), None),
        (shown(("URI", SPIFFE.upper())), None),
        (shown(("DNS", f"x, URI:{SPIFFE}")), None),
        (shown(("Registered ID", SPIFFE), ("IP Address", "127.0.0.1"), ("DirName", "prometheus")), None),
        (shown(common=("prometheus", "other")), None),
        (shown(common=("prometheus", "prometheus")), None),
        (shown(("URI", SPIFFE), until="Jan  1 00:00:00 2026 GMT"), None),
        (shown(("URI", SPIFFE), until="Dec 31 23:59:59 2025 GMT"), None),
        (shown(("URI", SPIFFE), until="tomorrow"), None),
        ({"subjectAltName": (("URI", SPIFFE),)}, None),
        ({}, None),
        (None, None),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value),
)
def test_a_certificate_is_of_whom_the_settings_tell_by_one_of_its_names(certificate: Any, name: str | None) -> None:
    found = Certified(CLIENTS).caller(certificate, NOW)

    assert (found.name if found else None) == name


def test_the_role_is_that_of_the_settings() -> None:
    assert Certified(CLIENTS).caller(shown(("DNS", "gateway.example.com")), NOW) == Caller("gateway", "reporter")


@pytest.mark.parametrize(
    ("authorization", "certificate", "name"),
    [
        (None, shown(("URI", SPIFFE)), "deployer"),
        ("Bearer s3cret", shown(("URI", SPIFFE)), "bob"),
        ("Bearer s3cret", None, "bob"),
        ("Bearer wrong", shown(("URI", SPIFFE)), None),
        ("", shown(("URI", SPIFFE)), None),
        (None, shown(("URI", "spiffe://example.com/other")), None),
        (None, None, None),
    ],
)
def test_a_call_with_a_token_is_judged_by_the_token_alone(
    authorization: str | None, certificate: Any, name: str | None
) -> None:
    tokens = [auth_token("bob", "viewer", "s3cret")]
    access = Access(tokens, "127.0.0.1", (), clients=CLIENTS, wall_clock=lambda: NOW)

    found = access.caller(authorization, "10.0.0.1", certificate)

    assert (found.name if found else None) == name


def test_who_has_a_certificate_that_nobody_knows_is_no_guesser() -> None:
    access = Access((), "127.0.0.1", (), clients=CLIENTS, wall_clock=lambda: NOW)
    for _ in range(100):
        assert access.caller(None, "10.0.0.1", shown(("URI", "spiffe://example.com/other"))) is None

    assert access.wait_s("Bearer x", "10.0.0.1") == 0


def test_certificates_alone_close_the_door_and_a_reload_does_not_open_it() -> None:
    access = Access((), "127.0.0.1", (), clients=CLIENTS, wall_clock=lambda: NOW)
    assert access.closed
    assert access.caller(None) is None

    with pytest.raises(ValueError, match="decided at the start"):
        access.renew((), ())
    access.renew((), CLIENTS[1:])

    assert access.caller(None, None, shown(("URI", SPIFFE))) is None
    assert access.caller(None, None, shown(("DNS", "gateway.example.com"))) == Caller("gateway", "reporter")


def test_an_open_listener_is_not_closed_by_a_reload() -> None:
    with pytest.raises(ValueError, match="decided at the start"):
        Access((), "127.0.0.1", ()).renew((), CLIENTS)
