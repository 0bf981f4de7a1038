"""Who may call the admin API, as the settings say it: what would open it unseen, or would do nothing, is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from sidecar.config_file import ConfigFaults, load

CLIENT = {"name": "deployer", "role": "operator", "uri": "spiffe://example.com/deployer"}
TOKEN = {"name": "ann", "role": "operator", "token_env": "T"}


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return {
        "cert_file": str(tmp_path / "cert.pem"),
        "key_file": str(tmp_path / "key.pem"),
        "client_ca_file": str(tmp_path / "ca.pem"),
    }


def faults(folder: Path, admin: dict[str, Any], **more: Any) -> list[str]:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"upstream": "http://h:1", "admin": admin} | more), encoding="utf-8")
    try:
        load(path)
    except ConfigFaults as told:
        return [f"{fault.key}: {fault.says}" for fault in told.faults]
    return []


def test_certificates_say_who_calls_also_from_other_machines(tmp_path: Path, tls: dict[str, str]) -> None:
    admin = {"listen": "0.0.0.0:8081", "tls": tls, "clients": [CLIENT], "metrics": "token"}

    assert faults(tmp_path, admin) == []
    assert faults(tmp_path, admin | {"tls": tls | {"client_required": True}}) == []


@pytest.mark.parametrize("required", [False, True])
def test_tls_alone_says_of_nobody_who_they_are(tmp_path: Path, tls: dict[str, str], required: bool) -> None:
    """Whoever the authority has given a certificate, for whatever, would be an administrator."""
    (told,) = faults(tmp_path, {"listen": "0.0.0.0:8081", "tls": tls | {"client_required": required}})

    assert "admin.listen 0.0.0.0:8081 is reachable from other machines: give admin.tokens (or clients)" in told


NAMED: dict[str, tuple[list[dict[str, str]], list[dict[str, str]], str | None]] = {
    "one by each": ([CLIENT], [TOKEN], None),
    "the same person by both": ([CLIENT], [TOKEN | {"name": "deployer"}], None),
    "the same name, another role": ([CLIENT], [TOKEN | {"name": "deployer", "role": "admin"}], "has the same role"),
    "one name for two": ([CLIENT, CLIENT | {"uri": "spiffe://x"}], [], "could not tell them apart"),
    "one certificate for two": ([CLIENT, CLIENT | {"name": "other"}], [], "two are told by the same name"),
    "two ways to tell": ([CLIENT | {"dns": "x"}], [], "give just one of uri, dns, email, common_name"),
    "no way to tell": ([{"name": "a", "role": "viewer"}], [], "give just one of uri, dns, email, common_name"),
    "told by nothing": ([CLIENT | {"uri": ""}], [], "must not be empty"),
    "the machine's own name": ([CLIENT | {"name": "sidecar"}], [], "who acts by itself"),
    "no such role": ([CLIENT | {"role": "root"}], [], "must be one of viewer, reporter, operator, admin"),
}


@pytest.mark.parametrize("case", NAMED)
def test_who_is_told_by_a_certificate_is_one_person_of_one_role(case: str, tmp_path: Path, tls: dict[str, str]) -> None:
    clients, tokens, says = NAMED[case]

    found = faults(tmp_path, {"tls": tls, "clients": clients, "tokens": tokens})

    assert len(found) == (says is not None), found
    assert says is None or says in found[0]


def test_what_would_have_no_effect_is_refused(tmp_path: Path, tls: dict[str, str]) -> None:
    pair = {name: tls[name] for name in ("cert_file", "key_file")}
    for admin, says in (
        ({"clients": [CLIENT]}, "admin.clients: has no effect without admin.tls.client_ca_file"),
        ({"clients": [CLIENT], "tls": pair}, "admin.clients: has no effect without admin.tls.client_ca_file"),
        ({"tls": pair | {"client_required": True}}, "admin.tls.client_required: has no effect without client_ca_file"),
        ({"tls": {"client_ca_file": tls["client_ca_file"]}}, "has no effect without cert_file and key_file"),
        (
            {"tls": pair, "listen": "unix:/run/a.sock"},
            "admin.tls: TLS is not spoken on a Unix socket: let admin.listen",
        ),
        ({"tls": pair | {"key_file": tls["cert_file"]}}, "admin.tls.key_file: "),
        ({"tls": tls | {"client_ca_file": tls["key_file"]}}, "admin.tls.client_ca_file: "),
    ):
        (told,) = faults(tmp_path, admin)
        assert says in told, (admin, told)


def test_who_has_a_certificate_may_approve_and_is_counted_once(tmp_path: Path, tls: dict[str, str]) -> None:
    champion = {"version": "3", "url": "http://h:1"}
    deployment = {"name": "fraud", "champion": champion, "gates": {"approvals": {"min": 1}}}
    by_both = {"tls": tls, "clients": [CLIENT], "tokens": [TOKEN | {"name": "deployer"}]}

    assert faults(tmp_path, by_both | {"tokens": [TOKEN]}, deployments=[deployment]) == []
    (told,) = faults(tmp_path, by_both, deployments=[deployment])
    assert "needs 2 people" in told
