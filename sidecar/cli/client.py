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


@dataclass(frozen=True, slots=True)
class SecureBy:
    """Files in PEM form: whom to believe (otherwise the system's authorities), and what to show."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def context(self) -> ssl.SSLContext:
        """For a connection that verifies chain and name; CommandFailed names the file that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(self.ca_file) if self.ca_file else context.load_default_certs()
        except (OSError, ValueError):
            raise CommandFailed(f"{self.ca_file} holds no certificates in PEM form (--ca or SIDECAR_CA)") from None
        try:
            if self.cert_file:
                # Without a password of ours OpenSSL would ask for one on the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
        except (OSError, ValueError):
            says = f"{self.cert_file} and its key cannot be used: give PEM files that belong together, the key without"
            raise CommandFailed(f"{says} a password (--cert and --key, SIDECAR_CERT and SIDECAR_KEY)") from None
        return context


_BY_THE_SYSTEM = SecureBy()


class Problem(CommandFailed):
    """The sidecar answered, and the answer is no. `answer` is the problem document if there was one."""

    def __init__(self, says: str, status: int, answer: Answer | None) -> None:
        super().__init__(says)
        self.status = status
        self.answer = answer


class AdminClient:
    """Calls the admin API at one address (`http://`, `https://` or `unix:/path`)."""

    def __init__(
        self, url: str, token: str | None, timeout_s: float | None = None, secure_by: SecureBy = _BY_THE_SYSTEM
    ) -> None:
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
        if secure_by.key_file and not secure_by.cert_file:
            raise CommandFailed("a key has no effect without its certificate (--cert or SIDECAR_CERT)")
        if secure_by != _BY_THE_SYSTEM and parts.scheme != "https":
            raise CommandFailed(f"{url} is not called by TLS: write https://, or leave out --ca, --cert and --key")
        self._secure = secure_by.context() if parts.scheme == "https" else None
        self._prefix = parts.path.rstrip("/")
        self.url = url.rstrip("/")

    def get(self, path: str, **query: str | int | None) -> Answer:
        """Reads. Values of the query that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def get_text(self, path: str) -> str:
        """Reads what is no JSON, such as metrics."""
        status, data = self._asked("GET", path, None)
        return data.decode(errors="replace") if 200 <= status < 300 else self._read(status, data).text

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
        return self._read(*self._asked(method, path, body))

    def _asked(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            return self._exchange(connection, method, path, body)
        except TimeoutError:
            says = f"no answer from {self.url} within {self._timeout_s:g} seconds"
            raise CommandFailed(says + _unsure(method, path)) from None
        except ssl.SSLError as fault:
            raise CommandFailed(self._insecure(fault)) from None
        except ConnectionRefusedError:
            raise CommandFailed(self._nobody()) from None
        except (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead):
            says = f"{self.url} ended the connection before its answer was complete; try again"
            # Who does not believe a certificate, or misses one, may have hung up before its reason could be read.
            hint = "" if self._secure is None else ", with a certificate if it asks for one (--cert or SIDECAR_CERT)"
            raise CommandFailed(says + hint + _unsure(method, path)) from None
        except http.client.HTTPException:
            raise CommandFailed(f"what answers at {self.url} does not speak HTTP; is it the admin address?") from None
        except OSError as fault:
            raise CommandFailed(f"{self._nobody()} ({fault.strerror or fault})") from None
        finally:
            connection.close()

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
        if self._secure is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._secure)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)

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

    def _insecure(self, fault: ssl.SSLError) -> str:
        if isinstance(fault, ssl.SSLCertVerificationError):
            return f"{self.url} is not believed: {fault.verify_message.rstrip('.')} (--ca or SIDECAR_CA)"
        if isinstance(fault, ssl.SSLEOFError):
            reason = "it hung up"
        else:
            reason = str(fault.reason or "it does not speak TLS").lower().replace("_", " ")
        # What a caller hears whose certificate was asked for, or is not believed; with TLS 1.3 only when it reads.
        hint = " (--cert or SIDECAR_CERT)" if "alert" in reason or isinstance(fault, ssl.SSLEOFError) else ""
        return f"no secure connection to {self.url}: {reason}{hint}"

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
