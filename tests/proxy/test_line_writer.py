"""Lines written elsewhere: whole, in order, bounded, counted when dropped, and nobody waits, whatever the disk does."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import pytest

from sidecar.proxy.line_writer import BUFFER_BYTES, LINE_BYTES, LineWriter

SOON_S = 20.0


async def until(holds: Callable[[], bool]) -> None:
    """Waits for another thread's doing."""
    async with asyncio.timeout(SOON_S):
        while not holds():
            await asyncio.sleep(0.005)


def lines(count: int, size: int = 100, mark: str = "x") -> list[bytes]:
    return [f"{mark}{number:08}".encode().ljust(size - 1, b".") + b"\n" for number in range(count)]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        with suppress(OSError):  # a test closed it
            os.close(fd)


def read_all(fd: int) -> bytes:
    """Everything up to the pipe's end."""
    got = b""
    while part := os.read(fd, 1 << 20):
        got += part
    return got


async def test_lines_are_appended_whole_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    writer = LineWriter(1)
    writer.to(str(path))
    sent = lines(3000)
    for line in sent:
        writer.put(line)
    await writer.close(SOON_S)

    assert path.read_bytes() == b"before\n" + b"".join(sent)
    assert set(writer.dropped.values()) == {0}


async def test_a_new_file_is_not_for_everybody_to_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    writer = LineWriter(1)
    writer.to(str(path))
    writer.put(b"a line\n")
    await writer.close(SOON_S)

    assert stat.S_IMODE(path.stat().st_mode) & 0o137 == 0


async def test_nothing_runs_before_it_is_wanted() -> None:
    before = threading.active_count()
    writer = LineWriter(1)
    writer.reopen()
    await writer.close(SOON_S)

    assert threading.active_count() == before


async def test_its_thread_ends_with_it(tmp_path: Path) -> None:
    before = threading.active_count()
    writer = LineWriter(1)
    writer.to(str(tmp_path / "access.log"))
    await writer.close(SOON_S)

    assert threading.active_count() == before


async def test_after_a_rotation_lines_go_to_the_new_file(tmp_path: Path) -> None:
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    writer = LineWriter(1)
    writer.to(str(path))
    writer.put(b"old\n")
    await until(lambda: path.exists() and path.read_bytes() == b"old\n")
    path.rename(moved)
    writer.put(b"still old\n")
    await until(lambda: moved.read_bytes() == b"old\nstill old\n")
    writer.reopen()
    writer.put(b"new\n")
    await writer.close(SOON_S)

    assert (moved.read_bytes(), path.read_bytes()) == (b"old\nstill old\n", b"new\n")


async def test_a_rotated_file_is_let_go_though_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    def opened() -> bool:
        with suppress(FileNotFoundError):  # closed between the listing and the look
            return path in [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return True

    writer = LineWriter(1)
    writer.to(str(path))
    writer.put(b"a line\n")
    await until(opened)
    writer.reopen()
    await until(lambda: not opened())
    await writer.close(SOON_S)

    assert path.read_bytes() == b"a line\n"


async def test_another_path_is_followed(tmp_path: Path) -> None:
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    writer = LineWriter(1)
    writer.to(str(first))
    writer.put(b"1\n")
    await until(lambda: first.exists() and first.read_bytes() == b"1\n")
    writer.to(str(second))
    writer.put(b"2\n")
    await writer.close(SOON_S)

    assert (first.read_bytes(), second.read_bytes()) == (b"1\n", b"2\n")


async def test_a_pipe_that_nobody_reads_makes_nobody_wait(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    writer = LineWriter(writing)
    writer.to("")
    sent = lines(20_000, size=100)
    began = perf_counter()
    for line in sent:
        writer.put(line)
    took_s = perf_counter() - began
    dropped = writer.dropped["buffer_full"]

    assert took_s < 10.0
    assert dropped >= len(sent) - BUFFER_BYTES // 100 - 70_000 // 100
    assert os.get_blocking(writing)  # it is shared with others: they count on its flags

    # Once somebody reads, everything that was kept arrives, and lines are taken again.
    closing = asyncio.create_task(writer.close(SOON_S))
    got = b""
    while got.count(b"\n") < len(sent) - dropped:
        got += await asyncio.to_thread(os.read, reading, 1 << 16)
    await closing
    arrived = got.splitlines(keepends=True)
    assert len(arrived) == len(sent) - dropped
    assert arrived == sorted(set(arrived) & set(sent))  # whole ones, each once, in order
    assert writer.dropped == {"buffer_full": dropped, "write_failed": 0, "shutting_down": 0}


async def test_a_stop_waits_no_longer_than_it_may(pipe: tuple[int, int]) -> None:
    _, writing = pipe
    writer = LineWriter(writing)
    writer.to("")
    count = 2000
    for line in lines(count):
        writer.put(line)
    began = perf_counter()
    await writer.close(0.2)

    assert perf_counter() - began < 10.0
    written = (1 << 16) // 100  # what the pipe took
    assert count - written - LINE_BYTES // 100 <= writer.dropped["shutting_down"] <= count
    left = writer.dropped["shutting_down"]
    writer.put(b"too late\n")
    assert writer.dropped["shutting_down"] == left + 1


@pytest.mark.parametrize("to_file", [True, False])
async def test_lines_of_several_writers_never_mix(to_file: bool, tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    path = tmp_path / "access.log"
    writers = [LineWriter(writing) for _ in range(3)]
    sent = [lines(400, size=size, mark=mark) for mark, size in (("a", 90), ("b", 1500), ("c", LINE_BYTES))]
    for writer in writers:
        writer.to(str(path) if to_file else "")

    async def speak(writer: LineWriter, own: list[bytes]) -> None:
        for line in own:
            while writer._put_bytes - writer._done_bytes > BUFFER_BYTES // 2:
                await asyncio.sleep(0.001)
            writer.put(line)
            await asyncio.sleep(0)
        await writer.close(SOON_S)

    listening = asyncio.create_task(asyncio.to_thread(read_all, reading))
    await asyncio.gather(*(speak(writer, own) for writer, own in zip(writers, sent, strict=True)))
    os.close(writing)
    got = await listening
    if to_file:
        got = path.read_bytes()

    for mark, own in zip("abc", sent, strict=True):
        assert [line for line in got.splitlines(keepends=True) if line.startswith(mark.encode())] == own


async def test_a_reader_that_went_away_costs_lines_and_nothing_else(
    pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    reading, writing = pipe
    os.close(reading)
    writer = LineWriter(writing)
    writer.to("")
    for _ in range(3):
        writer.put(b"a line\n")
        before = writer.dropped["write_failed"]
        await until(lambda before=before: writer.dropped["write_failed"] > before)  # type: ignore[misc]
    await writer.close(SOON_S)

    assert writer.dropped["write_failed"] == 3
    assert [record.getMessage() for record in caplog.records] == ["the access log cannot be written"]


async def test_a_full_disk_costs_lines_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    writer = LineWriter(1)
    writer.to("/dev/full")
    for line in lines(50):
        writer.put(line)
    await writer.close(SOON_S)

    assert writer.dropped["write_failed"] == 50
    assert caplog.records[0].__dict__["fields"] == {"path": "/dev/full", "says": "No space left on device"}


async def test_a_folder_that_comes_late_is_found(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.log"
    writer = LineWriter(1)
    writer.to(str(path))
    writer.put(b"lost\n")
    await until(lambda: writer.dropped["write_failed"] == 1)
    path.parent.mkdir()
    writer.put(b"found\n")
    await writer.close(SOON_S)

    assert path.read_bytes() == b"found\n"


async def test_a_named_pipe_without_a_reader_holds_nobody(tmp_path: Path) -> None:
    path = tmp_path / "named"
    os.mkfifo(path)
    writer = LineWriter(1)
    writer.to(str(path))
    writer.put(b"lost\n")
    await until(lambda: writer.dropped["write_failed"] == 1)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        writer.put(b"heard\n")
        await writer.close(SOON_S)
        assert os.read(reading, 100) == b"heard\n"
    finally:
        os.close(reading)


async def test_a_named_pipe_that_is_full_does_not_stop_another_path(tmp_path: Path) -> None:
    named, path = tmp_path / "named", tmp_path / "access.log"
    os.mkfifo(named)
    reading = os.open(named, os.O_RDONLY | os.O_NONBLOCK)
    try:
        writer = LineWriter(1)
        writer.to(str(named))
        for line in lines(2000):
            writer.put(line)
        await until(lambda: writer._done_bytes > 50_000)
        writer.to(str(path))
        writer.put(b"at last\n")
        await until(lambda: path.exists() and path.read_bytes().endswith(b"at last\n"))
        await writer.close(SOON_S)
    finally:
        os.close(reading)


async def test_a_line_that_was_cut_short_ends_before_the_next_begins(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = 200_050  # in the middle of a line
    sent = lines(2100)
    writer = LineWriter(1)
    writer.to(str(path))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        for line in sent:
            writer.put(line)
        await until(lambda: writer.dropped["write_failed"] > 0 and not writer._in_hand and not writer._lines)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.put(b"whole\n")
    await writer.close(SOON_S)

    got = path.read_bytes().splitlines(keepends=True)
    assert got[:2000] == sent[:2000]
    assert got[2000:] == [sent[2000][:50] + b"\n", b"whole\n"]
    assert writer.dropped["write_failed"] == 100
