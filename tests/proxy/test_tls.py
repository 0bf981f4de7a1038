from __future__ import annotations

import asyncio
import logging
import os
import shutil
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest
import trustme

from sidecar.decide.routing_table import Certificate, Destination, RoutingTable, Trust
from sidecar.proxy.listener import Caller
from sidecar.proxy.tls import Certificates, Trusts, Unusable
from tests.proxy.scripted import INFER, Message, ModelServer, World, post, read_message, shadow_of, table, until

CA = trustme.CA()
STRANGER = trustme.CA()
# From a time when nobody looked: OpenSSL needs the day that a certificate ended to lie after the day that it began.
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Files:
    """A certificate, its key and an authority, as files that a test replaces."""

    def __init__(self, folder: Path, name: str) -> None:
        self.cert, self.key, self.ca = (folder / f"{name}.{kind}" for kind in ("crt", "key", "ca"))

    def show(self, issued: trustme.LeafCert) -> Files:
        put(self.cert, issued.cert_chain_pems[0].bytes())
        put(self.key, issued.private_key_pem.bytes())
        return self

    def trust(self, authority: trustme.CA) -> Files:
        put(self.ca, authority.cert_pem.bytes())
        return self

    def certificate(self, *, client_ca: bool = False) -> Certificate:
        return Certificate(str(self.cert), str(self.key), str(self.ca) if client_ca else "")


def put(file: Path, content: bytes) -> None:
    """As those who renew certificates do it: a file beside, then in its place."""
    beside = file.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(file)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, "front").show(CA.issue_cert("127.0.0.1", "localhost")).trust(CA)


def client(
    authority: trustme.CA = CA, shown: trustme.LeafCert | None = None, alpn: tuple[str, ...] = ()
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class Front:
    """A plane behind TLS."""

    def __init__(self, world: World, certificates: Certificates, port: int) -> None:
        self.world = world
        self.certificates = certificates
        self.port = port

    async def connect(self, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="localhost")

    async def ask(self, context: ssl.SSLContext) -> Message:
        reader, writer = await self.connect(context)
        try:
            return await ask_over(reader, writer)
        finally:
            writer.close()

    async def shown(self) -> int:
        """The serial number of the certificate that a new connection sees."""
        _, writer = await self.connect(client())
        try:
            return serial(writer)
        finally:
            writer.close()


async def ask_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Message:
    writer.write(post())
    async with asyncio.timeout(5):
        return await read_message(reader, answer=True)


def serial(writer: asyncio.StreamWriter) -> int:
    return int(cast("dict[str, Any]", writer.get_extra_info("peercert"))["serialNumber"], 16)


def serial_of(issued: trustme.LeafCert) -> int:
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number


@asynccontextmanager
async def front(world: World, certificate: Certificate, handshake_s: float = 5.0) -> AsyncIterator[Front]:
    await world.stand()
    certificates = Certificates(certificate)
    server = await asyncio.get_running_loop().create_server(
        cast("Callable[[], asyncio.Protocol]", lambda: Caller(world.plane)),
        "127.0.0.1",
        0,
        ssl=certificates,
        ssl_handshake_timeout=handshake_s,
        ssl_shutdown_timeout=1.0,
    )
    try:
        yield Front(world, certificates, server.sockets[0].getsockname()[1])
    finally:
        server.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "sidecar.proxy.tls"]


async def test_callers_that_come_and_go_leave_no_line_in_the_log(
    world: World, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with front(world, files.certificate()) as here:
        assert (await here.ask(client())).status == 200
        await until(lambda: not world.plane.callers)
    assert [record.message for record in caplog.records] == []


async def command(*words: str, given: bytes = b"") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"]},
    )
    async with asyncio.timeout(10):
        said, _ = await process.communicate(given or None)
    return process.returncode or 0, said.decode(errors="replace")


# --- callers -----------------------------------------------------------------------------------------------------


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
        async with asyncio.timeout(5):
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
        async with asyncio.timeout(5):
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
            async with asyncio.timeout(5):
                try:
                    assert await reader.read() == b""
                except ConnectionResetError:
                    continue
            writer.close()


# --- files that change -------------------------------------------------------------------------------------------


async def test_a_renewed_certificate_counts_for_new_connections_and_open_ones_live_on(
    world: World, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    renewed = CA.issue_cert("localhost")
    async with front(world, files.certificate()) as here:
        reader, writer = await here.connect(client())
        before = serial(writer)
        files.show(renewed)
        here.certificates.tick()
        here.certificates.tick()
        assert await here.shown() == serial_of(renewed) != before
        assert (await ask_over(reader, writer)).status == 200
        writer.close()
    assert told(caplog) == ["TLS files were reloaded"]


async def test_nothing_is_read_again_while_nothing_changes(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    certificates = Certificates(files.certificate())
    for _ in range(10):
        certificates.tick()
        certificates.look()
        certificates.obey(files.certificate())
    assert caplog.records == []


async def test_a_pair_that_is_being_written_is_left_alone(
    world: World, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    renewed = CA.issue_cert("localhost")
    async with front(world, files.certificate()) as here:
        before = await here.shown()
        put(files.cert, renewed.cert_chain_pems[0].bytes())
        here.certificates.tick()  # the key is still the old one's
        put(files.key, renewed.private_key_pem.bytes())
        here.certificates.tick()
        assert await here.shown() == before
        here.certificates.tick()
        assert await here.shown() == serial_of(renewed)
    assert told(caplog) == []


def folder_for_key(files: Files) -> None:
    files.key.unlink()
    files.key.mkdir()


BROKEN: dict[str, Callable[[Files], None]] = {
    "another key": lambda files: put(files.key, CA.issue_cert("localhost").private_key_pem.bytes()),
    "no certificate": lambda files: put(files.cert, b"-----BEGIN CERTIFICATE-----\n"),
    "empty key": lambda files: put(files.key, b""),
    "binary": lambda files: put(files.cert, b"\x30\x82\x00" * 100),
    "gone": lambda files: files.cert.unlink(),
    "a folder": folder_for_key,
    "no authority": lambda files: put(files.ca, b"nothing"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_files_that_cannot_be_used_change_nothing_and_are_told_once(
    name: str, world: World, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    shown = client(shown=CA.issue_cert("caller"))
    async with front(world, files.certificate(client_ca=True)) as here:
        BROKEN[name](files)
        for _ in range(5):
            here.certificates.tick()
        here.certificates.look()
        assert (await here.ask(shown)).status == 200
        faults = [vars(record)["fields"] for record in caplog.records if record.message == "TLS files cannot be used"]
        assert len(faults) == 1
        assert faults[0]["old_one_stays"] is True
        assert str(files.cert) in faults[0]["files"]
        if name == "a folder":
            shutil.rmtree(files.key)
        renewed = CA.issue_cert("localhost")
        files.show(renewed).trust(CA)
        here.certificates.look()
        reader, writer = await here.connect(shown)
        assert serial(writer) == serial_of(renewed)
        assert (await ask_over(reader, writer)).status == 200
        writer.close()


async def test_a_new_table_may_name_other_files(world: World, files: Files, tmp_path: Path) -> None:
    issued = CA.issue_cert("localhost")
    others = Files(tmp_path, "others").show(issued)
    async with front(world, files.certificate()) as here:
        before = await here.shown()
        here.certificates.obey(Certificate(str(tmp_path / "none.crt"), str(tmp_path / "none.key")))
        assert await here.shown() == before
        here.certificates.obey(others.certificate())
        assert await here.shown() == serial_of(issued)


async def test_callers_may_be_asked_for_a_certificate_from_now_on(world: World, files: Files) -> None:
    async with front(world, files.certificate()) as here:
        assert (await here.ask(client())).status == 200
        here.certificates.obey(files.certificate(client_ca=True))
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await here.ask(client())
        assert (await here.ask(client(shown=CA.issue_cert("caller")))).status == 200


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_used_from_the_beginning_is_one_sentence(name: str, files: Files) -> None:
    BROKEN[name](files)
    with pytest.raises(Unusable) as refused:
        Certificates(files.certificate(client_ca=True))
    assert str(files.cert) in str(refused.value)
    assert "\n" not in str(refused.value)


ON_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
from sidecar.decide.routing_table import Certificate
from sidecar.proxy.tls import Certificates, Unusable
try:
    Certificates(Certificate(sys.argv[2], sys.argv[3]))
except Unusable:
    print("refused")
"""


async def test_a_locked_key_asks_nobody_for_its_password(files: Files) -> None:
    """OpenSSL would ask on the terminal of whoever started the sidecar, and wait."""
    key = str(files.key.with_suffix(".locked"))
    await command("openssl", "pkey", "-aes128", "-passout", "pass:x", "-in", str(files.key), "-out", key)
    assert "ENCRYPTED" in Path(key).read_text(encoding="ascii")
    ours, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ON_A_TERMINAL, str(theirs), str(files.cert), key,
            stdout=asyncio.subprocess.PIPE, pass_fds=(theirs,),
        )  # fmt: skip
        try:
            async with asyncio.timeout(10):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    finally:
        os.close(ours)
        os.close(theirs)
    assert said == b"refused\n"


# --- model servers -----------------------------------------------------------------------------------------------


def model_context(issued: trustme.LeafCert, *, asks: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        CA.configure_trust(context)
    return context


async def secure_model(world: World, context: ssl.SSLContext) -> ModelServer:
    model = ModelServer()
    model._server = await asyncio.start_server(model._serve, "127.0.0.1", 0, ssl=context)
    model.port = model._server.sockets[0].getsockname()[1]
    world.servers.append(model)
    return model


def secured(to: Destination, trust: Trust, host: str = "127.0.0.1") -> Destination:
    return msgspec.structs.replace(to, trust=trust, host=host)


async def serve(world: World, routing: RoutingTable) -> Trusts:
    trusts = Trusts()
    trusts.obey(routing)
    await world.serve(routing)
    world.plane.tls_of = trusts.context
    return trusts


async def status(world: World) -> int:
    caller = await world.caller()
    answer = await caller.ask(post())
    caller.close()
    return answer.status


EXPIRED = CA.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=1))
GOOD = CA.issue_cert("127.0.0.1")
NAMED = CA.issue_cert("model.internal")
TRUSTING = "the authority"


@pytest.mark.parametrize(
    ("issued", "trust", "expected"),
    [
        (GOOD, {"ca_file": TRUSTING}, 200),
        (GOOD, {}, 502),  # the system's authorities do not know it
        (STRANGER.issue_cert("127.0.0.1"), {"ca_file": TRUSTING}, 502),
        (NAMED, {"ca_file": TRUSTING}, 502),
        (NAMED, {"ca_file": TRUSTING, "server_name": "model.internal"}, 200),
        (GOOD, {"ca_file": TRUSTING, "server_name": "model.internal"}, 502),
        (EXPIRED, {"ca_file": TRUSTING}, 502),
        (GOOD, {"ca_file": "none/such"}, 502),
    ],
)
async def test_a_champion_is_verified(
    world: World, files: Files, issued: trustme.LeafCert, trust: dict[str, str], expected: int
) -> None:
    trust = {key: value.replace(TRUSTING, str(files.ca)) for key, value in trust.items()}
    model = await secure_model(world, model_context(issued))
    await serve(world, table(secured(model.at("3"), Trust(**trust))))
    assert await status(world) == expected
    assert len(model.requests) == (expected == 200)


async def test_connections_to_a_champion_over_tls_are_kept(world: World, files: Files) -> None:
    model = await secure_model(world, model_context(GOOD))
    await serve(world, table(secured(model.at("3"), Trust(ca_file=str(files.ca)))))
    caller = await world.caller()
    for _ in range(5):
        assert (await caller.ask(post(b"x" * 50_000))).status == 200
    assert (model.connections, len(model.requests)) == (1, 5)


async def test_a_champion_that_asks_gets_the_sidecars_certificate(world: World, files: Files) -> None:
    model = await secure_model(world, model_context(GOOD, asks=True))
    files.show(CA.issue_cert("sidecar"))
    trust = Trust(ca_file=str(files.ca), cert_file=str(files.cert), key_file=str(files.key))
    await serve(world, table(secured(model.at("3"), trust)))
    assert await status(world) == 200


async def test_a_champion_that_asks_refuses_a_sidecar_without_one(world: World, files: Files) -> None:
    model = await secure_model(world, model_context(GOOD, asks=True))
    await serve(world, table(secured(model.at("3"), Trust(ca_file=str(files.ca)))))
    assert await status(world) == 502


async def test_a_model_server_that_speaks_no_tls_is_a_failed_connection(world: World, files: Files) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))

    async def talks_first(connection: Any) -> None:
        connection.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await connection.gone()

    model = await world.model(talks_first)
    await serve(world, table(secured(model.at("3"), Trust(ca_file=str(files.ca)))))
    assert await status(world) == 502
    assert faults == []


async def test_a_challenger_that_cannot_be_trusted_costs_its_copies_and_nothing_else(
    world: World, files: Files
) -> None:
    champion = await world.model()
    challenger = await secure_model(world, model_context(STRANGER.issue_cert("127.0.0.1")))
    to = secured(challenger.at("4"), Trust(ca_file=str(files.ca)))
    await serve(world, table(champion.at("3"), shadow_of(to)))
    assert await status(world) == 200
    await world.quiet()
    assert world.copies[3] == {"connect_error": 1}
    assert challenger.requests == []


async def test_a_renewed_authority_counts_for_new_connections(world: World, files: Files) -> None:
    model = await secure_model(world, model_context(STRANGER.issue_cert("127.0.0.1")))
    routing = table(secured(model.at("3"), Trust(ca_file=str(files.ca))))
    trusts = await serve(world, routing)
    assert await status(world) == 502
    files.trust(STRANGER)
    trusts.tick()
    trusts.tick()
    assert await status(world) == 200


def test_connections_share_a_context_and_a_trust_that_is_named_no_more_is_forgotten(files: Files) -> None:
    trust = Trust(ca_file=str(files.ca))
    here = secured(Destination("3", "127.0.0.1", 1, "", None), trust)
    trusts = Trusts()
    trusts.obey(table(here, shadow_of(here)))
    first = trusts.context(trust)
    assert trusts.context(Trust(ca_file=str(files.ca))) is first
    assert first.verify_mode == ssl.CERT_REQUIRED
    assert first.check_hostname
    trusts.obey(table(msgspec.structs.replace(here, trust=None)))
    assert trusts.context(trust) is not first


def test_no_secret_of_a_connection_is_written_where_the_environment_says(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert Trusts().context(Trust(ca_file=str(files.ca))).keylog_filename is None
    assert Certificates(files.certificate()).keylog_filename is None
