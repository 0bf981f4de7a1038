"""Rules over several sections, and about the files that settings name: each fault has its line and key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import serialization

from sidecar.config import Settings
from sidecar.config_file import ConfigFaults, load, read_challenger

FRAUD = """\
deployments:
  - name: fraud
    champion: {version: "3", url: "http://127.0.0.1:8000"}
    challengers:
      - version: "4"
        url: http://127.0.0.1:8001
"""


@pytest.fixture(scope="session")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate and its key, another key, an authority, and files that are none of these."""
    folder = tmp_path_factory.mktemp("pems")
    authority = trustme.CA()
    issued, other = authority.issue_cert("models.internal"), authority.issue_cert("other.internal")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(folder / "cert.pem", append=True)
    other.private_key_pem.write_to_path(folder / "other-key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "nonsense.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    (folder / "empty.pem").touch()
    os.mkfifo(folder / "pipe.pem")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = key.private_bytes(*kinds, serialization.BestAvailableEncryption(b"x"))
    (folder / "locked.pem").write_bytes(locked)
    return folder


def told(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except ConfigFaults as faults:
        return [(fault.line, fault.key, fault.says) for fault in faults.faults]
    return []


def front(pems: Path, cert: str, key: str, **more: str) -> str:
    files = {"cert_file": str(pems / cert), "key_file": str(pems / key)}
    return FRAUD + yaml.safe_dump({"tls": files | {name: str(pems / file) for name, file in more.items()}})


def test_a_certificate_with_its_key_and_an_authority_is_taken(tmp_path: Path, pems: Path) -> None:
    assert told(tmp_path, front(pems, "cert.pem", "key.pem", client_ca_file="ca.pem")) == []


@pytest.mark.parametrize(
    ("cert", "key", "named", "says"),
    [
        ("gone.pem", "key.pem", "cert_file", "cannot be read: no such file or directory"),
        ("cert.pem", "gone.pem", "key_file", "cannot be read: no such file or directory"),
        (".", "key.pem", "cert_file", "is no file"),
        ("pipe.pem", "key.pem", "cert_file", "is no file"),
        ("nonsense.pem", "key.pem", "cert_file", "holds no certificate in PEM form"),
        ("empty.pem", "key.pem", "cert_file", "holds no certificate in PEM form"),
        ("key.pem", "key.pem", "cert_file", "holds no certificate in PEM form"),
        ("cert.pem", "cert.pem", "key_file", "holds no private key in PEM form"),
        ("cert.pem", "empty.pem", "key_file", "holds no private key in PEM form"),
        ("cert.pem", "other-key.pem", "key_file", "is not the key of the certificate in"),
        ("cert.pem", "locked.pem", "key_file", "is locked by a password"),
    ],
)
def test_a_certificate_that_could_not_be_used_is_a_fault_with_its_line(
    tmp_path: Path, pems: Path, cert: str, key: str, named: str, says: str
) -> None:
    text = front(pems, cert, key)

    ((line, where, sentence),) = told(tmp_path, text)

    assert where == f"tls.{named}"
    assert text.splitlines()[line - 1].strip().startswith(named)
    assert says in sentence


@pytest.mark.parametrize("file", ["nonsense.pem", "key.pem", "gone.pem", "empty.pem", "pipe.pem"])
@pytest.mark.parametrize("section", ["front", "all", "champion", "challenger"])
def test_an_authority_that_is_none_is_a_fault_wherever_it_stands(
    tmp_path: Path, pems: Path, file: str, section: str
) -> None:
    document: dict[str, Any] = yaml.safe_load(FRAUD)
    (deployment,) = document["deployments"]
    champion, (challenger,) = deployment["champion"], deployment["challengers"]
    champion["url"] = challenger["url"] = "https://127.0.0.1:8443"
    ca_file = {"ca_file": str(pems / file)}
    key = {
        "front": "tls.client_ca_file",
        "all": "upstream_tls.ca_file",
        "champion": "deployments[0].champion.tls.ca_file",
        "challenger": "deployments[0].challengers[0].tls.ca_file",
    }[section]
    if section == "front":
        pair = {"cert_file": str(pems / "cert.pem"), "key_file": str(pems / "key.pem")}
        document["tls"] = pair | {"client_ca_file": ca_file["ca_file"]}
    elif section == "all":
        document["upstream_tls"] = ca_file
    else:
        {"champion": champion, "challenger": challenger}[section]["tls"] = ca_file

    ((_, where, says),) = told(tmp_path, yaml.safe_dump(document))

    assert where == key
    assert file in says


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("tls: {cert_file: /a}", 7, "tls.cert_file", "belongs together with key_file, give both or neither"),
        ("tls: {client_ca_file: /a}", 7, "tls.client_ca_file", "has no effect without cert_file and key_file"),
        ("upstream_tls: {key_file: /a}", 7, "upstream_tls.cert_file", "belongs together with key_file, give both or"),
        ("upstream_tls: {ca_file: /gone}", 7, "upstream_tls", "has no effect: no url begins with https://"),
        ("access_log: {fraction: 0.5}", 7, "access_log.fraction", "has no effect without mode: sampled"),
        ("access_log: {mode: full, fraction: 0.5}", 7, "access_log.fraction", "has no effect without mode: sampled"),
        ("access_log: {path: /tmp/a}", 7, "access_log.path", "has no effect without mode: sampled or full"),
        ("access_log: {mode: off, path: /tmp/a}", 7, "access_log.path", "has no effect without mode"),
        ("access_log: {mode: on}", 7, "access_log.mode", "must be one of off, sampled, full"),
        ("access_log: {mode: full, path: /}", 7, "access_log.path", "'/' is a directory; give a file in it"),
        ("access_log: {mode: full, path: /gone/a}", 7, "access_log.path", "the folder '/gone' does not exist: create"),
        ("access_log: {mode: full, path: ''}", 7, "access_log.path", "a file's path is not empty"),
        ("telemetry: {sample: 1.0}", 7, "telemetry.otlp_endpoint", "is required by headers_env and sample"),
        ("telemetry: {headers_env: A}", 7, "telemetry.otlp_endpoint", "is required by headers_env and sample"),
        ("telemetry: {otlp_endpoint: 'http://u:p@h'}", 7, "telemetry.otlp_endpoint", "is no address such as"),
        ("telemetry: {otlp_endpoint: 'http://h', headers_env: 'A B'}", 7, "telemetry.headers_env", "an environment"),
        ("limits: {memory_bytes: 1000}", 7, "limits.memory_bytes", "must be 0 or at least 67108864"),
        ("limits: {memory_bytes: -1}", 7, "limits.memory_bytes", "must be at least 0"),
        ("limits: {body_bytes_per_s: 1.5}", 7, "limits.body_bytes_per_s", "must be a whole number"),
        ("listen: 127.0.0.1:8000", 3, "deployments[0].champion.url", "is the sidecar's own listen"),
        ("listen: 0.0.0.0:8001", 6, "deployments[0].challengers[0].url", "is the sidecar's own listen"),
        ("admin: {listen: 'localhost:8001'}", 6, "deployments[0].challengers[0].url", "own admin.listen"),
        ("listen: unix:/s.sock\nupstream: unix:/s.sock", 8, "upstream", "is the sidecar's own listen"),
        ("upstream: https+unix:/s.sock", 7, "upstream", "TLS is not spoken over a Unix socket"),
    ],
)
def test_a_setting_that_would_do_nothing_or_could_not_work_is_a_fault_at_its_key(
    tmp_path: Path, text: str, line: int, key: str, says: str
) -> None:
    ((found_line, found_key, sentence),) = told(tmp_path, FRAUD + text + "\n")

    assert (found_line, found_key) == (line, key)
    assert says in sentence


@pytest.mark.parametrize(
    ("part", "key", "says"),
    [
        ("ramp_s: 5", "ramp_s", "has no effect without max_per_s"),
        ("max_per_s: -1", "max_per_s", "must be at least 0"),
        ("max_per_s: .inf", "max_per_s", "must be a finite number"),
        ("copy_bytes: 99999999", "copy_bytes", "is above limits.mirror_bytes (16777216)"),
        ("copy_bytes: 0", "copy_bytes", "must be above 0"),
        ("breaker: {failures: 0}", "breaker.failures", "must be at least 1"),
        ("breaker: {open_s: 61}", "breaker.max_open_s", "is below open_s"),
        ("breaker: {opens: 1}", "breaker.opens", "unknown key"),
        ("tls: {server_name: a}", "tls", "has no effect, the url does not begin with https://"),
        ("headers: [a]", "headers", "must be a mapping"),
        ("headers: {x-a: 5}", "headers.x-a", "must be text: put it in quotes"),
        ("headers: {'x a': b}", "headers.x a", "a header's name has letters, digits and dashes"),
        ("headers: {'': b}", "headers.", "a header's name has letters, digits and dashes"),
        ("headers: {'x:': b}", "headers.x:", "a header's name has letters, digits and dashes"),
        ('headers: {"x\\r\\ny": b}', "headers.x\\r\\ny", "a header's name has letters, digits and dashes"),
        ("headers: {é: b}", "headers.é", "a header's name has letters, digits and dashes"),
        ("headers: {Content-Length: '5'}", "headers.Content-Length", "describes the body or belongs to one hop"),
        ("headers: {transfer-encoding: chunked}", "headers.transfer-encoding", "describes the body or belongs"),
        ("headers: {Connection: close}", "headers.Connection", "describes the body or belongs to one hop"),
        ("headers: {Sidecar-Shadow: '3'}", "headers.Sidecar-Shadow", "is written by the sidecar itself"),
        ("headers: {X-Request-Id: a}", "headers.X-Request-Id", "is written by the sidecar itself"),
        ("headers: {traceparent: a}", "headers.traceparent", "is written by the sidecar itself"),
        ("headers: {x-a: ''}", "headers.x-a", "a header's value has 1 to 4096 printable ASCII characters"),
        ("headers: {x-a: ' b'}", "headers.x-a", "a header's value has 1 to 4096 printable ASCII characters"),
        ('headers: {x-a: "b\\r\\nevil: 1"}', "headers.x-a", "a header's value has 1 to 4096 printable ASCII"),
        ('headers: {x-a: "b\\0"}', "headers.x-a", "a header's value has 1 to 4096 printable ASCII characters"),
        ("headers: {x-a: é}", "headers.x-a", "a header's value has 1 to 4096 printable ASCII characters"),
        ("headers: {x-a: b, X-A: c}", "headers", "two headers have the same name"),
        ("headers: {host: 'a b'}", "headers", "the header host is a name or an address"),
    ],
)
def test_a_challengers_bounds_and_headers_are_checked_at_their_own_line(
    tmp_path: Path, part: str, key: str, says: str
) -> None:
    ((line, found, sentence),) = told(tmp_path, FRAUD + f"        {part}\n")

    assert (line, found) == (7, f"deployments[0].challengers[0].{key}")
    assert says in sentence


def test_a_header_among_others_is_named_with_its_own_line(tmp_path: Path) -> None:
    text = FRAUD + "        headers:\n          x-fine: a\n          te: trailers\n"

    assert [(line, key) for line, key, _ in told(tmp_path, text)] == [(9, "deployments[0].challengers[0].headers.te")]


def test_too_many_headers_are_refused(tmp_path: Path) -> None:
    document = yaml.safe_load(FRAUD)
    document["deployments"][0]["challengers"][0]["headers"] = {f"x-{number}": "a" for number in range(33)}

    ((_, key, _),) = told(tmp_path, yaml.safe_dump(document))

    assert key == "deployments[0].challengers[0].headers"


def test_no_fault_repeats_a_headers_value(tmp_path: Path) -> None:
    ((_, _, says),) = told(tmp_path, FRAUD + '        headers: {authorization: "Bearer very\\nsecret"}\n')

    assert "very" not in says


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("sticky: content-length", "describes the body or belongs to one hop: it cannot be used"),
        ("sticky: 'a b'", "a header's name has letters, digits and dashes"),
        ("upgrades: 1", "must be true or false"),
    ],
)
def test_a_deployments_own_settings_are_checked(tmp_path: Path, part: str, says: str) -> None:
    ((line, key, sentence),) = told(tmp_path, FRAUD + f"    {part}\n")

    assert (line, key) == (7, f"deployments[0].{part.partition(':')[0]}")
    assert says in sentence


def test_upgrades_of_an_upstream_that_is_not_there_have_no_effect(tmp_path: Path) -> None:
    second = '  - {name: other, champion: {version: "1", url: "http://127.0.0.1:8009"}}\n'

    assert told(tmp_path, FRAUD + "upstream_upgrades: true\n") == []
    assert [key for _, key, _ in told(tmp_path, FRAUD + second + "upstream_upgrades: true\n")] == ["upstream_upgrades"]


def test_tls_is_not_spoken_on_a_unix_socket(tmp_path: Path, pems: Path) -> None:
    text = front(pems, "cert.pem", "key.pem") + "listen: unix:/s.sock\n"

    assert [(key, says[:42]) for _, key, says in told(tmp_path, text)] == [
        ("tls", "TLS is not spoken on a Unix socket: let li")
    ]


def test_a_file_of_every_new_setting_is_read(tmp_path: Path, pems: Path) -> None:
    text = f"""\
listen: 127.0.0.1:8443
tls: {{cert_file: {pems}/cert.pem, key_file: {pems}/key.pem}}
upstream_tls: {{ca_file: {pems}/ca.pem}}
deployments:
  - name: fraud
    sticky: X-User
    upgrades: true
    champion: {{version: "3", url: "https://models.internal:443", tls: {{server_name: model-3.internal}}}}
    challengers:
      - version: "4"
        url: https://models.internal:444
        copy_bytes: 1000000
        max_per_s: 50
        ramp_s: 0
        breaker: {{failures: 3, open_s: 1, max_open_s: 10}}
        headers: {{Host: models.internal, Authorization: Bearer x}}
limits: {{body_bytes_per_s: 100, memory_bytes: 268435456}}
access_log: {{mode: sampled, fraction: 0.2, path: {tmp_path}/access.log}}
"""
    assert told(tmp_path, text) == []


def test_a_challenger_of_a_call_is_checked_by_the_same_rules_without_a_line() -> None:
    settings = Settings.model_validate(yaml.safe_load(FRAUD))

    with pytest.raises(ConfigFaults) as raised:
        read_challenger(
            {"version": "5", "url": "http://127.0.0.1:8080", "fracton": 1, "headers": {"te": "a"}}, settings
        )

    assert [str(fault) for fault in raised.value.faults] == [
        "headers.te: 'te' describes the body or belongs to one hop: it cannot be used",
        "fracton: unknown key; did you mean fraction?",
    ]
    with pytest.raises(ConfigFaults, match=r"^url: 'http://127.0.0.1:8080' is the sidecar's own listen"):
        read_challenger({"version": "5", "url": "http://127.0.0.1:8080"}, settings)
    assert read_challenger({"version": "5", "url": "http://127.0.0.1:8002"}, settings).fraction == 1.0


def people(*names: str) -> str:
    tokens = [f"{{name: {name}, role: operator, token_env: T}}" for name in names]
    return f"admin: {{tokens: [{', '.join(tokens)}]}}\n"


@pytest.mark.parametrize(
    ("names", "settings", "says"),
    [
        ((), "gates: {approvals: {min: 1}}", "needs 2 people"),
        (("ann", "bob"), "gates: {approvals: {min: 2}}", "needs 3 people"),
        (("ann", "bob"), "gates: {approvals: {min: 1}}", None),
        (("ann", "bob"), "gates: {approvals: {min: 2, promoter_counts: true}}", None),
        (("ann", "bob"), "gates: {approvals: {min: 2}}\n    promotion: {mode: auto}", None),
        (("ann",), "gates: {approvals: {min: 2}}\n    promotion: {mode: auto}", "needs 2 people"),
        ((), "promotion: {mode: auto, hours: {zone: Mars/Olympus}}", "no time zone"),
        ((), "promotion: {mode: auto, hours: {zone: ../etc}}", "no time zone"),
        ((), "promotion: {mode: auto, hours: {zone: Europe/Berlin, start: 09:00, end: 17:00}}", None),
        ((), "promotion: {watch: {rollback: off}}", None),
        ((), "gates: {pairs: off}\n    promotion: {mode: auto}", "auto needs gate pairs"),
        (("sidecar",), "owner: x", "who acts by itself"),
        (("anonymous",), "owner: x", "who acts by itself"),
    ],
)
def test_people_and_hours_that_cannot_be_are_refused(
    tmp_path: Path, names: tuple[str, ...], settings: str, says: str | None
) -> None:
    text = (people(*names) if names else "") + FRAUD + f"    {settings}\n"
    faults = told(tmp_path, text)
    assert len(faults) == (says is not None), faults
    assert says is None or says in faults[0][2]
