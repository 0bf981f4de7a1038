"""Who is asked and what is shown to whom: credentials, hosts, redirects, secrets and certificates."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp.resolver import ThreadedResolver

from registry_client.access import Access
from registry_client.errors import InvalidName, Refused, RegistryError, Unreachable
from registry_client.fetching import Fetcher
from tests.registry_client.fetching_ground import GOOD, asked, fetching
from tests.registry_client.scripted_server import says, scripted

CA = trustme.CA()


# --- who is asked, and what is shown to whom ---------------------------------------------------------------------


async def test_credentials_go_to_the_registry_and_to_nobody_else() -> None:
    async with scripted(GOOD) as server, scripted(GOOD) as other:
        host = f"127.0.0.1:{other.port}"
        async with fetching(server.url, token="t0ken", hosts=(host,)) as fetcher:
            await fetcher.ask("GET", fetcher.below("x"))
            await fetcher.ask("GET", f"http://{host}/x")
        assert server.asked[0].headers["authorization"] == "Bearer t0ken"
        assert "authorization" not in other.asked[0].headers
        assert "cookie" not in other.asked[0].headers


async def test_a_host_that_is_not_named_is_never_asked() -> None:
    async with scripted(GOOD) as server, scripted(GOOD) as other, fetching(server.url) as fetcher:
        for url in (other.url, f"http://localhost:{server.port}", "http://169.254.169.254/latest", "https://evil.org"):
            with pytest.raises(Refused, match="may not be asked"):
                await fetcher.ask("GET", f"{url}/x")
        assert server.asked + other.asked == []


@pytest.mark.parametrize(
    "addresses", [["169.254.169.254"], ["10.0.0.1", "169.254.169.254"], ["0.0.0.0"], ["fe80::1"], ["::ffff:a9fe:a9fe"]]
)
async def test_a_name_that_leads_to_a_clouds_credentials_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    async def poisoned(self: ThreadedResolver, host: str, port: int = 0, *_: Any, **__: Any) -> Any:
        return [{"hostname": host, "host": one, "port": port, "family": 2, "proto": 0, "flags": 0} for one in addresses]

    monkeypatch.setattr(ThreadedResolver, "resolve", poisoned)
    async with fetching("http://mlflow") as fetcher:
        with pytest.raises(Refused, match="mlflow leads to"):
            await fetcher.ask("GET", fetcher.below("x"))


async def test_a_name_is_resolved_once_and_that_address_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[str] = []

    async def counted(self: ThreadedResolver, host: str, port: int = 0, *_: Any, **__: Any) -> Any:
        resolved.append(host)
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr(ThreadedResolver, "resolve", counted)
    async with scripted(GOOD) as server, fetching(f"http://mlflow.example.com:{server.port}") as fetcher:
        await fetcher.ask("GET", fetcher.below("x"))
        assert (resolved, server.asked[0].headers["host"]) == (
            ["mlflow.example.com"],
            f"mlflow.example.com:{server.port}",
        )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    async with scripted(GOOD) as other:
        for location in (f"{other.url}/a?token=secret", "/elsewhere", "file:///etc/passwd", "http://a@b/", ""):
            async with scripted(says(b"", status, Location=location)) as server:
                with pytest.raises(Refused, match="redirects") as caught:
                    await asked(server)
                assert len(server.asked) == 1
                assert "secret" not in str(caught.value)
        assert other.asked == []


@pytest.mark.parametrize(
    ("access", "sentence"),
    [
        ({}, "asks for credentials"),
        ({"token": "t0ken"}, "does not accept the credentials"),
        ({"user": "ann", "password": "hunter2"}, "does not accept the credentials"),
    ],
)
async def test_wrong_credentials_have_their_own_sentence(access: dict[str, str], sentence: str) -> None:
    page = says("<html>t0ken hunter2</html>", 401, "text/html", WWW_Authenticate='Basic realm="mlflow"')
    async with scripted(page) as server:
        with pytest.raises(Refused, match=sentence) as caught:
            await asked(server, **access)
        assert len(server.asked) == 1
    assert "t0ken" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_secrets_that_a_server_repeats_are_blotted_out() -> None:
    async with scripted(says({"message": "no t0ken"}, 400)) as server:
        assert (await asked(server, token="t0ken")).body == b'{"message": "no \xe2\x80\xa6"}'


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(GOOD) as server, scripted(GOOD) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await asked(server)
        assert (len(server.asked), proxy.asked) == (1, [])


@pytest.mark.parametrize("base", ["mlflow", "ftp://host", "http://user:pass@host", "http://host?x=1", ""])
def test_an_address_that_will_not_do_is_told_before_anything_is_asked(base: str) -> None:
    with pytest.raises(InvalidName):
        Fetcher(base, Access())


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    CA.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


async def test_a_certificate_of_the_named_authority_is_trusted(tls: ssl.SSLContext, ca_file: Path) -> None:
    async with scripted(GOOD, tls) as server, fetching(f"https://127.0.0.1:{server.port}", ca_file=ca_file) as fetcher:
        assert (await fetcher.ask("GET", fetcher.below("x"))).status == 200


async def test_any_other_certificate_is_refused_at_once(tls: ssl.SSLContext, ca_file: Path) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("another.example.com").configure_cert(other)
    for context, trusted in ((tls, None), (other, ca_file)):
        async with scripted(GOOD, context) as server:
            async with fetching(f"https://127.0.0.1:{server.port}", ca_file=trusted, token="t0ken") as fetcher:
                with pytest.raises(Refused, match="not trusted"):
                    await fetcher.ask("GET", fetcher.below("x"))
            assert server.asked == []


async def test_tls_where_there_is_none_is_told(ca_file: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)  # else the end may be a reset, which overtakes the answer
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with fetching(f"https://127.0.0.1:{port}", ca_file=ca_file) as fetcher:
            with pytest.raises(Unreachable, match="TLS"):
                await fetcher.ask("GET", fetcher.below("x"))


def test_a_ca_file_that_will_not_do_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name, said in (("none.pem", "no such file"), ("empty.pem", "no certificate")):
        with pytest.raises(RegistryError, match=said):
            Fetcher("https://mlflow", Access(ca_file=tmp_path / name))
