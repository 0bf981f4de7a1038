"""All HTTP that a registry does, with its limits: nothing else in this package opens a connection.

Invariant: only hosts that `access` allows are asked, each name is resolved once and that very address connected to;
no redirect is followed; credentials go to the registry's own address only; every answer is bounded in bytes and
time, and taken only as it was written (nothing is decompressed); a file appears whole, with the right digest, or not
at all. Every fault is a RegistryError in one sentence without secrets. It knows no registry's documents. Called by
the registries that speak HTTP; used within one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
from yarl import URL

from registry_client.access import Access, Origin, may_be_asked, origin_and_path
from registry_client.confined_files import ASIDE, sync_folder
from registry_client.connecting import fault_of, is_passing, opened_session, trusted
from registry_client.errors import DigestMismatch, InvalidDocument, Refused, RegistryError, Unreachable

__all__ = ["DOCUMENT_BYTES", "Access", "Answer", "Fetcher", "Wanted"]

DOCUMENT_BYTES = 8 * 1024 * 1024
# A download or upload as a whole; between two pieces of it no more than one call's time may pass.
TRANSFER_S = 600.0
_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.1
_PIECE_BYTES = 256 * 1024
_BUSY = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `body` of a document or of a fault, `digest` (`sha256:<hex>`) of what went into a file."""

    status: int
    media_type: str
    body: bytes
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to be written from a 200: at most `limit_bytes`, of digest `expected` unless that is None."""

    target: Path
    limit_bytes: int
    expected: str | None
    subject: str


@dataclass(frozen=True, slots=True)
class _Call:
    """One thing to be asked, as often as it takes. `transfer`: of a file, which may take its time."""

    method: str
    url: str
    content: bytes | Path | None = None
    media_type: str | None = None
    limit_bytes: int = DOCUMENT_BYTES
    wanted: Wanted | None = None
    repeatable: bool = True
    transfer: bool = False


class Fetcher:
    """HTTP to one registry below `base` (`http(s)://host[:port][/prefix]`); RegistryError where that will not do.

    Whatever is asked is asked three times in all where the connection breaks or the server is busy (429, 5xx), as far
    as time allows. The answer is returned whatever its status, but 401 and redirects are Refused. Unreachable,
    Refused, and InvalidDocument for an answer that is too large.
    """

    def __init__(self, base: str, access: Access) -> None:
        self.origin, path = origin_and_path(base)
        self._prefix = path.rstrip("/")
        self._access = access
        self._tls = trusted(access.ca_file) if self.origin.scheme == "https" or access.hosts else None
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the connections; the next call would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def below(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """The address of a path (already quoted, without a leading slash) of this registry."""
        return f"{self.origin}{self._prefix}/{path}" + (f"?{urlencode(query)}" if query else "")

    async def ask(self, method: str, url: str, *, document: bytes | None = None, repeatable: bool = True) -> Answer:
        """One call with JSON or without, answered by a document, within `timeout_s`."""
        media_type = None if document is None else "application/json"
        return await self._tries(_Call(method, url, document, media_type, repeatable=repeatable))

    async def read(self, url: str, limit_bytes: int) -> Answer:
        """A file into memory."""
        return await self._tries(_Call("GET", url, limit_bytes=limit_bytes, transfer=True))

    async def download(self, url: str, wanted: Wanted) -> Answer:
        """A file, from a 200, onto the disk; with any other status nothing is written. DigestMismatch."""
        return await self._tries(_Call("GET", url, wanted=wanted, transfer=True))

    async def upload(self, url: str, content: bytes | Path) -> Answer:
        """PUT of bytes or of a file's bytes."""
        return await self._tries(_Call("PUT", url, content, "application/octet-stream", transfer=True))

    # --- one exchange and its repetitions ----------------------------------------------------------------------

    async def _tries(self, call: _Call) -> Answer:
        asked = self._allowed(call.url)
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + (TRANSFER_S if call.transfer else self._access.timeout_s)
        pause_s = _FIRST_PAUSE_S
        attempts = _ATTEMPTS if call.repeatable else 1
        while True:
            attempts -= 1
            last = not attempts or loop.time() + pause_s >= deadline_s
            try:
                async with asyncio.timeout_at(deadline_s):
                    answer = await self._once(call, asked)
            except TimeoutError as error:  # aiohttp's own are TimeoutErrors, too
                raise Unreachable(f"{asked} did not answer within {self._access.timeout_s:g} seconds") from error
            except (aiohttp.ClientError, OSError) as error:
                if last or not is_passing(error):
                    raise fault_of(asked, error) from error
            else:
                if last or answer.status not in _BUSY:
                    return answer
            await asyncio.sleep(pause_s)
            pause_s *= 3

    async def _once(self, call: _Call, asked: Origin) -> Answer:
        headers = {} if call.media_type is None else {"Content-Type": call.media_type}
        if asked == self.origin and self._access.authorization is not None:
            headers["Authorization"] = self._access.authorization
        between_s = self._access.timeout_s if call.content is None else None
        # Between two pieces, also of a long transfer; the whole has its deadline in `_tries`.
        pieces = aiohttp.ClientTimeout(total=None, sock_connect=self._access.timeout_s, sock_read=between_s)
        async with contextlib.AsyncExitStack() as held:
            body = call.content
            data = held.enter_context(await asyncio.to_thread(body.open, "rb")) if isinstance(body, Path) else body
            asking = self._opened().request(
                call.method,
                URL(call.url, encoded=True),
                data=data,
                headers=headers,
                allow_redirects=False,
                timeout=pieces,
            )
            response = await held.enter_async_context(asking)
            self._check_head(response, asked)
            if response.status == 200 and call.wanted is not None:
                digest = await _written(response, call.wanted)
                return Answer(200, response.content_type, b"", digest)
            whole = bytearray()
            async for piece in _pieces(response, call.limit_bytes, f"an answer of {asked}"):
                whole += piece
            if response.status != 200:  # what is told of it must not tell what the server was sent
                whole[:] = self._access.without_secrets(whole.decode("utf-8", "replace")).encode()
            return Answer(response.status, response.content_type, bytes(whole))

    def _check_head(self, response: aiohttp.ClientResponse, origin: Origin) -> None:
        """Faults that are told by the status line and headers alone, whatever the registry."""
        status = response.status
        if status == 401:
            sent = self._access.authorization is not None and origin == self.origin
            raise Refused(
                f"{origin} does not accept the credentials it was given (401)"
                if sent
                else f"{origin} asks for credentials (401): give a token, or a user and a password"
            )
        if 300 <= status < 400:
            raise Refused(
                f"{origin} redirects {_whereto(response)}({status}): name the final address, none is followed"
            )
        if not 200 <= status < 600:
            raise Unreachable(f"{origin} answers with status {status}")
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise InvalidDocument(f"{origin} compresses its answer though it was asked not to ({encoding[:40]!r})")

    # --- who is asked ------------------------------------------------------------------------------------------

    def allows(self, origin: Origin) -> bool:
        """Whether the registry's address or its further hosts name this server."""
        return may_be_asked(origin, self.origin, self._access.hosts)

    def _allowed(self, url: str) -> Origin:
        origin, _ = origin_and_path(url.partition("?")[0])
        if not self.allows(origin):
            raise Refused(f"{origin} may not be asked: neither the registry's address nor its hosts name it")
        return origin

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = opened_session(self._tls)
        return self._session


async def _written(response: aiohttp.ClientResponse, wanted: Wanted) -> str:
    """Streams into a file beside the target and renames it once length and digest are right."""
    aside = wanted.target.with_name(f"{ASIDE}{uuid4().hex}")
    hashed = sha256()
    try:
        try:
            with await asyncio.to_thread(aside.open, "xb") as file:
                async for piece in _pieces(response, wanted.limit_bytes, wanted.subject):
                    hashed.update(piece)
                    await asyncio.to_thread(file.write, piece)
                await asyncio.to_thread(_synced, file)
            found = f"sha256:{hashed.hexdigest()}"
            if wanted.expected is not None and found != wanted.expected:
                raise DigestMismatch(wanted.subject, expected=wanted.expected, found=found)
            await asyncio.to_thread(aside.replace, wanted.target)
        finally:
            aside.unlink(missing_ok=True)
        await asyncio.to_thread(sync_folder, wanted.target.parent)
    except (TimeoutError, ConnectionError, aiohttp.ClientError):
        raise  # of the network, though they are OSErrors, too
    except OSError as error:
        raise RegistryError(f"{wanted.subject} cannot be written to {wanted.target}: {error.strerror}") from error
    return found


async def _pieces(response: aiohttp.ClientResponse, limit_bytes: int, subject: str) -> AsyncIterator[bytes]:
    """The body as it comes; InvalidDocument where it is announced or turns out to be larger than the limit."""
    announced = response.content_length or 0
    seen = 0
    if announced <= limit_bytes:
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            seen += len(piece)
            if seen > limit_bytes:
                break
            yield piece
    if max(announced, seen) > limit_bytes:
        raise InvalidDocument(f"{subject} is larger than {limit_bytes} bytes")


def _whereto(response: aiohttp.ClientResponse) -> str:
    """The server that a redirect names, without path and query (they may hold tokens), and a space; or nothing."""
    try:
        return f"to {origin_and_path(response.headers.get('Location', '').partition('?')[0])[0]} "
    except RegistryError:
        return ""


def _synced(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
