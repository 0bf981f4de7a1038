"""TLS in front, to champion and challenger, on a whole sidecar; and a certificate that is renewed under its feet."""

from __future__ import annotations

import contextlib
import copy
import http.client
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.process.whole_sidecar import Answer, Make, Model, Sidecar, ask, until

CA = trustme.CA()


def show(folder: Path, issued: trustme.LeafCert) -> dict[str, str]:
    issued.cert_chain_pems[0].write_to_path(folder / "front.crt")
    issued.private_key_pem.write_to_path(folder / "front.key")
    return {"cert_file": str(folder / "front.crt"), "key_file": str(folder / "front.key")}


@pytest.fixture
def secure_models() -> Iterator[dict[str, Model]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    standing = {version: Model(version) for version in ("3", "4")}
    for model in standing.values():
        model._server.socket = context.wrap_socket(model._server.socket, server_side=True)
    yield standing
    for model in standing.values():
        model.close()


@pytest.fixture
def secure(make: Make, settings: dict[str, Any], secure_models: dict[str, Model], tmp_path: Path) -> Sidecar:
    authority = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(authority)
    deployment = copy.deepcopy(settings["deployments"][0])
    for version in (deployment["champion"], *deployment["challengers"]):
        version["url"] = secure_models[version["version"]].url.replace("http://", "https://")
    own = show(tmp_path, CA.issue_cert("localhost"))
    return make(deployments=[deployment], tls=own, upstream_tls={"ca_file": str(authority)}).start()


def secure_connection(sidecar: Sidecar) -> http.client.HTTPSConnection:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    return http.client.HTTPSConnection("localhost", int(sidecar.data.rpartition(":")[2]), timeout=10, context=context)


def once(sidecar: Sidecar) -> Answer:
    with contextlib.closing(secure_connection(sidecar)) as connection:
        return ask(connection)


def shown(sidecar: Sidecar) -> str:
    with contextlib.closing(secure_connection(sidecar)) as connection:
        connection.connect()
        peer: Any = connection.sock.getpeercert()
        return str(peer["serialNumber"])


def test_requests_and_copies_go_over_tls_and_a_renewed_certificate_counts_after_sighup(
    secure: Sidecar, tmp_path: Path
) -> None:
    kept = secure_connection(secure)
    answer = ask(kept)
    assert (answer.status, answer.version) == (200, "3")
    until("a copy", lambda: secure.metric("sidecar_shadow_requests_total", version="4", outcome="ok") == 1)

    before = shown(secure)
    show(tmp_path, CA.issue_cert("localhost"))
    secure.process.send_signal(signal.SIGHUP)
    until("the new certificate", lambda: shown(secure) != before)

    assert ask(kept).status == 200
    assert once(secure).version == "3"
    kept.close()
    assert secure.stop() == 0
    assert "Traceback" not in secure.said


def test_a_certificate_that_is_broken_on_disk_is_told_and_serving_goes_on(secure: Sidecar, tmp_path: Path) -> None:
    before = shown(secure)
    (tmp_path / "front.key").write_text("-----BEGIN PRIVATE KEY-----\n", encoding="ascii")
    (told,) = until("the line in the log", lambda: secure.logged("TLS files cannot be used"))
    assert told["fields"]["old_one_stays"] is True
    assert shown(secure) == before
    assert once(secure).status == 200
