"""The admin listener with TLS: real handshakes, by callers that are known, unknown, forged, late or not speaking it."""

from __future__ import annotations

import asyncio
import datetime
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from cryptography.x509.oid import ExtendedKeyUsageOID

from sidecar.admin.api import ACCESS, build_app
from sidecar.admin.auth import auth_token
from sidecar.app.answering import AdminFront, listen
from sidecar.config_admin import Admin, ClientCertificate
from sidecar.decide.routing_table import Certificate
from sidecar.proxy.tls import Certificates
from tests.admin.fake_service import FakeService
from tests.app.issuing import DAY, issue
from tests.proxy.tls_ground import CA, STRANGER, Files, client, serial

ONE = "/v1/deployments/fraud"
SPIFFE = "spiffe://example.com/deployer"
CLIENTS = (
    ClientCertificate(name="deployer", role="operator", uri=SPIFFE),
    ClientCertificate(name="prometheus", role="viewer", common_name="prometheus"),
)
TOKENS = [auth_token("bob", "viewer", "s3cret")]
REFUSED = (ssl.SSLError, ConnectionError, aiohttp.ClientError, asyncio.IncompleteReadError)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, "admin").show(CA.issue_cert("localhost", "127.0.0.1")).trust(CA)


class Here:
    """The listener of a test, and what calls it."""

    def __init__(self, port: int, service: FakeService, app: web.Application, certificates: Certificates) -> None:
        self.port, self.service, self.app, self.certificates = port, service, app, certificates

    async def status(self, context: ssl.SSLContext | None, path: str = ONE, **sent: Any) -> int:
        """What one call on a connection of its own is answered with; without a context by plain HTTP."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            session.request(
                sent.pop("method", "GET"),
                f"{'http' if context is None else 'https'}://localhost:{self.port}{path}",
                ssl=context or False,
                **sent,
            ) as answer,
        ):
            await answer.read()
            return answer.status

    async def shown(self) -> int:
        """The serial number of the certificate that a new connection sees."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=client(), server_hostname="localhost")
        try:
            return serial(writer)
        finally:
            writer.close()


@asynccontextmanager
async def admin(
    files: Files,
    *,
    clients: Sequence[ClientCertificate] = CLIENTS,
    required: bool = False,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[Here]:
    service = FakeService(calm=True)
    certificate = Certificate(str(files.cert), str(files.key), str(files.ca), required)
    certificates = Certificates(certificate)
    options = {} if clock is None else {"clock": clock}
    app = build_app(service, tokens=TOKENS, metrics_text=bytes, metrics_open=False, clients=clients, **options)  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    async with AsyncExitStack() as opened:
        opened.push_async_callback(runner.cleanup)
        listener = socket.create_server(("127.0.0.1", 0))  # closed with the server
        port = listener.getsockname()[1]
        await listen(listener, runner, certificates, opened)
        yield Here(port, service, app, certificates)


def deployer(authority: trustme.CA = CA, **more: Any) -> trustme.LeafCert:
    return issue(authority, SPIFFE, **more)


async def test_who_is_known_by_a_certificate_has_its_role_and_no_more(files: Files) -> None:
    async with admin(files) as here:
        operator = client(shown=deployer())
        viewer = client(shown=issue(CA, common_names=("prometheus",)))
        off = {"method": "POST", "json": {"enabled": False, "reason": "looked at"}}

        assert await here.status(operator) == 200
        assert await here.status(operator, f"{ONE}/shadow", **off) == 200
        assert await here.status(viewer, "/metrics") == 200
        assert await here.status(viewer, f"{ONE}/shadow", **off) == 403
        assert [told["actor"] for name, told in here.service.calls if name == "switch"] == ["deployer"]


async def test_without_a_certificate_one_is_a_stranger_who_may_have_a_token(files: Files) -> None:
    async with admin(files) as here:
        assert await here.status(client()) == 401
        assert await here.status(client(), "/healthz") == 200
        assert await here.status(client(), headers={"Authorization": "Bearer s3cret"}) == 200
        assert await here.status(client(shown=deployer()), headers={"Authorization": "Bearer wrong"}) == 401


STRANGERS: dict[str, Callable[[], trustme.LeafCert]] = {
    "another authority": lambda: deployer(STRANGER),
    "expired": lambda: deployer(begins_in=-2 * DAY, ends_in=-DAY),
    "not yet valid": lambda: deployer(begins_in=DAY, ends_in=2 * DAY),
    "for servers only": lambda: deployer(usage=ExtendedKeyUsageOID.SERVER_AUTH),
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_certificate_that_is_not_to_be_believed_ends_the_connection(name: str, files: Files) -> None:
    async with admin(files) as here:
        with pytest.raises(REFUSED):
            await here.status(client(shown=STRANGERS[name]()), "/healthz")
        assert here.service.calls == []
        assert set(here.certificates.failed) == {"CERTIFICATE_VERIFY_FAILED"}  # more than once: a client tries again


@pytest.mark.parametrize(
    "issued",
    [
        lambda: issue(CA, f"{SPIFFE}/else"),
        lambda: issue(CA, common_names=(SPIFFE,)),
        lambda: issue(CA, common_names=("prometheus", "other")),
        lambda: CA.issue_cert("prometheus.example.com"),
    ],
)
async def test_a_believed_certificate_of_nobody_is_told_so(
    issued: Callable[[], trustme.LeafCert], files: Files
) -> None:
    async with admin(files) as here:
        assert await here.status(client(shown=issued())) == 401
        assert here.app[ACCESS].refused["token"] == 1


async def test_where_a_certificate_is_required_nothing_is_said_without_one(files: Files) -> None:
    async with admin(files, required=True) as here:
        with pytest.raises(REFUSED):
            await here.status(client(), "/healthz", headers={"Authorization": "Bearer s3cret"})
        assert await here.status(client(shown=deployer())) == 200


async def test_plain_http_gets_no_answer_and_does_no_harm(files: Files) -> None:
    async with admin(files) as here:
        with pytest.raises(REFUSED):
            await here.status(None, "/healthz")
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(b"GET /v1/deployments HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            assert b"HTTP" not in await reader.read()
        writer.close()
        assert await here.status(client(shown=deployer())) == 200


async def test_who_never_ends_a_handshake_holds_up_nobody(files: Files) -> None:
    async with admin(files) as here:
        silent = [await asyncio.open_connection("127.0.0.1", here.port) for _ in range(20)]
        assert await here.status(client(shown=deployer())) == 200
        for reader, writer in silent:
            async with asyncio.timeout(30):
                assert await reader.read() == b""
            writer.close()


async def test_another_sites_page_does_nothing_with_a_browsers_certificate(files: Files) -> None:
    async with admin(files) as here:
        for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            answered = await here.status(
                client(shown=deployer()), f"{ONE}/rollback", method="POST", json={"reason": "x"}, headers=header
            )
            assert answered == 403
        assert here.service.calls == []


async def test_who_is_taken_out_of_the_settings_is_refused_on_open_connections_too(files: Files) -> None:
    async with admin(files) as here:
        connector = aiohttp.TCPConnector(ssl=client(shown=deployer()))
        async with aiohttp.ClientSession(f"https://localhost:{here.port}", connector=connector) as session:
            async with session.get(ONE) as answer:
                assert answer.status == 200
            front = AdminFront(here.app[ACCESS], here.certificates)
            front.renew(settings(files, CLIENTS[1:]), TOKENS)
            async with session.get(ONE) as answer:
                assert answer.status == 401
                assert "certificate" in (await answer.json())["detail"]


async def test_a_certificate_that_expires_on_an_open_connection_is_nobodys(files: Files) -> None:
    now = [datetime.datetime.now(datetime.UTC).timestamp()]
    async with admin(files, clock=lambda: now[0]) as here:
        connector = aiohttp.TCPConnector(ssl=client(shown=deployer()))
        async with aiohttp.ClientSession(f"https://localhost:{here.port}", connector=connector) as session:
            async with session.get(ONE) as answer:
                assert answer.status == 200
            now[0] += 200 * 365 * 86_400
            async with session.get(ONE) as answer:
                assert answer.status == 401


def settings(files: Files, clients: Sequence[ClientCertificate]) -> Admin:
    tls = {"cert_file": str(files.cert), "key_file": str(files.key), "client_ca_file": str(files.ca)}
    return Admin.model_validate({"tls": tls, "clients": tuple(clients)})


async def test_renewed_files_count_at_once_and_bad_ones_change_nothing(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with admin(files) as here:
        front, told = AdminFront(here.app[ACCESS], here.certificates), settings(files, CLIENTS)
        before = await here.shown()
        files.show(CA.issue_cert("localhost"))
        front.renew(told, TOKENS)
        renewed = await here.shown()
        assert renewed != before

        files.key.write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
        with caplog.at_level(logging.ERROR):
            front.renew(told, TOKENS)
        assert [record.message for record in caplog.records] == ["TLS files cannot be used"]
        assert await here.shown() == renewed

        files.show(CA.issue_cert("localhost")).trust(STRANGER)
        front.renew(told, TOKENS)
        with pytest.raises(REFUSED):
            await here.status(client(shown=deployer()))
        assert await here.status(client(shown=deployer(STRANGER))) == 200


async def test_changed_files_are_noticed_without_a_signal(files: Files) -> None:
    async with admin(files) as here:
        before = await here.shown()
        files.show(CA.issue_cert("localhost"))
        async with asyncio.timeout(60):
            while await here.shown() == before:
                await asyncio.sleep(0.1)
