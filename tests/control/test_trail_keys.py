"""The trail on disk against someone who may write every file but holds no key."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from sidecar.control.store import Store, StoreError, verify_state_dir
from sidecar.control.trail import read_head, sign_head, write_head
from sidecar.decide.audit_chain import EMPTY, Deed, Head, seal
from sidecar.decide.signed_head import Keyring
from sidecar.recorded import SignedHead
from tests.control.store_samples import NOW, folder_with, opened, run_sql, step

KEYS = Keyring((("2026", b"a key that nobody guesses"),))
OLDER = Keyring((("2025", b"the key of the year before"),))
BOTH = Keyring((("2026", b"a key that nobody guesses"), ("2025", b"the key of the year before")))
COLUMNS = (
    "seq", "at", "actor", "action", "deployment", "from_version", "to_version", "reason", "evidence", "details", "prev",
    "hash",
)  # fmt: skip


async def signed_folder(folder: Path, transitions: int, keys: Keyring = KEYS) -> Path:
    store = await Store.open(folder, keys=keys)
    for number in range(1, transitions + 1):
        await step(store, number, str(number))
    await store.close()
    return folder


def reseal(folder: Path, *, keep: int | None = None, **edited: str) -> None:
    """What a careful forger does: edits the first entry, seals all of them anew, and writes the head."""
    with closing(sqlite3.connect(folder / "sidecar.db")) as connection:
        rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM audit ORDER BY seq").fetchall()
        connection.execute("DELETE FROM audit")
        head = EMPTY
        for row in rows[:keep]:
            fields = dict(zip(COLUMNS, row, strict=True)) | (edited if head is EMPTY else {})
            deed = Deed(**{name: fields[name] for name in Deed.__struct_fields__})
            entry = seal(head, deed)
            marks = ", ".join("?" * len(COLUMNS))
            connection.execute(f"INSERT INTO audit VALUES ({marks})", msgspec.structs.astuple(entry))
            head = Head(entry.seq, entry.hash)
        connection.commit()
    write_head(folder, SignedHead(seq=head.seq, hash=head.hash, at=NOW))


async def test_a_trail_that_was_sealed_anew_without_the_key_is_found(tmp_path: Path) -> None:
    folder = await signed_folder(tmp_path, 4)
    assert verify_state_dir(folder, KEYS).ok
    reseal(folder, actor="mallory")
    assert verify_state_dir(folder).ok, "without the key nobody could tell"
    assert "is not signed" in str(verify_state_dir(folder, KEYS).fault)


async def test_it_is_found_by_a_running_sidecar_and_after_a_restart_and_never_signed_by_it(tmp_path: Path) -> None:
    folder = await signed_folder(tmp_path, 4)
    reseal(folder, actor="mallory")
    for number in (5, 6):
        store = await Store.open(folder, keys=KEYS)
        await step(store, number, str(number))
        assert "is not signed" in str((await store.verify()).fault)
        await store.close()
    head = read_head(folder)
    assert head is not None
    assert (head.seq, head.mac) == (4, None), "the forged head is kept as evidence"


async def test_an_older_copy_of_everything_put_back_is_found_by_an_exported_head(tmp_path: Path) -> None:
    folder = await signed_folder(tmp_path / "state", 2)
    shutil.copytree(folder, tmp_path / "older")
    store = await Store.open(folder, keys=KEYS)
    await step(store, 3, "3")
    exported = store.signed_head(NOW)
    await store.close()
    assert verify_state_dir(tmp_path / "older", KEYS).ok
    found = verify_state_dir(tmp_path / "older", KEYS, exported)
    assert found.fault == "the newest entries are cut off: the trail ends at entry 2, the exported head is entry 3"


async def test_a_rewritten_trail_is_found_by_an_exported_head_without_any_key(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 4)
    async with opened(folder) as store:
        exported = store.signed_head(NOW)
        await step(store, 5, "5")
        assert (await store.verify(exported)).ok
    assert verify_state_dir(folder, exported=exported).ok, "a trail may grow"
    reseal(folder, reason="nothing happened")
    assert verify_state_dir(folder).ok
    found = verify_state_dir(folder, exported=exported)
    assert found.fault == "entry 4 is not the one that the exported head names: the trail was rewritten"


async def test_a_forged_exported_head_is_found_by_the_key(tmp_path: Path) -> None:
    folder = await signed_folder(tmp_path, 2)
    exported = msgspec.structs.replace(OLDER.sign(Head(1, "sha256:00"), NOW), key="2026")
    assert "was not made with the key 2026" in str(verify_state_dir(folder, KEYS, exported).fault)


async def test_a_new_key_takes_over_at_the_next_start_and_the_old_one_may_go(tmp_path: Path) -> None:
    folder = await signed_folder(tmp_path, 2, OLDER)
    store = await Store.open(folder, keys=BOTH)
    assert (await store.verify()).ok
    await store.close()
    assert verify_state_dir(folder, KEYS).ok


async def test_a_key_that_is_taken_away_from_the_settings_takes_its_signature_along(tmp_path: Path) -> None:
    folder = await signed_folder(tmp_path, 2)
    async with opened(folder) as store:
        await step(store, 3, "3")
        assert (await store.verify()).ok
    assert "is not signed" in str(verify_state_dir(folder, KEYS).fault)


async def test_a_first_key_counts_once_a_person_has_signed_the_head(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 2)
    store = await Store.open(folder, keys=KEYS)
    assert "sidecar audit sign" in str((await store.verify()).fault)
    with pytest.raises(StoreError, match="in use"):
        sign_head(folder, KEYS, NOW)
    await store.close()
    assert sign_head(folder, KEYS, NOW).seq == 2
    store = await Store.open(folder, keys=KEYS)
    await step(store, 3, "3")
    assert (await store.verify()).ok
    await store.close()
    assert verify_state_dir(folder, KEYS).ok


async def test_a_trail_that_does_not_hold_is_not_signed(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 2)
    run_sql(folder, "UPDATE audit SET actor = 'mallory' WHERE seq = 1")
    with pytest.raises(StoreError, match="entry 1 was edited"):
        sign_head(folder, KEYS, NOW)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("seq", [1, 2, 3])
async def test_each_field_of_each_entry_is_covered(tmp_path: Path, seq: int, column: str) -> None:
    folder = await signed_folder(tmp_path, 3)
    value = {"seq": "seq + 10", "at": "at + 0.001"}.get(column, f"coalesce({column}, '') || 'x'")
    run_sql(folder, f"UPDATE audit SET {column} = {value} WHERE seq = {seq}")
    found = verify_state_dir(folder, KEYS)
    assert not found.ok
    assert f"entry {seq} " in str(found.fault) or "entries" in str(found.fault)


async def test_two_entries_that_changed_places_are_found(tmp_path: Path) -> None:
    folder = await signed_folder(tmp_path, 3)
    run_sql(folder, *(f"UPDATE audit SET seq = {to} WHERE seq = {seq}" for seq, to in ((2, 9), (3, 2), (9, 3))))
    assert "entry 2 " in str(verify_state_dir(folder, KEYS).fault)
