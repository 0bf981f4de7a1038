from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from sidecar.control import stored_state
from sidecar.control.store import StoreError, verify_state_dir
from sidecar.control.trail import check_trail, read_head, write_head
from sidecar.decide.audit_chain import EMPTY, Head, seal
from sidecar.recorded import SignedHead
from tests.control.store_samples import deed, folder_with, opened, run_sql, state, step
from tests.decide.decide_samples import CANARY


async def test_a_folder_is_verified_with_and_without_a_running_sidecar(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 4)
    before = sorted(path.name for path in folder.iterdir())
    assert verify_state_dir(folder).entries == 4
    assert sorted(path.name for path in folder.iterdir()) == before
    async with opened(folder) as store:
        await step(store, 5, "5")
        found = await asyncio.to_thread(verify_state_dir, folder)
        assert (found.ok, found.entries) == (True, 5)
        assert found == await store.verify()


async def test_verifying_beside_a_busy_sidecar_never_raises_a_false_alarm(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await step(store, 1, "1")

        async def work() -> None:
            for number in range(2, 30):
                await step(store, number, str(number))

        working = asyncio.create_task(work())
        looks = 0
        while not working.done():
            found = await asyncio.to_thread(verify_state_dir, tmp_path)
            assert found.ok, found
            looks += 1
        await working
        assert looks > 1


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE audit SET actor = 'bob' WHERE seq = 1", "entry 1 was edited"),
        ("DELETE FROM audit WHERE seq = 2", "entry 2 is missing"),
        ("DELETE FROM audit WHERE seq = 4", "cut off"),
        ("DELETE FROM state", "nothing is stored"),
    ],
)
async def test_tampering_is_found_offline(tmp_path: Path, statement: str, says: str) -> None:
    folder = await folder_with(tmp_path, 4)
    run_sql(folder, statement)
    found = verify_state_dir(folder)
    assert not found.ok
    assert says in str(found.fault)


async def test_a_head_rolled_back_with_the_newest_entries_is_found_by_the_stored_champion(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 4)
    async with opened(folder) as store:
        third = (await store.audit_entries(2, 1))[0]
    run_sql(folder, "DELETE FROM audit WHERE seq = 4")
    write_head(folder, SignedHead(seq=third.seq, hash=third.hash))
    assert "champion 4 in generation 4, the trail has 3 in generation 3" in str(verify_state_dir(folder).fault)


def test_a_folder_without_a_trail_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StoreError, match="is no state folder"):
            verify_state_dir(folder)


async def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 1)
    (folder / "sidecar.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        verify_state_dir(folder)


def test_the_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_head(tmp_path) is None
    for head in (SignedHead(seq=0, hash=EMPTY.hash), SignedHead(seq=3, hash="sha256:ab", at=1.5, key="a", mac="b")):
        write_head(tmp_path, head)
        assert read_head(tmp_path) == head
    assert [path.name for path in tmp_path.iterdir()] == ["audit-head.json"]


def test_acknowledgements_are_no_transitions() -> None:
    first = seal(EMPTY, deed("1", action="start"))
    second = seal(Head(1, first.hash), deed(None, action="acknowledge"))
    assert check_trail([first, second], [state(1, "1")], {}, SignedHead(seq=2, hash=second.hash), 0).ok


async def test_a_stored_canary_is_held_against_the_trail(tmp_path: Path) -> None:
    """A share of the requests that nobody has decided on, or one that was made to vanish, is found."""
    stood = msgspec.structs.replace(state(1, "3"), canary=None)
    asked = msgspec.structs.replace(stood, canary=msgspec.structs.replace(CANARY, step=1))
    begun = msgspec.structs.replace(stood, canary=CANARY)
    told = ('{"canary":{"step":1}}', '{"canary":{"step":2}}')
    async with opened(tmp_path) as store:
        await store.transition(stood, expected_generation=0, deed=deed("3", action="start"))
        await store.transition(begun, expected_generation=1, deed=deed("4", action="canary_start", details=told[0]))
        await store.transition(asked, expected_generation=1, deed=deed("4", action="canary_step", details=told[1]))
    assert verify_state_dir(tmp_path).ok
    for other in (stood, begun):
        row = stored_state.to_row(other)
        run_sql(tmp_path, f"UPDATE state SET document = '{row['document']}', digest = '{row['digest']}'")
        assert "the trail has version 4 as canary at step 2" in str(verify_state_dir(tmp_path).fault)
    async with opened(tmp_path) as store:
        stop = deed("3", action="canary_stop", from_version="4")
        await store.transition(stood, expected_generation=1, deed=stop)
    assert verify_state_dir(tmp_path).ok
