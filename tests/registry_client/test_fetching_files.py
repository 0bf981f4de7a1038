"""Files that come from a registry and go to it: whole or not at all, by their digest, within bounds."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from registry_client.errors import DigestMismatch, InvalidDocument, Refused, RegistryError, Unreachable
from registry_client.fetching import Wanted
from tests.registry_client.fetching_ground import CHUNKED, fetching
from tests.registry_client.scripted_server import Says, one_after_another, says, scripted


def wanted(target: Path, content: bytes = b"", limit_bytes: int = 1_000_000) -> Wanted:
    expected = f"sha256:{sha256(content).hexdigest()}" if content else None
    return Wanted(target, limit_bytes, expected, "the model")


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
    async with scripted(answer) as server, fetching(server.url, timeout_s=0.5 if answer.silent else 30.0) as fetcher:
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
