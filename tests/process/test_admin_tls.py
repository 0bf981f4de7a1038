"""A whole sidecar whose operators come with certificates: from settings and options of the CLI to the audit trail."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import ssl
from pathlib import Path
from typing import Any

import trustme

from tests.app.issuing import issue
from tests.process.whole_sidecar import Answer, Make, ask, until

CA = trustme.CA()
SPIFFE = "spiffe://example.com/deployer"
ONE = "/v1/deployments/fraud"


def put(folder: Path, name: str, issued: trustme.LeafCert) -> tuple[str, str]:
    files = folder / f"{name}.crt", folder / f"{name}.key"
    issued.cert_chain_pems[0].write_to_path(files[0])
    issued.private_key_pem.write_to_path(files[1])
    return str(files[0]), str(files[1])


def call(url: str, files: tuple[str, str] | None, path: str, body: Any = None) -> tuple[Answer, str]:
    """The answer, and the serial number of the certificate that it came under."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    if files is not None:
        context.load_cert_chain(*files)
    address = url.removeprefix("https://")
    with contextlib.closing(http.client.HTTPSConnection(address, timeout=60, context=context)) as connection:
        connection.connect()
        peer: Any = connection.sock.getpeercert()
        data = None if body is None else json.dumps(body).encode()
        return ask(connection, path, data, {"content-type": "application/json"}), peer["serialNumber"]


def test_who_comes_with_a_certificate_acts_under_the_name_of_the_settings(make: Make, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(authority)
    own = put(tmp_path, "admin", CA.issue_cert("localhost", "127.0.0.1"))
    shown = put(tmp_path, "deployer", issue(CA, SPIFFE))
    tls = {"cert_file": own[0], "key_file": own[1], "client_ca_file": str(authority)}
    clients = [{"name": "deployer", "role": "operator", "uri": SPIFFE}]
    sidecar = make(admin={"listen": "127.0.0.1:0", "tls": tls, "clients": clients}).start()
    assert sidecar.admin.startswith("https://127.0.0.1:")

    assert call(sidecar.admin, None, "/healthz")[0].status == 200
    assert call(sidecar.admin, None, ONE)[0].status == 401
    page = call(sidecar.admin, shown, "/")[0]
    assert page.status == 200
    assert b"fraud" in page.body
    off = {"enabled": False, "reason": "looked at"}
    assert call(sidecar.admin, shown, f"{ONE}/shadow", off)[0].status == 200
    by_cli = sidecar.cli(
        "shadow", "on", "fraud", "--reason", "seen", "--ca", str(authority), "--cert", shown[0], "--key", shown[1]
    )
    assert by_cli.returncode == 0, by_cli.stderr

    trail = call(sidecar.admin, shown, "/v1/audit")[0].document["entries"]
    assert [entry["actor"] for entry in trail if entry["action"].startswith("shadow")] == ["deployer", "deployer"]

    _, before = call(sidecar.admin, None, "/healthz")
    put(tmp_path, "admin", CA.issue_cert("localhost", "127.0.0.1"))
    sidecar.write(sidecar.settings | {"admin": {"listen": "127.0.0.1:0", "tls": tls, "clients": [clients[0] | OTHER]}})
    sidecar.process.send_signal(signal.SIGHUP)
    until("the new certificate", lambda: call(sidecar.admin, None, "/healthz")[1] != before)
    until("another client", lambda: call(sidecar.admin, shown, ONE)[0].status == 401)
    assert sidecar.logged("these need a restart") == []

    assert sidecar.stop() == 0
    assert "Traceback" not in sidecar.said
    assert SPIFFE not in sidecar.said


OTHER = {"uri": "spiffe://example.com/other"}
