"""A whole sidecar that takes an identity provider's tokens: the wiring from the settings to the audit trail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.admin.test_identity import KEYS, SETTINGS, STRANGER, token
from tests.process.whole_sidecar import Make, ask_once, until

ONE = "/v1/deployments/fraud"


@pytest.fixture
def keys_url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(KEYS)))
            self.end_headers()
            self.wfile.write(KEYS)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/keys"
    server.shutdown()
    thread.join()
    server.server_close()


def test_who_the_provider_names_acts_under_that_name(make: Make, keys_url: str) -> None:
    oidc = SETTINGS.model_dump(exclude={"ca_file"}) | {"keys_url": keys_url}
    sidecar = make(admin={"listen": "127.0.0.1:0", "oidc": oidc}).start()

    def call(path: str, bearer: str | None, body: bytes | None = None) -> int:
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {bearer}"} if bearer else {})
        return ask_once(sidecar.admin, path, body, headers).status

    until("the keys", lambda: sidecar.logged("the identity provider's keys are there"))
    off = json.dumps({"enabled": False, "reason": "looked at"}).encode()
    assert call(ONE, None) == 401
    assert call(ONE, token(STRANGER)) == 401
    assert call(f"{ONE}/shadow", token(realm={"roles": ["ml-readers"]}), off) == 403
    assert call(f"{ONE}/shadow", token(), off) == 200

    trail = ask_once(sidecar.admin, "/v1/audit", None, {"authorization": f"Bearer {token()}"}).document["entries"]
    assert [entry["actor"] for entry in trail if entry["action"] == "shadow_off"] == ["oidc:ana@example.com"]
    assert token().rpartition(".")[0][:40] not in sidecar.said
    assert sidecar.stop() == 0
