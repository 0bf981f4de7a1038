"""The store's audit trail and the head that is kept beside it: crashes are repaired, tampering is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sidecar.control import store as store_module
from sidecar.control.store import Store, StoreError
from sidecar.decide.audit_chain import Head
from sidecar.errors import Unavailable
from tests.control.store_samples import folder_with, opened, run_sql, step


async def test_a_crash_between_commit_and_head_is_repaired_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for generation in (1, 2):
        async with opened(tmp_path) as store:
            with monkeypatch.context() as patched:
                patched.setattr(store_module, "write_head", _interrupt)
                with pytest.raises(KeyboardInterrupt):
                    await step(store, generation, str(generation))
        async with opened(tmp_path) as store:
            entries = await store.audit_entries(0, 10)
            assert len(entries) == generation
            head = msgspec.json.decode((tmp_path / "audit-head.json").read_bytes(), type=Head)
            assert head == Head(generation, entries[-1].hash)
            assert (await store.verify()).ok


def _interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def _no_space(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


async def test_a_head_that_cannot_be_written_stops_the_next_entry_not_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        await step(store, 1, "1")
        with monkeypatch.context() as patched:
            patched.setattr(store_module, "write_head", _no_space)
            await step(store, 2, "2")
            assert (await store.verify()).ok
            with pytest.raises(Unavailable, match="No space left"):
                await step(store, 3, "3")
        await step(store, 3, "3")
        found = await store.verify()
    assert (found.ok, found.entries) == (True, 3)


TAMPERINGS = [
    ("UPDATE audit SET reason = 'nicer' WHERE seq = 2", "entry 2 was edited"),
    ("UPDATE audit SET at = 'soon' WHERE seq = 2", "entry 2 was edited"),
    ("UPDATE audit SET details = x'00ff' WHERE seq = 4", "entry 4 was edited"),
    ("DELETE FROM audit WHERE seq = 3", "entry 3 is missing"),
    ("DELETE FROM audit WHERE seq > 3", "cut off"),
    ("DELETE FROM audit", "cut off"),
    (
        (
            "INSERT INTO audit SELECT 6, at, actor, action, deployment, from_version, to_version, reason, evidence,"
            " details, prev, hash FROM audit WHERE seq = 5"
        ),
        "entry 6 was edited",
    ),
    ("DELETE FROM state", "nothing is stored"),
]


@pytest.mark.parametrize(("statement", "says"), TAMPERINGS)
async def test_tampering_is_told_while_running_and_after_later_transitions(
    tmp_path: Path, statement: str, says: str
) -> None:
    folder = await folder_with(tmp_path, 5)
    async with opened(folder) as store:
        run_sql(folder, statement)
        found = await store.verify()
        assert not found.ok
        assert says in str(found.fault)
        if "state" not in statement:
            await step(store, 6, "6")
            assert not (await store.verify()).ok


@pytest.mark.parametrize(("statement", "says"), TAMPERINGS)
async def test_tampering_while_stopped_does_not_stop_a_start_and_stays_visible(
    tmp_path: Path, statement: str, says: str
) -> None:
    folder = await folder_with(tmp_path, 5)
    head = (folder / "audit-head.json").read_bytes()
    run_sql(folder, statement)
    async with opened(folder) as store:
        assert says in str((await store.verify()).fault)
        if "state" not in statement:
            await step(store, 6, "6")
            assert not (await store.verify()).ok
    async with opened(folder) as store:
        assert not (await store.verify()).ok
    assert (folder / "audit-head.json").read_bytes() == head


async def test_a_lost_head_stays_a_fault(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 5)
    (folder / "audit-head.json").unlink()
    async with opened(folder) as store:
        await step(store, 6, "6")
        assert "copy of the head is missing" in str((await store.verify()).fault)


async def test_a_head_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 2)
    (folder / "audit-head.json").write_bytes(b"\xff{")
    with pytest.raises(StoreError, match=r"audit-head\.json cannot be read"):
        await Store.open(folder)


async def test_an_entry_made_unreadable_is_named_where_entries_are_told(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 2)
    run_sql(folder, "UPDATE audit SET at = 'soon' WHERE seq = 2")
    async with opened(folder) as store:
        with pytest.raises(StoreError, match="audit verify"):
            await store.audit_entries(0, 10)
