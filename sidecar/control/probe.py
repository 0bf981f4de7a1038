"""Does a version answer at all? Asked before traffic is pointed at it."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import aiohttp

from sidecar.address import parse_url
from sidecar.decide.routing_table import Trust
from sidecar.errors import Refused
from sidecar.standing import Target

_PROBE_S = 3.0
_HEALTH = "/v2/health/ready"


async def probe(target: Target, trust: Trust | None = None) -> str | None:
    """None if the model server answers HTTP, else a sentence. Any status below 500 counts: not all know this path.

    With `trust` TLS is spoken and verified as the workers do it.
    """
    address = parse_url(target.url)
    try:
        context = None if trust is None else _context(trust)
    except OSError as error:  # ssl.SSLError is one
        return f"its certificates cannot be used: {error.strerror or type(error).__name__}"
    connector = aiohttp.UnixConnector(address.unix) if address.unix else aiohttp.TCPConnector()
    url = f"{'https' if address.tls else 'http'}://{'localhost' if address.unix else address}{_HEALTH}"
    server_name = trust.server_name if trust is not None and trust.server_name else None
    timeout = aiohttp.ClientTimeout(total=_PROBE_S)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url, allow_redirects=False, ssl=context or True, server_hostname=server_name) as answer,
        ):
            return f"it answers {answer.status}" if answer.status >= 500 else None
    except TimeoutError:
        return f"no answer within {_PROBE_S:.0f} s"
    except (aiohttp.ClientError, OSError) as error:
        return f"it cannot be reached: {type(error).__name__}"


def _context(trust: Trust) -> ssl.SSLContext:
    """Verifies the server by its name; raises OSError for files that cannot be used."""
    context = ssl.create_default_context(cafile=trust.ca_file or None)
    if trust.cert_file:
        context.load_cert_chain(trust.cert_file, trust.key_file)
    return context


async def probed(
    probe: Callable[[Target], Awaitable[str | None]], target: Target, version: str, *, force: bool
) -> None:
    """Refused where the target does not answer, unless the call is forced."""
    if force:
        return
    says = await probe(target)
    if says is not None:
        raise Refused(
            f"version {version} at {target.url} does not answer ({says}): start it and repeat, or force the call"
        )
