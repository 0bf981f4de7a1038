"""The keys of an OpenID Connect provider, fetched at the start, every few minutes, and when a token names another.

Keeps: one address, no redirect, bounded in time and bytes; a failure leaves the keys that are there; a token with a
made-up key makes nobody fetch more often than every half minute. Does not: verify (`admin.identity` does).
Called by control's composition root.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from sidecar.app.ending import ended
from sidecar.config_admin import Oidc

if TYPE_CHECKING:
    from sidecar.admin.identity import Identity

log = logging.getLogger("sidecar.identity")

REFRESH_S = 300.0
_AGAIN_S = 30.0
_TIMEOUT_S = 10.0
_BYTES = 262_144


async def identity_of(settings: Oidc | None, opened: AsyncExitStack) -> Identity | None:
    """Verifies tokens until `opened` is closed; None where nothing is configured. The provider need not be there."""
    if settings is None:
        return None
    from sidecar.admin.identity import Identity  # noqa: PLC0415  the extra `oidc`

    wanted = asyncio.Event()
    identity = Identity(settings, wanted.set)
    task = asyncio.create_task(_refresh(settings, identity, wanted), name="identity keys")

    async def end() -> None:
        task.cancel()
        await ended((task,))

    opened.push_async_callback(end)
    return identity


async def _refresh(settings: Oidc, identity: Identity, wanted: asyncio.Event) -> None:
    known = False
    while True:
        wanted.clear()
        try:
            number = identity.renew(await _fetched(settings))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            says = str(error) if type(error) is ValueError else type(error).__name__
            log.warning("the identity provider's keys are not to be had", extra={"fields": {"says": says}})
        else:
            if not known:
                log.info("the identity provider's keys are there", extra={"fields": {"keys": number}})
            known = True
        await asyncio.sleep(_AGAIN_S if known else _AGAIN_S / 10)
        if known:
            try:
                await asyncio.wait_for(wanted.wait(), REFRESH_S - _AGAIN_S)
            except TimeoutError:
                continue


async def _fetched(settings: Oidc) -> bytes:
    context = None if settings.ca_file is None else ssl.create_default_context(cafile=settings.ca_file)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(URL(settings.keys_url), allow_redirects=False, ssl=context or True) as answer,
    ):
        if answer.status != 200:
            raise ValueError(f"it answered {answer.status}")
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > _BYTES:
                raise ValueError("its answer is too long")
        return bytes(body)
