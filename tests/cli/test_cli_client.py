"""Whatever answers, or does not: one sentence, in time, without the token."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import StreamRequestHandler, UnixStreamServer
from typing import Any

import pytest

from sidecar.cli import client
from sidecar.cli.client import AdminClient, Problem
from sidecar.cli.failure import CommandFailed

Run = Callable[..., Any]
_AT_MOST_S = 30.0


def sentence(result: Any, code: int = 2) -> str:
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return str(result.stderr)


def test_a_token_is_sent_as_a_bearer_and_none_without_one(fraud: Any, sidecar: Run) -> None:
    sidecar("status", "--token", "s3cret")
    sidecar("status")

    assert [call.headers.get("Authorization") for call in fraud.calls] == ["Bearer s3cret", None]


def test_the_token_comes_from_the_environment(fraud: Any, sidecar: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_TOKEN", "from-env")

    sidecar("status")

    assert fraud.calls[0].headers["Authorization"] == "Bearer from-env"


def test_nobody_listening_is_said_with_what_to_do(sidecar: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"

    said = sentence(sidecar("status", "--url", url))

    assert said == f"no sidecar answers at {url}; is it running? (--url or SIDECAR_URL)\n"


def test_proxies_of_the_environment_are_not_used(fraud: Any, sidecar: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert sidecar("status").exit_code == 0


@pytest.mark.parametrize(
    ("status", "kind", "data", "says"),
    [
        (200, "text/html", b"<html>hello</html>", "is no sidecar: its answer is not JSON"),
        (200, "application/json", b"", "is no sidecar"),
        (200, "application/json", b"\xff\xfe", "is no sidecar"),
        (200, "application/json", b"[" * 100_000, "is no sidecar"),
        (200, "application/json", b'{"items": 5}', "does not answer as this version"),
        (200, "application/json", b"[]", "does not answer as this version"),
        (200, "application/json", b'{"items": [{"name": null}]}', "does not answer as this version"),
        (500, "text/html", b"<html>oops</html>", "answered 500 and did not say why"),
        (500, "application/json", b"5", "answered 500 and did not say why"),
        (502, "application/json", b'{"detail": ["x"], "error": "no upstream"}', "no upstream"),
        (401, "application/json", b"", "does not accept this token (--token or SIDECAR_TOKEN)"),
        (403, "application/problem+json", b'{"detail": "bob is a viewer"}', "bob is a viewer (--token or SIDECAR_TO"),
        (503, "application/problem+json", b'{"detail": "disk\\nfull \\u001b[31m"}', "disk full \\x1b[31m"),
        (301, "text/html", b"", "points to another address, which is not followed"),
    ],
)
def test_a_strange_answer_is_one_sentence(
    api: Any, sidecar: Run, status: int, kind: str, data: bytes, says: str
) -> None:
    api.answers["/v1/deployments"] = (status, kind, data)

    assert says in sentence(sidecar("status"))
    assert says in sentence(sidecar("gates"))


def test_a_redirect_does_not_carry_the_token_away(api: Any, sidecar: Run) -> None:
    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{api.url}/elsewhere")
        handler.end_headers()

    api.handle = redirect

    sidecar("status", "--token", "s3cret")

    assert [call.path for call in api.calls] == ["/v1/deployments"]


def test_a_long_answer_ends_at_its_bound(fraud: Any, sidecar: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_LIMIT_BYTES", 1 << 20)
    fraud.answers["/v1/deployments"] = (200, "application/json", b" " * (2 << 20))

    assert "is larger than 1 MiB" in sentence(sidecar("status"))


def _hang(handler: BaseHTTPRequestHandler, stop: threading.Event) -> None:
    stop.wait(_AT_MOST_S)


def _drip_headers(handler: BaseHTTPRequestHandler, stop: threading.Event) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nx: ")
    until = time.monotonic() + _AT_MOST_S
    while not stop.wait(0.02) and time.monotonic() < until:
        handler.wfile.write(b"x")


def _drip_body(handler: BaseHTTPRequestHandler, stop: threading.Event) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
    until = time.monotonic() + _AT_MOST_S
    while not stop.wait(0.02) and time.monotonic() < until:
        handler.wfile.write(b" ")


@pytest.mark.parametrize("play", [_hang, _drip_headers, _drip_body])
def test_an_answer_that_does_not_end_is_given_up_in_time(
    api: Any,
    sidecar: Run,
    monkeypatch: pytest.MonkeyPatch,
    play: Callable[[BaseHTTPRequestHandler, threading.Event], None],
) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.2)
    stop = threading.Event()

    def handle(handler: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            play(handler, stop)

    api.handle = handle
    began = time.monotonic()
    said = sentence(sidecar("status"))
    stop.set()

    assert said == f"no answer from {api.url} within 0.2 seconds\n"
    assert time.monotonic() - began < 20.0


def test_a_change_that_timed_out_tells_where_to_look(api: Any, sidecar: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.1)
    stop = threading.Event()
    api.handle = lambda handler: stop.wait(_AT_MOST_S)

    said = sentence(sidecar("rollback", "fraud", "--reason", "x"))
    stop.set()

    assert "`sidecar audit` shows whether it was done" in said


@pytest.mark.parametrize(
    ("garbage", "says"),
    [
        (b"", "ended the connection before its answer was complete; try again"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "ended the connection before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", "ended the connection before"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP; is it the admin address?"),
        (b"\x00" * 70_000, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "does not speak HTTP"),
    ],
)
def test_an_answer_that_is_no_whole_http_answer_is_one_sentence(
    api: Any, sidecar: Run, garbage: bytes, says: str
) -> None:
    api.handle = lambda handler: handler.wfile.write(garbage)

    assert says in sentence(sidecar("status"))


@pytest.mark.parametrize(
    "url",
    ["", "8081", "127.0.0.1:8081", "ftp://h", "http://", "http://h:99999", "http://h:x", "http://h/?q=1", "http://ä"],
)
def test_an_address_that_is_none_is_refused(sidecar: Run, url: str) -> None:
    assert "is no address such as http://127.0.0.1:8081" in sentence(sidecar("status", "--url", url))


def test_a_password_in_the_address_is_refused_and_not_repeated(sidecar: Run) -> None:
    said = sentence(sidecar("status", "--url", "http://me:hunter2@h:1"))

    assert "--token" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("token", ["hunter2\r\nX: y", "hunter 2", "hunter2é"])
def test_a_token_that_would_break_the_header_is_refused_and_not_repeated(sidecar: Run, token: str) -> None:
    said = sentence(sidecar("status", "--token", token))

    assert "the token holds" in said
    assert "hunter" not in said


def test_names_are_one_segment_of_the_path(fraud: Any, sidecar: Run) -> None:
    sidecar("gates", "a/../b?c#d e", "--challenger", "4&x=y")

    assert fraud.calls[0].path == "/v1/deployments/a%2F..%2Fb%3Fc%23d%20e/gates?challenger=4%26x%3Dy"


def test_an_address_may_have_a_path_in_front(fraud: Any, sidecar: Run) -> None:
    sidecar("status", "--url", f"{fraud.url}/teams/risk/")

    assert fraud.calls[0].path == "/teams/risk/v1/deployments"


def test_an_admin_listener_on_a_unix_socket_is_reached(tmp_path: Path) -> None:
    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    path = str(tmp_path / "admin.sock")
    with UnixStreamServer(path, Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        answer = AdminClient(f"unix:{path}", None).get("/v1/deployments")
        thread.join()

    assert answer.document == {}
    with pytest.raises(CommandFailed, match="no sidecar answers"):
        AdminClient(f"unix:{path}.gone", None).get("/v1/deployments")


def test_a_problem_keeps_its_document(fraud: Any) -> None:
    fraud.problem("/v1/deployments/fraud/promote", 409, "gates say no", gates=[1])

    with pytest.raises(Problem) as raised:
        AdminClient(fraud.url, None).post("/v1/deployments/fraud/promote", {"a": 1, "b": None})

    assert raised.value.status == 409
    assert raised.value.answer is not None
    assert raised.value.answer.document["gates"] == [1]
    assert fraud.calls[0].body == {"a": 1}
