"""Words planted wherever somebody may put a secret or a person's data: nothing that is written or shown has one.

A whole sidecar serves with a challenger, full access log, tokens, keys and an event receiver; then every file of it,
everything it said, its metrics and every page of the admin API are searched.
"""

from __future__ import annotations

import contextlib
import json
import signal
import stat
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.process.whole_sidecar import INFER, Make, Sidecar, ask, ask_once, connect, until

ONE, SCREEN = "/v1/deployments/fraud", "/deployments/fraud"
ASKED = (
    "/", SCREEN, f"{SCREEN}/inputs", f"{SCREEN}/outcomes", f"{SCREEN}/promote?challenger=3", "/audit",
    "/metrics", "/healthz", "/readyz", "/v1/deployments", ONE, f"{ONE}/comparison", f"{ONE}/drift",
    f"{ONE}/features", f"{ONE}/gates", f"{ONE}/champion", f"{ONE}/performance", f"{ONE}/label-queue",
    f"{ONE}/transitions", "/v1/alarms", "/v1/audit", "/v1/audit/verify", "/v1/audit/head", "/v1/events/dead-letters",
    "/v1/decisions/planted-1",
)  # fmt: skip
CALLERS = {
    "authorization": "Bearer hemlock-caller-token",
    "cookie": "session=hemlock-cookie",
    "x-customer": "hemlock-customer",
    "forwarded": "for=hemlock-address",
    "user-agent": "hemlock-agent",
    "baggage": "user=hemlock-baggage",
}
TOKEN, KEY, EVENT = "hemlock-admin-token-0123456789", "hemlock-audit-key-0123456789abcdef", "hemlock-event-secret-01234"
OWN_HEADER = "hemlock-model-key"


class Receiver:
    """Takes events and keeps what came, headers included."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.came.append(bytes(self.headers) + body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hemlock-receivers-path"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with contextlib.closing(Receiver()) as one:
        yield one


def planted_body(number: int) -> bytes:
    """A row with a name and a text in it; some bodies are none."""
    if number % 5 == 4:
        return b'{"inputs": [{"name": "hemlock-column", "data": ["hemlock-broken'
    amount = {"name": "amount", "shape": [1], "datatype": "FP64", "data": [918273.645 + number]}
    person = {"name": "person", "shape": [1], "datatype": "BYTES", "data": [f"hemlock-person-{number}"]}
    return json.dumps({"inputs": [amount, person], "parameters": {"note": "hemlock-parameter"}}).encode()


def planted(sidecar: Sidecar) -> None:
    with contextlib.closing(connect(sidecar.data)) as connection:
        for number in range(60):
            headers = CALLERS | {"x-request-id": f"planted-{number}", "content-type": "application/json"}
            ask(connection, f"{INFER}?user=hemlock-query", planted_body(number), headers)
    for secret in ("hemlock-wrong-token", "Basic aGVtbG9jLXVzZXI6aGVtbG9jLXBhc3N3b3Jk"):
        scheme = "" if secret.startswith("Basic") else "Bearer "
        assert ask_once(sidecar.admin, "/v1/alarms", None, {"authorization": scheme + secret}).status == 401
    ask_once(sidecar.admin, f"{ONE}/promote", b'{"hemlock-key": "hemlock-value"}', call())


def call() -> dict[str, str]:
    return {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}


def post(sidecar: Sidecar, path: str, body: dict[str, Any]) -> int:
    return ask_once(sidecar.admin, path, json.dumps(body).encode(), call()).status


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


def test_no_planted_word_is_written_or_shown(
    make: Make, settings: dict[str, Any], tmp_path: Path, receiver: Receiver
) -> None:
    (tmp_path / "alice").write_text(TOKEN)
    (tmp_path / "key").write_text(KEY)
    settings["deployments"][0]["challengers"][0]["headers"] = {"x-api-key": OWN_HEADER}
    settings["deployments"][0]["sampling"] = {"keep_rows": 100}
    sidecar = make(
        environment={"SIDECAR_TEST_EVENTS": EVENT},
        deployments=settings["deployments"],
        admin={
            "listen": "127.0.0.1:0",
            "tokens": [{"name": "alice", "role": "admin", "token_file": str(tmp_path / "alice")}],
        },
        audit={"keys": [{"name": "one", "key_file": str(tmp_path / "key")}]},
        events=[{"url": receiver.url, "secret_env": "SIDECAR_TEST_EVENTS"}],
        access_log={"mode": "full", "path": str(tmp_path / "access.log")},
    ).start()
    planted(sidecar)
    until("the pairs", lambda: counted(sidecar) >= 40)
    table = sidecar.state_dir / "routing.msgpack"
    assert OWN_HEADER.encode() in table.read_bytes()  # workers send it, and nobody else may read it
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    assert post(sidecar, f"{ONE}/promote", {"challenger": "4", "reason": "looked at"}) == 200
    until("the event", lambda: receiver.came)
    sidecar.process.send_signal(signal.SIGHUP)
    until("the reload", lambda: sidecar.logged("the configuration was reloaded"))
    answers = {path: ask_once(sidecar.admin, path, None, call()) for path in ASKED}
    assert {path: answer.status for path, answer in answers.items() if answer.status != 200} == {}
    shown = {path: answer.body for path, answer in answers.items()}
    sockets = Path(sidecar._environment["TMPDIR"])
    living = {str(path): path.read_bytes() for path in files(sidecar.state_dir, sockets)}
    assert sidecar.stop() == 0

    written = living | {str(path): path.read_bytes() for path in files(sidecar.state_dir, sockets)}
    written |= {"said": sidecar.said.encode(), "access log": (tmp_path / "access.log").read_bytes()}
    written |= shown | {f"event {number}": came for number, came in enumerate(receiver.came)}
    assert len([at for at, seen in written.items() if b"planted-1" in seen]) > 1  # so they would have been found
    words = ("hemloc", "918273", "918333", "aGVtbG9j")
    found = {
        place: around(content, word.encode())
        for place, content in written.items()
        for word in words
        if word.encode().lower() in expected_away(place, content).lower()
    }
    assert found == {}


def expected_away(place: str, content: bytes) -> bytes:
    """Less what must stand there: a receiver's address where events wait for it, a challenger's header for workers."""
    content = content.replace(b"hemlock-receivers-path", b"")
    return content.replace(OWN_HEADER.encode(), b"") if place.endswith("routing.msgpack") else content


def around(content: bytes, word: bytes) -> bytes:
    at = content.lower().find(word.lower())
    return content[max(0, at - 60) : at + 60]


def counted(sidecar: Sidecar) -> int:
    answer = ask_once(sidecar.admin, f"{ONE}/comparison", None, call())
    return int(answer.document["pairs"]) if answer.status == 200 else 0
