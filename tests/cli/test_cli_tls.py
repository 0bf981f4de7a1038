"""The commands by TLS: whom they believe, what they show, and one sentence for each way in which that fails."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

Run = Callable[..., Any]
CA, STRANGER = trustme.CA(), trustme.CA()


def put(folder: Path, authority: trustme.CA, *names: str) -> dict[str, str]:
    """The files of a certificate and its authority."""
    issued = authority.issue_cert(*names)
    issued.cert_chain_pems[0].write_to_path(folder / f"{names[0]}.crt")
    issued.private_key_pem.write_to_path(folder / f"{names[0]}.key")
    authority.cert_pem.write_to_path(folder / f"{names[0]}.ca")
    return {kind: str(folder / f"{names[0]}.{kind}") for kind in ("crt", "key", "ca")}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return put(tmp_path, CA, "caller")


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[str]:
    """A server that wants a certificate."""
    own = put(tmp_path, CA, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own["crt"], own["key"])
    context.load_verify_locations(own["ca"])
    context.verify_mode = ssl.CERT_REQUIRED

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"items": [], "waits": null}'
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        def get_request(self) -> tuple[Any, Any]:
            accepted, address = super().get_request()
            accepted.settimeout(30)
            return context.wrap_socket(accepted, server_side=True), address

        def handle_error(self, *_: object) -> None:
            """A handshake that failed is what the test is about."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def said(result: Any) -> str:
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return str(result.stderr)


def test_files_of_options_and_of_the_environment_do_alike(
    secure: str, files: dict[str, str], sidecar: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_options = sidecar("status", "--url", secure, "--ca", files["ca"], "--cert", files["crt"], "--key", files["key"])
    assert by_options.exit_code == 0, by_options.stderr

    for name, value in (("URL", secure), ("CA", files["ca"]), ("CERT", files["crt"]), ("KEY", files["key"])):
        monkeypatch.setenv(f"SIDECAR_{name}", value)
    assert sidecar("status").exit_code == 0


def test_a_certificate_and_its_key_may_stand_in_one_file(
    secure: str, files: dict[str, str], sidecar: Run, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_text(Path(files["crt"]).read_text() + Path(files["key"]).read_text())

    assert sidecar("status", "--url", secure, "--ca", files["ca"], "--cert", str(both)).exit_code == 0


def test_who_is_not_believed_gets_no_token(secure: str, sidecar: Run, tmp_path: Path) -> None:
    stranger = put(tmp_path, STRANGER, "stranger")

    for options in ((), ("--ca", stranger["ca"])):
        told = said(sidecar("status", "--url", secure, "--token", "s3cret", *options))
        assert "is not believed: " in told
        assert "(--ca or SIDECAR_CA)" in told
        assert "s3cret" not in told


def test_a_believed_server_of_another_name_is_not_believed(secure: str, files: dict[str, str], sidecar: Run) -> None:
    url = secure.replace("localhost", "127.0.0.1")

    assert "is not believed: " in said(sidecar("status", "--url", url, "--ca", files["ca"]))


def test_a_server_that_wants_a_certificate_says_so(
    secure: str, files: dict[str, str], sidecar: Run, tmp_path: Path
) -> None:
    stranger = put(tmp_path, STRANGER, "stranger")
    shown = ("--cert", stranger["crt"], "--key", stranger["key"])

    for options in ((), shown):
        told = said(sidecar("status", "--url", secure, "--ca", files["ca"], *options))
        assert "(--cert or SIDECAR_CERT)" in told, told


def test_plain_and_secure_are_not_mixed_up(secure: str, api: Any, files: dict[str, str], sidecar: Run) -> None:
    plain = said(sidecar("status", "--url", secure.replace("https:", "http:")))
    assert "ended the connection" in plain or "does not speak HTTP" in plain
    assert "no secure connection" in said(sidecar("status", "--url", api.url.replace("http:", "https:")))
    told = said(sidecar("status", "--url", api.url, "--ca", files["ca"]))
    assert "is not called by TLS: write https://, or leave out --ca, --cert and --key" in told
    assert api.calls == []


def test_files_that_cannot_be_used_are_named_before_anybody_is_called(files: dict[str, str], sidecar: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"https://localhost:{closed.getsockname()[1]}"
    for options, says in (
        (("--ca", "/nowhere"), "/nowhere holds no certificates in PEM form (--ca or SIDECAR_CA)"),
        (("--ca", files["key"]), "holds no certificates in PEM form"),
        (("--cert", "/nowhere"), "/nowhere and its key cannot be used"),
        (("--cert", files["crt"]), "and its key cannot be used"),
        (("--cert", files["crt"], "--key", files["ca"]), "(--cert and --key, SIDECAR_CERT and SIDECAR_KEY)"),
        (("--key", files["key"]), "a key has no effect without its certificate"),
    ):
        assert says in said(sidecar("status", "--url", url, *options))
