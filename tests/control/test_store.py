from __future__ import annotations

import asyncio
import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from sidecar.control.store import Delivery, Receipt, Store, StoreError
from sidecar.decide.audit_chain import GENESIS, Deed
from sidecar.errors import Refused, Unavailable
from sidecar.standing import AuditEntry, Transition
from tests.control.store_samples import NOW, deed, folder_with, opened, run_sql, state, step

MOVED = Transition(
    deployment="fraud", from_version="1", to_version="2", generation=2, audit_seq=None, evidence="sha256:e"
)


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    await folder_with(tmp_path / "new" / "folder", 3)
    async with opened(tmp_path / "new" / "folder") as store:
        assert await store.states() == {"fraud": state(3, "3")}
        entries = await store.audit_entries(0, 10)
        assert [(entry.seq, entry.to_version, entry.actor) for entry in entries] == [
            (1, "1", "alice"), (2, "2", "alice"), (3, "3", "alice"),
        ]  # fmt: skip
        assert entries[0].prev == GENESIS
        assert await store.audit_entries(1, 1) == entries[1:2]
        assert await store.transitions_of("fraud") == entries
        assert await store.transitions_of("other") == ()
        assert (await store.verify()).ok


async def test_only_the_owner_may_read_the_folder(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path / "state", 1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "sidecar.db").stat().st_mode) == 0o600


async def test_the_database_syncs_fully_and_logs_ahead(tmp_path: Path) -> None:
    asked = ("journal_mode", "synchronous", "foreign_keys")
    async with opened(tmp_path) as store:
        found = [await store.database.rows(text(f"PRAGMA {name}")) for name in asked]
    assert found == [[("wal",)], [(2,)], [(1,)]]


async def test_a_transition_from_a_stale_generation_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await step(store, 1, "1")
        for expected in (0, 2, 7):
            with pytest.raises(Refused, match="generation 1, not"):
                await store.transition(state(8, "9"), expected_generation=expected, deed=deed("9"))
        assert await store.states() == {"fraud": state(1, "1")}
        assert len(await store.audit_entries(0, 10)) == 1


async def test_of_many_transitions_at_once_exactly_one_wins(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await step(store, 1, "1")
        tries = (store.transition(state(2, str(n)), expected_generation=1, deed=deed(str(n))) for n in range(2, 12))
        results = await asyncio.gather(*tries, return_exceptions=True)
        won = [result for result in results if isinstance(result, AuditEntry)]
        assert len(won) == 1
        assert sum(isinstance(result, Refused) for result in results) == 9
        assert (await store.states())["fraud"].champion == won[0].to_version
        assert (await store.verify()).ok


@pytest.mark.parametrize("point", ["_append", "_keep"])
async def test_a_crash_inside_the_transaction_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    async with opened(tmp_path) as store:
        await step(store, 1, "1")

        def crash(*arguments: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(store, point, crash)
        with pytest.raises(KeyboardInterrupt):
            await step(store, 2, "2", deliveries=[Delivery("a", "b", "{}")], receipt=Receipt("k", "r", MOVED))
    async with opened(tmp_path) as store:
        assert await store.states() == {"fraud": state(1, "1")}
        assert (await store.verify()).entries == 1
        assert await store.receipt("k") is None
        assert await store.database.rows(text("SELECT count(*) FROM outbox")) == [(0,)]


async def test_a_receipt_is_given_again_with_the_number_of_its_entry(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await step(store, 1, "1")
        await step(store, 2, "2", receipt=Receipt("key", "request", MOVED))
        assert await store.receipt("key") == Receipt("key", "request", msgspec.structs.replace(MOVED, audit_seq=2))
        with pytest.raises(Refused, match="Idempotency-Key"):
            await step(store, 3, "3", receipt=Receipt("key", "another", MOVED))
        assert (await store.states())["fraud"].generation == 2
        late = deed("3", at=NOW + 8 * 86_400)
        await store.transition(state(3, "3"), expected_generation=2, deed=late, receipt=Receipt("new", "r", MOVED))
        assert await store.receipt("key") is None
        assert await store.receipt("new") is not None


# --- what the disk may do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pragma", "says"), [("max_page_count = 1", "is full"), ("query_only = 1", "read-only")])
async def test_a_disk_that_takes_nothing_is_said_in_one_sentence(tmp_path: Path, pragma: str, says: str) -> None:
    async with opened(tmp_path) as store:
        await step(store, 1, "1")
        await store.database.change(text(f"PRAGMA {pragma}"))
        with pytest.raises(Unavailable, match=says) as caught:
            await store.transition(
                state(2, "2"), expected_generation=1, deed=deed("2", details=json.dumps("x" * 100_000))
            )
        assert "nothing was changed" in str(caught.value)
    async with opened(tmp_path) as store:
        await step(store, 2, "2")
        assert (await store.verify()).entries == 2


async def test_another_program_that_holds_the_database_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.database.change(text("PRAGMA busy_timeout = 10"))
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c",
            "import sqlite3, sys\n"
            "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()",
            str(tmp_path / "sidecar.db"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdin is not None
        await holder.stdout.readline()
        with pytest.raises(Unavailable, match="held by another program"):
            await step(store, 1, "1")
        holder.stdin.close()
        await holder.wait()
        await step(store, 1, "1")


async def test_a_second_opener_is_refused_with_the_process_of_the_first(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(StoreError, match=f"process id {os.getpid()}"):
            await Store.open(tmp_path)
    async with opened(tmp_path):
        pass


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="state_dir"):
        await Store.open(tmp_path / "file" / "state")
    (tmp_path / "taken" / "sidecar.db").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"sidecar\.db cannot be opened"):
        await Store.open(tmp_path / "taken")


async def test_a_truncated_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 5)
    whole = (folder / "sidecar.db").read_bytes()
    for size in (0, 10, 100, 4_096, 10_000, len(whole) - 4_096):
        (folder / "sidecar.db").write_bytes(whole[:size])
        with pytest.raises(StoreError, match="restore") as caught:
            await Store.open(folder)
        assert str(folder) in str(caught.value)
        if size:
            assert (folder / "sidecar.db").read_bytes() == whole[:size]
    (folder / "sidecar.db").write_bytes(whole)
    async with opened(folder) as store:
        assert (await store.verify()).ok


async def test_a_flipped_byte_never_changes_the_champion_silently(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 5)
    whole = (folder / "sidecar.db").read_bytes()
    rng = random.Random(7)
    document = whole.index(b'{"champion"') if b'{"champion"' in whole else whole.index(b'"champion"')
    places = [*(rng.randrange(len(whole)) for _ in range(40)), *range(document, document + 200, 10)]
    refused: list[str] = []
    for place in places:
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << rng.randrange(8)
        (folder / "sidecar.db").write_bytes(spoiled)
        try:
            async with opened(folder) as store:
                assert (await store.states()).get("fraud", state(5, "5")) == state(5, "5")
        except StoreError as error:
            refused.append(str(error))
    assert len(refused) >= 20
    assert all("sidecar.db" in says for says in refused)


async def test_a_database_that_is_gone_is_not_begun_anew_while_its_head_is_there(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 2)
    (folder / "sidecar.db").unlink()
    with pytest.raises(StoreError, match="names audit entry 2"):
        await Store.open(folder)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE meta SET value = 99 WHERE key = 'schema'", "written by a newer sidecar"),
        ("UPDATE meta SET value = 'x' WHERE key = 'schema'", "not a sidecar's store"),
        ("DELETE FROM meta", "not a sidecar's store"),
        ("DROP TABLE meta", "not a sidecar's store"),
        ("DROP TABLE outbox", "not a sidecar's store"),
        ("UPDATE state SET document = replace(document, '\"5\"', '\"4\"')", "deployment fraud"),
        ("UPDATE state SET document = 'nonsense'", "deployment fraud"),
        ("UPDATE state SET document = x'ff00'", "deployment fraud"),
        ("UPDATE state SET generation = 4", "deployment fraud"),
    ],
)
async def test_a_store_that_cannot_be_understood_is_refused(tmp_path: Path, statement: str, says: str) -> None:
    folder = await folder_with(tmp_path, 5)
    run_sql(folder, statement)
    with pytest.raises(StoreError, match=says):
        await Store.open(folder)


async def test_hostile_texts_are_data_only(tmp_path: Path) -> None:
    hostile: dict[str, Any] = {
        "reason": "'); DROP TABLE audit; --",
        "actor": "\u202e<script>",
        "details": '{"a":"\\u0000"}',
    }
    async with opened(tmp_path) as store:
        told = Deed(**msgspec.structs.asdict(deed("1")) | hostile)
        entry = await store.transition(state(1, "1"), expected_generation=0, deed=told)
        assert (await store.audit_entries(0, 1))[0] == entry
        assert (await store.verify()).ok


async def test_an_entry_without_a_transition_comes_with_what_is_to_be_told_or_not_at_all(tmp_path: Path) -> None:
    told = [Delivery("registry.alias", "fraud", "{}")]
    async with opened(tmp_path) as store:
        await step(store, 1, "1")
        entry = await store.record(deed("1", action="reconcile"), told)
        assert (entry.seq, (await store.verify()).ok) == (2, True)
        assert (await store.states())["fraud"].generation == 1
        await store.database.change(text("PRAGMA query_only = 1"))
        with pytest.raises(Unavailable):
            await store.record(deed("1", action="reconcile"), told)
    async with opened(tmp_path) as store:
        assert await store.database.rows(text("SELECT count(*) FROM outbox")) == [(1,)]
        assert len(await store.audit_entries(0, 10)) == 2
