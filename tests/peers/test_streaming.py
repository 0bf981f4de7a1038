"""Answers that come piece by piece, as OpenAI-style servers send them, and routes that nobody here knows: untouched."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from tests.process.whole_sidecar import Sidecar, until

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"openai-processing-ms: 12\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Scripted:
    """A server whose one connection's answers a test writes byte by byte; it reads whole requests."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: queue.Queue[bytes] = queue.Queue()
        self.ended = threading.Event()
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (self._listener, self._connection):
            if opened is not None:
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)
                opened.close()
        self._thread.join()

    def send(self, data: bytes) -> None:
        assert self._connection is not None
        self._connection.sendall(data)

    def _serve(self) -> None:
        while True:
            try:
                self._connection, _ = self._listener.accept()
            except OSError:
                return
            self.ended.clear()
            with contextlib.suppress(OSError):
                seen = b""
                while data := self._connection.recv(1 << 16):
                    seen += data
                    head, border, body = seen.partition(b"\r\n\r\n")
                    length = next(
                        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")),
                        0,
                    )
                    if border and len(body) >= length:
                        self.requests.put(seen)
                        seen = b""
            self._connection.close()
            self.ended.set()


@pytest.fixture(scope="module")
def backend() -> Iterator[Scripted]:
    with Scripted() as standing:
        yield standing


@pytest.fixture(scope="module")
def sidecar(backend: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    folder: Path = tmp_path_factory.mktemp("streaming")
    settings: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "state_dir": str(folder / "state"),
        "admin": {"listen": "127.0.0.1:0"},
        "upstream": backend.url,
        "deployments": [
            {"name": "chat", "match": {"path": CHAT}, "champion": {"version": "1", "url": backend.url}},
            {"name": "fraud", "champion": {"version": "1", "url": backend.url}},
        ],
    }
    started = Sidecar(folder, settings, {}).start()
    yield started
    started.clear()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextlib.contextmanager
def asked(sidecar: Sidecar, path: str) -> Iterator[socket.socket]:
    """A caller that has sent a request and reads raw bytes."""
    address = urlsplit(sidecar.data)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=60) as caller:
        head = f"POST {path} HTTP/1.1\r\nhost: models\r\ncontent-length: {len(BODY)}\r\nAuthorization: Bearer k\r\n\r\n"
        caller.sendall(head.encode() + BODY)
        yield caller


def received(caller: socket.socket, so_far: bytes, end: bytes) -> bytes:
    """What has come once it ends so."""
    while not so_far.endswith(end):
        data = caller.recv(1 << 16)
        assert data, so_far
        so_far += data
    return so_far


@pytest.mark.parametrize(
    "path", [CHAT, "/openai/v1/completions?stream=1"], ids=["a deployment's route", "no route of ours"]
)
def test_each_event_of_a_stream_reaches_the_caller_before_the_next_is_sent(
    sidecar: Sidecar, backend: Scripted, path: str
) -> None:
    events = [b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number for number in range(5)] + [
        b"data: [DONE]\n\n"
    ]
    with asked(sidecar, path) as caller:
        request = backend.requests.get(timeout=60)
        backend.send(HEAD)
        seen = b""
        for event in events:
            backend.send(chunk(event))
            # The server goes on only when the caller has this piece: whoever waited for more would wait for ever.
            seen = received(caller, seen, chunk(event))
        backend.send(b"0\r\n\r\n")
        seen = received(caller, seen, b"0\r\n\r\n")

    head, _, body = seen.partition(b"\r\n\r\n")
    assert body == b"".join(map(chunk, events)) + b"0\r\n\r\n"
    assert b"text/event-stream; charset=utf-8" in head
    assert b"openai-processing-ms: 12" in head
    assert request.startswith(f"POST {path} HTTP/1.1\r\n".encode())
    assert request.endswith(b"\r\n\r\n" + BODY)


def test_a_caller_that_leaves_a_stream_ends_it_at_the_server_too(sidecar: Sidecar, backend: Scripted) -> None:
    with asked(sidecar, CHAT) as caller:
        backend.requests.get(timeout=60)
        backend.send(HEAD + chunk(b"data: 1\n\n"))
        received(caller, b"", chunk(b"data: 1\n\n"))

    def goes_on() -> bool:
        """A caller may close its half and still read: that nobody does shows when more is sent."""
        with contextlib.suppress(OSError):
            backend.send(chunk(b"data: 2\n\n"))
        return backend.ended.is_set()

    until("the end of the server's connection", goes_on)


def test_a_body_that_no_reader_knows_is_served_and_counted_as_such(sidecar: Sidecar, backend: Scripted) -> None:
    with asked(sidecar, CHAT) as caller:
        backend.requests.get(timeout=60)
        answer = b'{"choices":[{"message":{"role":"assistant","content":"hi"}}]}'
        backend.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
        assert received(caller, b"", answer).startswith(b"HTTP/1.1 200 OK\r\n")

    unread = ("sidecar_undecodable_total", {"deployment": "chat", "reason": "answer_protocol"})
    until("the answer was looked at", lambda: sidecar.metric(unread[0], **unread[1]) >= 1)
    assert sidecar.metric("sidecar_observation_failures_total") == 0
