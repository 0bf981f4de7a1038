from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.control import champion_call
from sidecar.control.champion_call import ask_champion
from sidecar.records import Answer
from sidecar.standing import Target

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _asked(handler: Handler, path: str = "/v2/models/m/infer", own_path: str | None = None) -> Answer | None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        return await ask_champion(Target(f"http://127.0.0.1:{server.port}", own_path), path, b'{"inputs": []}')


async def test_the_answer_comes_back_as_it_was_and_the_request_says_what_it_is() -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        assert await request.read() == b'{"inputs": []}'
        seen.append(request)
        return web.Response(body=b"\x1f\x8b raw", headers={"content-type": "application/json", "x": "y"})

    answer = await _asked(handler)
    assert answer == Answer(200, "application/json", "", b"\x1f\x8b raw")
    (request,) = seen
    assert (request.method, request.path) == ("POST", "/v2/models/m/infer")
    assert request.headers["sidecar-shadow"] == "rescore"
    assert "authorization" not in request.headers


async def test_a_version_with_a_path_of_its_own_is_asked_there() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request.rel_url.raw_path)

    answer = await _asked(handler, own_path="/v2/models/other/infer")
    assert answer is not None
    assert answer.body == b"/v2/models/other/infer"


async def test_an_error_is_an_answer_and_a_redirect_is_not_followed() -> None:
    async def handler(request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    answer = await _asked(handler)
    assert answer is not None
    assert answer.status == 302


async def test_what_never_ends_is_given_up() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    assert await _asked(handler) is None


async def test_a_champion_that_is_not_there_or_does_not_answer_is_none(tmp_path: Path) -> None:
    assert await ask_champion(Target("http://127.0.0.1:1"), "/", b"") is None
    assert await ask_champion(Target(f"unix:{tmp_path / 'nobody'}"), "/", b"") is None


async def test_a_slow_champion_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(champion_call, "DEADLINE_S", 0.05)
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    asyncio.get_running_loop().call_later(0.3, release.set)
    assert await _asked(handler) is None
