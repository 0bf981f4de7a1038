from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import zlib
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp.resolver import ThreadedResolver

from registry_client.access import Access
from registry_client.errors import DigestMismatch, InvalidDocument, InvalidName, Refused, RegistryError, Unreachable
from registry_client.fetching import DOCUMENT_BYTES, Answer, Fetcher, Wanted
from tests.registry_client.scripted_server import Says, Script, one_after_another, says, scripted

GOOD = says({"fine": True})
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CA = trustme.CA()


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


def wanted(target: Path, content: bytes = b"", limit_bytes: int = 1_000_000) -> Wanted:
    expected = f"sha256:{sha256(content).hexdigest()}" if content else None
    return Wanted(target, limit_bytes, expected, "the model")


# --- asking ------------------------------------------------------------------------------------------------------


async def test_an_answer_is_given_back_whatever_its_status() -> None:
    for status in (200, 201, 400, 404, 409, 418):
        async with scripted(says({"a": 1}, status)) as server:
            assert await asked(server) == Answer(status, "application/json", b'{"a": 1}')


async def test_the_prefix_of_the_address_and_the_query_are_kept() -> None:
    async with scripted(GOOD) as server, fetching(f"{server.url}/pre/fix/") as fetcher:
        await fetcher.ask("GET", fetcher.below("api/x", {"name": "a b&c/é"}))
        assert server.asked[0].target == "/pre/fix/api/x?name=a+b%26c%2F%C3%A9"
        assert server.asked[0].query == {"name": "a b&c/é"}


async def test_a_document_goes_as_json() -> None:
    async with scripted(GOOD) as server, fetching(server.url) as fetcher:
        await fetcher.ask("POST", fetcher.below("x"), document=b'{"a": 1}')
        assert (server.asked[0].body, server.asked[0].headers["content-type"]) == (b'{"a": 1}', "application/json")


async def test_a_registry_that_is_not_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with fetching(f"http://127.0.0.1:{port}") as fetcher:
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port} cannot be reached"):
            await fetcher.ask("GET", fetcher.below("x"))


async def test_a_name_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(self: ThreadedResolver, host: str, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(ThreadedResolver, "resolve", unknown)
    async with fetching("http://mlflow") as fetcher:
        with pytest.raises(Unreachable, match="http://mlflow cannot be reached: its name is not known"):
            await fetcher.ask("GET", fetcher.below("x"))


@pytest.mark.parametrize(
    "says_what",
    [
        Says(b"", silent=True),
        Says(b"HTTP/1.1 200 OK\r\n", silent=True),
        Says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", silent=True),
        Says(b"HTTP/1.1 200 OK\r\nX: ", again=b"x"),
        Says(CHUNKED, again=b"1\r\n \r\n"),
    ],
    ids=["no answer", "half a head", "half a body", "a head that drips", "a body that drips"],
)
async def test_a_slow_registry_is_given_up_in_time(says_what: Says) -> None:
    started = asyncio.get_running_loop().time()
    async with scripted(says_what) as server:
        with pytest.raises((Unreachable, InvalidDocument)):
            await asked(server, timeout_s=0.3)
    assert asyncio.get_running_loop().time() - started < 3


@pytest.mark.parametrize(
    ("garbage", "kind"),
    [
        (b"", Unreachable),
        (b"\0" * 100, InvalidDocument),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", InvalidDocument),
        (b"HTTP/1.1 999 x\r\n\r\n", Unreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", InvalidDocument),
        (b"HTTP/1.1 200 OK\r\n" + b"a" * 100_000, InvalidDocument),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123", Unreachable),
        (CHUNKED + b"zz\r\n\r\n", InvalidDocument),
        (CHUNKED + b"5\r\n12", Unreachable),
    ],
)
async def test_garbage_is_told_in_a_sentence(garbage: bytes, kind: type[RegistryError]) -> None:
    async with scripted(Says(garbage)) as server:
        with pytest.raises(RegistryError) as caught:
            await asked(server)
    assert isinstance(caught.value, kind), caught.value
    assert str(caught.value).startswith("http://127.0.0.1:")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "huge",
    [
        Says(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n{", silent=True),
        Says(CHUNKED, again=b"40000\r\n" + b" " * 0x40000 + b"\r\n"),
        says(b" " * (DOCUMENT_BYTES + 1)),
        says(b" " * (DOCUMENT_BYTES + 1), 500),
    ],
    ids=["announced", "endless", "one too many", "a fault"],
)
async def test_a_huge_answer_is_not_read(huge: Says) -> None:
    async with scripted(huge) as server:
        with pytest.raises(InvalidDocument, match=f"larger than {DOCUMENT_BYTES}"):
            await asked(server, timeout_s=30.0)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
async def test_a_compressed_answer_is_not_unpacked(encoding: str) -> None:
    bomb = zlib.compress(b" " * 10_000_000, 9)
    async with scripted(says(bomb, Content_Encoding=encoding)) as server:
        with pytest.raises(InvalidDocument, match="compresses"):
            await asked(server)
        assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_busy_registry_is_asked_again(status: int) -> None:
    async with scripted(one_after_another(says(b"", status), Says(b""), GOOD)) as server:
        assert (await asked(server)).status == 200
        assert len(server.asked) == 3


async def test_a_registry_that_stays_busy_is_given_up() -> None:
    async with scripted(says({"error_code": "INTERNAL_ERROR"}, 503)) as server:
        assert (await asked(server)).status == 503
        assert len(server.asked) == 3


async def test_what_may_not_be_done_twice_is_asked_once() -> None:
    for answer in (says(b"", 503), Says(b"")):
        async with scripted(answer) as server, fetching(server.url) as fetcher:
            with contextlib.suppress(Unreachable):
                assert (await fetcher.ask("POST", fetcher.below("x"), document=b"{}", repeatable=False)).status == 503
            assert len(server.asked) == 1


async def test_no_second_attempt_begins_when_time_is_up() -> None:
    async with scripted(says(b"", 503)) as server:
        assert (await asked(server, timeout_s=0.05)).status == 503
        assert len(server.asked) == 1


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
    def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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


# --- files -------------------------------------------------------------------------------------------------------


async def test_a_file_is_downloaded_with_its_digest(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4_000
    target = tmp_path / "model.onnx"
    async with scripted(says(content)) as server, fetching(server.url) as fetcher:
        answer = await fetcher.download(fetcher.below("x"), wanted(target, content, len(content)))
    assert answer.digest == f"sha256:{sha256(content).hexdigest()}"
    assert target.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says(b"poison"), DigestMismatch),
        (says(b""), DigestMismatch),
        (Says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nright"), Unreachable),
        (Says(CHUNKED + b"5\r\nright\r\n"), Unreachable),
        (Says(CHUNKED + b"5\r\nright\r\n", silent=True), Unreachable),
        (says(b"x" * 101), InvalidDocument),
        (Says(CHUNKED, again=b"10\r\n" + b"x" * 16 + b"\r\n"), InvalidDocument),
        (says(b"right", Content_Encoding="gzip"), InvalidDocument),
        (says(b"", 302, Location="http://127.0.0.1:1/"), Refused),
    ],
    ids=range(9),
)
async def test_a_download_that_fails_leaves_what_was_there(
    tmp_path: Path, answer: Says, kind: type[RegistryError]
) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"before")
    async with scripted(answer) as server, fetching(server.url, timeout_s=0.5) as fetcher:
        with pytest.raises(kind):
            await fetcher.download(fetcher.below("x"), wanted(target, b"right", 100))
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.onnx", b"before")]


async def test_a_download_that_broke_off_begins_again(tmp_path: Path) -> None:
    broken = Says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nri")
    async with scripted(one_after_another(broken, says(b"right"))) as server, fetching(server.url) as fetcher:
        await fetcher.download(fetcher.below("x"), wanted(tmp_path / "model.onnx", b"right"))
    assert (tmp_path / "model.onnx").read_bytes() == b"right"


async def test_any_other_status_writes_nothing(tmp_path: Path) -> None:
    async with scripted(says({"error_code": "NOT_FOUND"}, 404)) as server, fetching(server.url) as fetcher:
        answer = await fetcher.download(fetcher.below("x"), wanted(tmp_path / "model.onnx"))
    assert (answer.status, answer.digest) == (404, None)
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_is_not_there_is_no_fault_of_the_network(tmp_path: Path) -> None:
    async with scripted(says(b"right")) as server, fetching(server.url) as fetcher:
        with pytest.raises(RegistryError, match="cannot be written") as caught:
            await fetcher.download(fetcher.below("x"), wanted(tmp_path / "none" / "model.onnx"))
    assert not isinstance(caught.value, Unreachable)


async def test_a_file_is_uploaded_whole_also_at_the_second_attempt(tmp_path: Path) -> None:
    content = b"weights" * 100_000
    (tmp_path / "model.onnx").write_bytes(content)
    async with scripted(one_after_another(says(b"", 503), says({}))) as server, fetching(server.url) as fetcher:
        assert (await fetcher.upload(fetcher.below("x"), tmp_path / "model.onnx")).status == 200
        assert [one.body == content for one in server.asked] == [True, True]
        assert (await fetcher.upload(fetcher.below("x"), b"bytes")).status == 200
        assert (server.asked[-1].method, server.asked[-1].body) == ("PUT", b"bytes")


async def test_a_file_read_into_memory_has_a_limit_of_its_own() -> None:
    async with scripted(says(b"12345")) as server, fetching(server.url) as fetcher:
        assert (await fetcher.read(fetcher.below("x"), 5)).body == b"12345"
        with pytest.raises(InvalidDocument, match="larger than 4"):
            await fetcher.read(fetcher.below("x"), 4)
