from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trustme
from aiohttp import web

from sidecar.control import probe as probing
from sidecar.control.probe import probe
from sidecar.decide.routing_table import Trust
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


async def test_over_tls_the_server_is_verified_as_the_workers_do_it(server: Server, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    shown, expected = authority.issue_cert("four.internal"), tmp_path / "client.pem"
    authority.issue_cert("sidecar.internal").private_key_and_cert_chain_pem.write_to_path(expected)
    for name, issuer in (("ca", authority), ("other", stranger)):
        issuer.cert_pem.write_to_path(tmp_path / f"{name}.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    site = web.TCPSite(server[0], "127.0.0.1", 0, ssl_context=context)
    await site.start()
    target = Target(f"https://127.0.0.1:{server[0].addresses[0][1]}")
    good = Trust(str(tmp_path / "ca.pem"), str(expected), str(expected), "four.internal")
    assert await probe(target, good) is None
    for wrong in (
        msgspec.structs.replace(good, server_name=""),
        msgspec.structs.replace(good, server_name="five.internal"),
        msgspec.structs.replace(good, ca_file=str(tmp_path / "other.pem")),
        msgspec.structs.replace(good, ca_file=""),
        msgspec.structs.replace(good, cert_file="", key_file=""),
    ):
        assert str(await probe(target, wrong)).startswith("it cannot be reached")
    gone = msgspec.structs.replace(good, ca_file=str(tmp_path / "gone.pem"))
    assert str(await probe(target, gone)).startswith("its certificates cannot be used")
