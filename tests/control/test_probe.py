from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from sidecar.control import probe as probing
from sidecar.control.probe import probe
from sidecar.standing import Target


@pytest.fixture
async def server() -> AsyncIterator[tuple[web.AppRunner, list[int]]]:
    status = [200]

    async def answer(_request: web.Request) -> web.StreamResponse:
        if status[0] == 0:
            await asyncio.Event().wait()
        if status[0] == 302:
            raise web.HTTPFound("http://127.0.0.1:1/")
        return web.Response(status=status[0])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    yield runner, status
    await runner.cleanup()


Server = tuple[web.AppRunner, list[int]]


async def url(runner: web.AppRunner) -> str:
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


@pytest.mark.parametrize("status", [200, 302, 400, 404])
async def test_any_answer_below_500_shows_that_it_answers(server: Server, status: int) -> None:
    server[1][0] = status
    assert await probe(Target(await url(server[0]))) is None


async def test_a_server_error_is_said(server: Server) -> None:
    server[1][0] = 503
    assert await probe(Target(await url(server[0]))) == "it answers 503"


async def test_silence_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_PROBE_S", 0.05)
    server[1][0] = 0
    assert str(await probe(Target(await url(server[0])))).startswith("no answer within")


async def test_nobody_there_is_said() -> None:
    assert str(await probe(Target("http://127.0.0.1:1"))).startswith("it cannot be reached")


async def test_what_speaks_no_http_is_said() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        assert str(await probe(Target(f"http://127.0.0.1:{port}"))).startswith("it cannot be reached")


async def test_a_unix_socket_is_asked_too(server: Server, tmp_path: Path) -> None:
    await web.UnixSite(server[0], str(tmp_path / "m.sock")).start()
    assert await probe(Target(f"unix:{tmp_path / 'm.sock'}")) is None
    assert str(await probe(Target(f"unix:{tmp_path / 'none.sock'}"))).startswith("it cannot be reached")
