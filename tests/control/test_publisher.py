from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sidecar.config import Settings
from sidecar.control import publisher as publishing
from sidecar.control.carryover import Carryover
from sidecar.control.intake import Intake
from sidecar.control.publisher import Publisher
from sidecar.control.store import Store
from sidecar.control.whole_file import write_whole
from sidecar.decide.routing_table import RoutingTable
from sidecar.errors import Unavailable
from tests.control.live_samples import deployment, state
from tests.control.store_samples import opened

SETTINGS = Settings(deployments=(deployment(),))
STATES = {"fraud": state()}


class Sent(Intake):
    """An intake that notes what it was to send."""

    def __init__(self) -> None:
        super().__init__("/nowhere", lambda _e: None, lambda _c: None, lambda _n: None)
        self.serials: list[int] = []
        self.tables: list[RoutingTable] = []

    def publish(self, table: RoutingTable, encoded: bytes) -> None:
        assert msgspec.msgpack.decode(encoded, type=RoutingTable) == table
        self.serials.append(table.serial)
        self.tables.append(table)


def publisher(store: Store, path: Path, settings: Settings = SETTINGS) -> tuple[Publisher, Sent]:
    sent = Sent()
    return Publisher(path, lambda: settings, store.carryover, sent), sent


def on_disk(path: Path) -> int:
    return msgspec.msgpack.decode(path.read_bytes(), type=RoutingTable).serial


async def test_a_table_is_sent_written_and_settled(tmp_path: Path) -> None:
    path = tmp_path / "table"
    async with opened(tmp_path) as store:
        publishing_to, sent = publisher(store, path)
        await publishing_to.send(STATES)
        assert sent.serials == [1]
        assert not path.exists(), "the workers do not wait for the disk"
        assert await publishing_to.settle()
        assert on_disk(path) == 1
        await publishing_to.send(STATES)
        await publishing_to.settle()
        assert on_disk(path) == 2


def full(calls: int) -> Callable[[Carryover, int], object]:
    """A store that cannot take the first calls."""
    original, left = Carryover.reserve_serials, [calls]

    async def reserve_serials(self: Carryover, count: int) -> int:
        if left[0] > 0:
            left[0] -= 1
            raise Unavailable("the disk is full")
        return await original(self, count)

    return reserve_serials


async def test_a_full_disk_does_not_stop_a_rollback_and_numbers_keep_growing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        publishing_to, sent = publisher(store, tmp_path / "table")
        monkeypatch.setattr(publishing, "SERIALS_AT_ONCE", 2)
        await publishing_to.send(STATES)
        monkeypatch.setattr(Carryover, "reserve_serials", full(3))
        for _ in range(6):
            await publishing_to.send(STATES)
        assert sent.serials == [1, 2, 3, 4, 5, 6, 7]
    async with opened(tmp_path) as store:
        publishing_to, sent = publisher(store, tmp_path / "table")
        await publishing_to.send(STATES)
        assert sent.serials[0] > 7


async def test_the_store_is_asked_for_many_numbers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as store:
        publishing_to, sent = publisher(store, tmp_path / "table")
        await publishing_to.send(STATES)
        with monkeypatch.context() as patched:
            patched.setattr(Carryover, "reserve_serials", full(1))
            for _ in range(publishing.SERIALS_AT_ONCE - 1):
                await publishing_to.send(STATES)
        assert sent.serials == list(range(1, publishing.SERIALS_AT_ONCE + 1))
    async with opened(tmp_path) as store:
        publishing_to, sent = publisher(store, tmp_path / "table")
        await publishing_to.send(STATES)
        assert sent.serials == [publishing.SERIALS_AT_ONCE + 1]


async def test_a_table_that_could_not_be_written_is_written_with_the_next_settling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table"

    def fails(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with opened(tmp_path) as store:
        publishing_to, sent = publisher(store, path)
        await publishing_to.send(STATES)
        with monkeypatch.context() as patched:
            patched.setattr(publishing, "write_whole", fails)
            assert await publishing_to.settle(), "the workers have it all the same"
        assert (sent.serials, path.exists()) == ([1], False)
        await publishing_to.settle()
        assert on_disk(path) == 1


async def test_a_slow_disk_holds_up_no_later_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, writing, go_on = tmp_path / "table", asyncio.Event(), asyncio.Event()
    loop, write = asyncio.get_running_loop(), write_whole

    def slow(to: Path, content: bytes) -> None:
        loop.call_soon_threadsafe(writing.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(5)
        write(to, content)

    monkeypatch.setattr(publishing, "write_whole", slow)
    async with opened(tmp_path) as store:
        publishing_to, sent = publisher(store, path)
        await publishing_to.send(STATES)
        first = asyncio.create_task(publishing_to.settle())
        await writing.wait()
        await publishing_to.send(STATES)
        assert sent.serials == [1, 2]
        second = asyncio.create_task(publishing_to.settle())
        go_on.set()
        assert await first
        assert await second
        assert on_disk(path) == 2, "the newest is what stays"


async def test_a_deployment_without_a_state_is_answered_for_by_nobody_and_the_others_are_routed(tmp_path: Path) -> None:
    settings = Settings(deployments=(deployment(), deployment("fresh")))
    async with opened(tmp_path) as store:
        publishing_to, sent = publisher(store, tmp_path / "table", settings)
        await publishing_to.send(STATES)
    assert [(route.deployment, route.unserved) for route in sent.tables[0].routes] == [
        ("fraud", False),
        ("fresh", True),
    ]


@pytest.mark.parametrize("lost", ["file", "folder", "content", "write"])
async def test_a_table_that_the_disk_lost_is_written_again_so_that_a_worker_can_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    path = tmp_path / "state" / "table"

    def fails(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with opened(tmp_path) as store:
        publishing_to, _ = publisher(store, path)
        await publishing_to.keep()
        assert not path.exists(), "nothing was decided yet"
        await publishing_to.send(STATES)
        await publishing_to.settle()
        if lost == "write":
            await publishing_to.send(STATES)
            with monkeypatch.context() as patched:
                patched.setattr(publishing, "write_whole", fails)
                await publishing_to.settle()
                await publishing_to.keep()
            assert on_disk(path) == 1
        elif lost == "content":
            path.write_bytes(b"damaged")
        else:
            path.unlink()
            if lost == "folder":
                path.parent.rmdir()
        await publishing_to.keep()
        assert on_disk(path) == (2 if lost == "write" else 1)
        written = path.stat().st_ino
        await publishing_to.keep()
        assert path.stat().st_ino == written, "what is right is left alone"
