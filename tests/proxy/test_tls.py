"""Callers over TLS: what is negotiated, who is served, and how the others end."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.proxy.messages import read_message
from tests.proxy.scripted import INFER, World, post, until
from tests.proxy.tls_ground import CA, STRANGER, Files, ask_over, client, command, front


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, "front").show(CA.issue_cert("127.0.0.1", "localhost")).trust(CA)


async def test_callers_that_come_and_go_leave_no_line_in_the_log(
    world: World, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with front(world, files.certificate()) as here:
        assert (await here.ask(client())).status == 200
        await until(lambda: not world.plane.callers)
    assert [record.message for record in caplog.records] == []


async def test_a_caller_is_answered_over_tls_with_http_1_1_chosen(world: World, files: Files) -> None:
    async with front(world, files.certificate()) as here:
        reader, writer = await here.connect(client(alpn=("h2", "http/1.1")))
        spoken = writer.get_extra_info("ssl_object")
        assert (spoken.selected_alpn_protocol(), spoken.version()) == ("http/1.1", "TLSv1.3")
        assert spoken.compression() is None
        for _ in range(3):
            answer = await ask_over(reader, writer)
            assert (answer.status, answer.one(b"sidecar-version")) == (200, b"3")
        writer.close()


async def test_programs_of_others_are_answered(world: World, files: Files) -> None:
    async with front(world, files.certificate()) as here:
        url = f"https://localhost:{here.port}{INFER}"
        code, said = await command(
            "curl", "-sS", "--http1.1", "--cacert", str(files.ca), "--resolve", f"localhost:{here.port}:127.0.0.1",
            "-d", "{}", "-w", " %{http_code}", url,
        )  # fmt: skip
        assert (code, said) == (0, "ok 200")
        async with httpx.AsyncClient(verify=client()) as session:
            assert (await session.post(url.replace("localhost", "127.0.0.1"), content=b"{}")).status_code == 200


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("-tls1_2",), "Protocol  : TLSv1.2"),
        (("-tls1_3",), "New, TLSv1.3"),
        (("-alpn", "h2,http/1.1"), "ALPN protocol: http/1.1"),
        (("-alpn", "h2"), "No ALPN negotiated"),
    ],
)
async def test_what_is_negotiated(world: World, files: Files, options: tuple[str, ...], expected: str) -> None:
    async with front(world, files.certificate()) as here:
        _, said = await command("openssl", "s_client", "-connect", f"127.0.0.1:{here.port}", *options, given=b"Q\n")
        assert expected in said, said


@pytest.mark.parametrize("old", ["-tls1_1", "-tls1"])
async def test_tls_before_1_2_is_refused(world: World, files: Files, old: str) -> None:
    # The floor of the program's own security, without which it would not even ask.
    options = (old, "-cipher", "ALL:@SECLEVEL=0")
    async with front(world, files.certificate()) as here:
        code, said = await command("openssl", "s_client", "-connect", f"127.0.0.1:{here.port}", *options)
        assert code != 0
        assert "Cipher is (NONE)" in said
        assert dict(here.certificates.failed) == {"UNSUPPORTED_PROTOCOL": 1}


async def test_a_large_body_and_its_answer_pass_whole(world: World, files: Files) -> None:
    async with front(world, files.certificate()) as here:
        reader, writer = await here.connect(client())
        body = bytes(range(256)) * 8000
        writer.write(post(body))
        async with asyncio.timeout(20):
            assert (await read_message(reader, answer=True)).status == 200
        assert world.servers[0].requests[-1].body == body
        writer.close()


async def test_with_an_authority_for_callers_only_its_own_are_served(world: World, files: Files) -> None:
    async with front(world, files.certificate(client_ca=True)) as here:
        assert (await here.ask(client(shown=CA.issue_cert("caller")))).status == 200
        for shown in (None, STRANGER.issue_cert("caller")):
            # TLS 1.3 tells the client after its own side of the handshake has ended.
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await here.ask(client(shown=shown))
        await until(lambda: sum(here.certificates.failed.values()) == 2)
        assert here.world.servers[0].requests[1:] == []


async def test_a_caller_that_does_not_trust_the_certificate_goes_away(
    world: World, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with front(world, files.certificate()) as here:
        with pytest.raises(ssl.SSLCertVerificationError):
            await here.ask(client(STRANGER))
        files.trust(STRANGER)
        for _ in range(3):
            where = f"127.0.0.1:{here.port}"
            await command("openssl", "s_client", "-connect", where, "-verify_return_error", "-CAfile", str(files.ca))
        assert dict(here.certificates.failed) == {"TLSV1_ALERT_UNKNOWN_CA": 3}
        assert (await here.ask(client())).status == 200
    (line,) = [record for record in caplog.records if record.message == "TLS handshakes with callers fail"]
    assert vars(line)["fields"] == {"reason": "tlsv1_alert_unknown_ca", "so_far": 1}


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 300,
        b"\xff" * 20_000,
        b"\x16",
    ],
)
async def test_what_is_not_tls_ends_without_a_traceback(
    world: World, files: Files, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
    async with front(world, files.certificate()) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(sent)
        writer.write_eof()
        said = b""
        async with asyncio.timeout(20):
            try:
                said = await reader.read()
            except ConnectionResetError:
                said = b""
        assert not said.startswith(b"HTTP/")
        writer.close()
        assert (await here.ask(client())).status == 200
    assert faults == []
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_handshake_that_takes_too_long_is_cut(world: World, files: Files) -> None:
    async with front(world, files.certificate(), handshake_s=0.1) as here:
        for begun in (b"", b"\x16\x03\x01"):
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
            writer.write(begun)
            async with asyncio.timeout(20):
                try:
                    assert await reader.read() == b""
                except ConnectionResetError:
                    continue
            writer.close()
