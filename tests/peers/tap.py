"""A relay that keeps what went through it, and the HTTP messages in that: what was really on the wire."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, order=True)
class Message:
    """One request or answer; the body without its chunks' borders, and whether it had any."""

    start: str
    body: bytes
    headers: Headers
    chunked: bool

    def without(self, names: frozenset[str]) -> Message:
        kept = tuple((name, value) for name, value in self.headers if name.lower() not in names)
        return Message(self.start, self.body, kept, self.chunked)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class Recorded:
    """Both directions of one connection."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


class Tap:
    """Listens, and relays each connection to the target."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._target = (address.hostname or "", address.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._recorded: list[Recorded] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closed = False

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for opened in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in self._threads:
            thread.join()

    def clear(self) -> None:
        """Forgets what went through until now; no connection may be in use."""
        for recorded in self._recorded:
            recorded.sent.clear()
            recorded.received.clear()

    def exchanges(self) -> list[tuple[Message, Message]]:
        """Every request with its answer, in an order that does not depend on the connections they came on."""
        pairs: list[tuple[Message, Message]] = []
        for recorded in self._recorded:
            requests, answers = messages(bytes(recorded.sent)), messages(bytes(recorded.received), answers=True)
            assert len(requests) == len(answers), (requests, answers)
            pairs += zip(requests, answers, strict=True)
        return sorted(pairs)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            recorded = Recorded()
            self._recorded.append(recorded)
            self._open += (caller, server)
            self._start(self._relay, caller, server, recorded.sent)
            self._start(self._relay, server, caller, recorded.received)

    @staticmethod
    def _relay(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def messages(stream: bytes, *, answers: bool = False) -> list[Message]:
    """The messages of one direction of a connection; interim answers are left out."""
    found = []
    while stream:
        head, border, rest = stream.partition(b"\r\n\r\n")
        assert border, f"no end of a head in {stream[:200]!r}"
        start, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        known = {name.lower(): value for name, value in headers}
        chunked = known.get("transfer-encoding", "").lower() == "chunked"
        if chunked:
            body, stream = _dechunked(rest)
        else:
            bodiless = not answers or start.split()[1] in ("204", "304") or start.split()[1].startswith("1")
            length = int(known.get("content-length", 0 if bodiless else len(rest)))
            body, stream = rest[:length], rest[length:]
            assert len(body) == length, f"{length} bytes were announced and {len(body)} came: {start}"
        if not (answers and start.split()[1].startswith("1")):
            found.append(Message(start, body, headers, chunked))
    return found


def _dechunked(stream: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, stream = stream.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        body, stream = body + stream[:length], stream[length + 2 :]
        if not length:
            return body, stream
