"""Does a version answer at all? Asked before traffic is pointed at it."""

from __future__ import annotations

import aiohttp

from sidecar.address import parse_url
from sidecar.standing import Target

_PROBE_S = 3.0
_HEALTH = "/v2/health/ready"


async def probe(target: Target) -> str | None:
    """None if the model server answers HTTP, else a sentence. Any status below 500 counts: not all know this path."""
    address = parse_url(target.url)
    connector = aiohttp.UnixConnector(address.unix) if address.unix else aiohttp.TCPConnector()
    url = f"http://{'localhost' if address.unix else address}{_HEALTH}"
    timeout = aiohttp.ClientTimeout(total=_PROBE_S)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            return f"it answers {answer.status}" if answer.status >= 500 else None
    except TimeoutError:
        return f"no answer within {_PROBE_S:.0f} s"
    except (aiohttp.ClientError, OSError) as error:
        return f"it cannot be reached: {type(error).__name__}"
