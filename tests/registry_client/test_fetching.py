"""Asking a registry: answers, refusals, time limits and second attempts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import zlib
from typing import Any

import pytest
from aiohttp.resolver import ThreadedResolver

from registry_client import fetching as module
from registry_client.errors import InvalidDocument, RegistryError, Unreachable
from registry_client.fetching import DOCUMENT_BYTES, Answer
from tests.registry_client.fetching_ground import CHUNKED, GOOD, asked, fetching
from tests.registry_client.scripted_server import Says, one_after_another, says, scripted


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
    assert asyncio.get_running_loop().time() - started < 20


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


async def test_no_second_attempt_begins_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 60.0)
    async with scripted(says(b"", 503)) as server:
        assert (await asked(server, timeout_s=30.0)).status == 503
        assert len(server.asked) == 1
