"""A fetcher before a scripted server, for a test's time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from registry_client.access import Access
from registry_client.fetching import Answer, Fetcher
from tests.registry_client.scripted_server import Script, says

GOOD = says({"fine": True})
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def fetching(base: str, **access: Any) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(base, Access(**({"timeout_s": 10.0} | access)))
    try:
        yield fetcher
    finally:
        await fetcher.close()


async def asked(server: Script, **access: Any) -> Answer:
    async with fetching(server.url, **access) as fetcher:
        return await fetcher.ask("GET", fetcher.below("x"))
