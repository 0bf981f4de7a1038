"""The provider's keys come over a real connection; what goes wrong there leaves the keys that are known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from sidecar.app import identity_keys
from sidecar.app.identity_keys import identity_of
from sidecar.config_admin import Oidc
from tests.admin.test_identity import KEYS, SETTINGS, STRANGER, key_set, public, token


class Provider:
    """Answers with `keys`, or with `status`; counts."""

    def __init__(self) -> None:
        self.keys, self.status, self.asked = KEYS, 200, 0
        self.location: str | None = None

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        headers = {} if self.location is None else {"Location": self.location}
        return web.Response(status=self.status, body=self.keys, headers=headers)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def settings(provider: Provider, aiohttp_server: Any, monkeypatch: pytest.MonkeyPatch) -> Oidc:
    monkeypatch.setattr(identity_keys, "_AGAIN_S", 0.05)
    monkeypatch.setattr(identity_keys, "REFRESH_S", 0.1)
    app = web.Application()
    app.router.add_get("/keys", provider.answer)
    app.router.add_get("/elsewhere", provider.answer)
    server = await aiohttp_server(app)
    return SETTINGS.model_copy(update={"keys_url": f"http://127.0.0.1:{server.port}/keys"})


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def asked_again(provider: Provider, times: int = 2) -> None:
    goal = provider.asked + times
    async with asyncio.timeout(30):
        while provider.asked < goal:
            await asyncio.sleep(0.005)


async def test_without_settings_there_is_nobody(opened: AsyncExitStack) -> None:
    assert await identity_of(None, opened) is None


async def test_keys_are_fetched_and_fetched_again(provider: Provider, settings: Oidc, opened: AsyncExitStack) -> None:
    identity = await identity_of(settings, opened)
    assert identity is not None
    await asked_again(provider)
    assert identity.caller(token())

    provider.keys = key_set(public(STRANGER, "new", "RS256"))
    await asked_again(provider)
    assert identity.caller(token()) is None
    assert identity.caller(token(STRANGER, kid="new"))


@pytest.mark.parametrize(
    ("status", "keys"), [(500, KEYS), (404, b""), (200, b"{}"), (200, b" " * 300_000 + KEYS), (302, KEYS)]
)
async def test_what_goes_wrong_leaves_the_keys_that_are_known(
    provider: Provider, settings: Oidc, opened: AsyncExitStack, status: int, keys: bytes
) -> None:
    identity = await identity_of(settings, opened)
    assert identity is not None
    await asked_again(provider)

    provider.status, provider.keys = status, keys
    await asked_again(provider)

    assert identity.caller(token())


async def test_a_redirect_is_not_followed(provider: Provider, settings: Oidc, opened: AsyncExitStack) -> None:
    provider.status, provider.location = 302, "/elsewhere"
    identity = await identity_of(settings, opened)
    assert identity is not None
    await asked_again(provider)

    assert identity.caller(token()) is None


async def test_an_unknown_key_is_asked_for_before_its_time_but_not_at_once_again(
    provider: Provider, settings: Oidc, opened: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_keys, "REFRESH_S", 3_600.0)
    identity = await identity_of(settings, opened)
    assert identity is not None
    await asked_again(provider, 1)
    began, before = time.monotonic(), provider.asked
    while provider.asked < before + 3:
        assert identity.caller(token(STRANGER, kid="made-up")) is None
        await asyncio.sleep(0.001)

    assert time.monotonic() - began > 2 * 0.05


async def test_a_provider_that_is_away_hinders_nothing(
    settings: Oidc, opened: AsyncExitStack, unused_tcp_port: int
) -> None:
    away = settings.model_copy(update={"keys_url": f"http://127.0.0.1:{unused_tcp_port}/keys"})
    identity = await identity_of(away, opened)

    assert identity is not None
    assert identity.caller(token()) is None
