"""How connections to a registry are made, and what their faults are called.

Invariant: an address is judged after a name was resolved and before anything is connected; certificates are always
checked; no proxy, cookie or decompression comes in between. It sends nothing. Called by `fetching` only.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from registry_client.access import Origin, refused_address
from registry_client.errors import InvalidDocument, Refused, RegistryError, Unreachable

_CONNECTIONS = 8
# Below what servers keep (gunicorn 2 s, uvicorn 5 s): what is sent once must not meet a connection that is closing.
_IDLE_S = 1.5


class CheckedResolver(AbstractResolver):
    """The system's resolver; Refused where a name leads to an address that no registry lives at.

    aiohttp connects to the addresses that are returned here and asks no second time.
    """

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of a name, or none: one bad address among good ones is an attack or a mistake."""
        found = await self._system.resolve(host, port, family)
        for entry in found:
            if (why := refused_address(host, entry["host"])) is not None:
                raise Refused(why)
        return found

    async def close(self) -> None:
        """Nothing is held open."""
        await self._system.close()


def opened_session(tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """A session in the running loop, to be closed by whoever asked for it."""
    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(),
        use_dns_cache=False,
        ssl=True if tls is None else tls,
        limit=_CONNECTIONS,
        keepalive_timeout=_IDLE_S,
    )
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": "registry-client"},
        trust_env=False,  # a proxy would resolve names itself, past the checks
    )


def trusted(ca_file: str | Path | None) -> ssl.SSLContext:
    """The system's certificate authorities, or those of a file instead; RegistryError where it cannot be used."""
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:  # ssl.SSLError is one
        said = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else (error.strerror or str(error))
        raise RegistryError(f"the registry's ca_file {ca_file} cannot be used: {said.lower()}") from error


def is_passing(error: Exception) -> bool:
    """Whether another attempt may go better: not with that certificate, that name, or what is no HTTP."""
    return not isinstance(error, aiohttp.ClientSSLError | ssl.SSLError | aiohttp.ClientResponseError | ValueError)


def fault_of(origin: Origin, error: Exception) -> RegistryError:
    """A transport's error as a sentence."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Refused(f"the certificate of {origin} is not trusted: name the authority that signed it (ca_file)")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return Unreachable(f"{origin} does not speak TLS as it should; is the address http:// or https:// ?")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(f"{origin} cannot be reached: its name is not known")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unreachable(f"{origin} cannot be reached: {_reason(error.os_error)}")
    if isinstance(error, aiohttp.ClientResponseError):
        return InvalidDocument(f"{origin} does not answer in HTTP: {one_line(error.message)}")
    return Unreachable(f"{origin} broke off: {_reason(error)}")


def one_line(text: str) -> str:
    """The beginning of what somebody else said, fit to stand in a sentence."""
    plain = "".join(character if character.isprintable() else " " for character in text[:2_000])
    return " ".join(plain.split())[:200]


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(said).lower() or type(error).__name__
