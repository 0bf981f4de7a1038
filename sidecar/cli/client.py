"""A small synchronous client of the admin API, on the standard library.

Keeps: every call ends within its time, however slowly the other side drips; answers are bounded; redirects are not
followed and proxies of the environment not used, so the token goes nowhere else. Every fault is a CommandFailed in
one sentence that never holds the token. Called by the commands that talk to a running sidecar.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from sidecar.cli.failure import CommandFailed

TIMEOUT_S = 10.0
ANSWER_LIMIT_BYTES = 64 << 20

_TOKEN = re.compile(r"[\x21-\x7e]+")
_DETAIL_LENGTH = 1_000

Shape = TypeVar("Shape")


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer: the text as it came, and what it means."""

    url: str
    text: str
    document: Any

    def read_as(self, shape: type[Shape]) -> Shape:
        """The document as a typed shape; CommandFailed where it does not fit."""
        try:
            return msgspec.convert(self.document, shape)
        except (msgspec.ValidationError, RecursionError) as fault:
            says = f"{self.url} does not answer as this version of sidecar expects ({fault}); are both of one version?"
            raise CommandFailed(says) from None


class Problem(CommandFailed):
    """The sidecar answered, and the answer is no. `answer` is the problem document if there was one."""

    def __init__(self, says: str, status: int, answer: Answer | None) -> None:
        super().__init__(says)
        self.status = status
        self.answer = answer


class AdminClient:
    """Calls the admin API at one address (`http://`, `https://` or `unix:/path`)."""

    def __init__(self, url: str, token: str | None, timeout_s: float | None = None) -> None:
        self._timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
        if token and not _TOKEN.fullmatch(token):
            raise CommandFailed("the token holds a space or a character that no token has (--token or SIDECAR_TOKEN)")
        self._token = token
        self._unix = url.removeprefix("unix:") if url.startswith("unix:/") else ""
        try:
            parts = urlsplit("http://localhost" if self._unix else url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            parts, self._host, self._port = urlsplit(""), "", None
        if "@" in parts.netloc:
            raise CommandFailed("the address holds a user name; the token goes in --token or SIDECAR_TOKEN")
        if parts.scheme not in ("http", "https") or not self._host or parts.query or not url.isascii():
            raise CommandFailed(f"{url!r} is no address such as http://127.0.0.1:8081 (--url or SIDECAR_URL)")
        self._scheme = parts.scheme
        self._prefix = parts.path.rstrip("/")
        self.url = url.rstrip("/")

    def get(self, path: str, **query: str | int | None) -> Answer:
        """Reads. Values of the query that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def post(self, path: str, body: Mapping[str, object]) -> Answer:
        """Changes. Members of the body that are None are left out."""
        given = {name: value for name, value in body.items() if value is not None}
        return self._call("POST", path, msgspec.json.encode(given))

    def put(self, path: str, body: Mapping[str, object]) -> Answer:
        """Sets."""
        return self._call("PUT", path, msgspec.json.encode(body))

    def delete(self, path: str, body: Mapping[str, object]) -> Answer:
        """Removes."""
        return self._call("DELETE", path, msgspec.json.encode(body))

    def _call(self, method: str, path: str, body: bytes | None) -> Answer:
        connection = self._connection()
        try:
            status, data = self._exchange(connection, method, path, body)
        except TimeoutError:
            says = f"no answer from {self.url} within {self._timeout_s:g} seconds"
            raise CommandFailed(says + _unsure(method, path)) from None
        except ssl.SSLError as fault:
            raise CommandFailed(f"no secure connection to {self.url}: {fault.reason or fault}") from None
        except ConnectionRefusedError:
            raise CommandFailed(self._nobody()) from None
        except (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead):
            says = f"{self.url} ended the connection before its answer was complete; try again"
            raise CommandFailed(says + _unsure(method, path)) from None
        except http.client.HTTPException:
            raise CommandFailed(f"what answers at {self.url} does not speak HTTP; is it the admin address?") from None
        except OSError as fault:
            raise CommandFailed(f"{self._nobody()} ({fault.strerror or fault})") from None
        finally:
            connection.close()
        return self._read(status, data)

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/json, application/problem+json", "Connection": "close"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.connect()
        # A socket's timeout starts anew with every byte; the timer cuts the whole call.
        expired = threading.Event()
        timer = threading.Timer(self._timeout_s, _cut, (connection.sock, expired))
        timer.daemon = True
        timer.start()
        try:
            connection.request(method, self._prefix + path, body, headers)
            response = connection.getresponse()
            data = response.read(ANSWER_LIMIT_BYTES + 1)
            if response.length and len(data) <= ANSWER_LIMIT_BYTES:
                raise http.client.IncompleteRead(data, response.length)  # read(n) does not say so
        except (OSError, http.client.HTTPException) as fault:
            raise TimeoutError if expired.is_set() else fault from None
        finally:
            timer.cancel()
        if expired.is_set():
            raise TimeoutError
        if len(data) > ANSWER_LIMIT_BYTES:
            raise CommandFailed(f"the answer from {self.url} is larger than {ANSWER_LIMIT_BYTES >> 20} MiB")
        return response.status, data

    def _connection(self) -> http.client.HTTPConnection:
        if self._unix:
            return _UnixConnection(self._unix, self._timeout_s)
        kind = http.client.HTTPSConnection if self._scheme == "https" else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout_s)

    def _read(self, status: int, data: bytes) -> Answer:
        try:
            document = msgspec.json.decode(data)
            answer = Answer(self.url, data.decode(), document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answer = None
        if 200 <= status < 300:
            if answer is None:
                says = f"what answers at {self.url} is no sidecar: its answer is not JSON; is it the admin address?"
                raise CommandFailed(says)
            return answer
        raise Problem(self._refusal(status, answer), status, answer)

    def _refusal(self, status: int, answer: Answer | None) -> str:
        detail = _detail(answer.document) if answer is not None else ""
        if status in (401, 403):
            return f"{detail or 'the sidecar does not accept this token'} (--token or SIDECAR_TOKEN)"
        if 300 <= status < 400:
            return f"{self.url} points to another address, which is not followed; give that one (--url or SIDECAR_URL)"
        return detail or f"{self.url} answered {status} and did not say why; is it the sidecar's admin address?"

    def _nobody(self) -> str:
        return f"no sidecar answers at {self.url}; is it running? (--url or SIDECAR_URL)"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, for an admin listener that is one."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _detail(document: Any) -> str:
    """The sentence of a problem document, on one line."""
    for key in ("detail", "error", "title"):
        said = document.get(key) if isinstance(document, dict) else None
        if isinstance(said, str) and said.strip():
            return " ".join(said.split())[:_DETAIL_LENGTH]
    return ""


def _unsure(method: str, path: str) -> str:
    """Where to look whether a change was made, when its answer did not come. Outcomes may simply be posted again."""
    return "; `sidecar audit` shows whether it was done" if method != "GET" and "/deployments/" in path else ""


def _cut(sock: socket.socket, expired: threading.Event) -> None:
    expired.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")
