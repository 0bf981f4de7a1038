from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from sidecar.control import database as databases
from sidecar.control.database import Database
from sidecar.errors import Unavailable


async def test_cancelling_between_transactions_leaves_the_file_free(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "a.db")
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE t (n INTEGER)"))

    async def write() -> None:
        while True:
            async with database.begin() as connection:
                await connection.execute(text("INSERT INTO t VALUES (1)"))

    for _ in range(20):
        task = asyncio.create_task(write())
        await asyncio.sleep(0.002)
        async with database.idle():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        began = time.perf_counter()
        async with database.begin() as connection:
            await connection.execute(text("INSERT INTO t VALUES (2)"))
        assert time.perf_counter() - began < 4.5, "SQLite waits 5 s for a lock that nobody gives back"
    await database.close()


async def test_a_transaction_that_never_ends_does_not_keep_others_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_TURN_S", 0.01)
    database = await Database.open(tmp_path / "a.db")
    async with database.begin():
        with pytest.raises(Unavailable, match="held by another program"):
            async with database.begin():
                pass
    async with database.begin() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await database.close()


async def test_cancelling_within_a_statement_leaves_the_file_free(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "a.db")
    entered = asyncio.Event()
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT i FROM n"

    async def read() -> None:
        async with database.begin() as connection:
            entered.set()
            await connection.execute(text(f"{count} ORDER BY i DESC"))

    task = asyncio.create_task(read())
    await entered.wait()
    await asyncio.sleep(0.02)  # into the statement, which takes ten times as long
    task.cancel()
    # What keeps the traceback keeps the statement: nothing may depend on when it is forgotten.
    (kept,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(kept, asyncio.CancelledError)
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE t (n INTEGER)"))
    await database.close()


async def test_a_statement_that_fails_while_its_caller_is_cancelled_ends_as_cancelled(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "a.db")
    entered = asyncio.Event()

    async def fail() -> None:
        async with database.begin() as connection:
            entered.set()
            await connection.execute(text("SELECT * FROM nowhere"))

    task = asyncio.create_task(fail())
    await entered.wait()
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    async with database.begin() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await database.close()


@pytest.mark.parametrize("replaced", [False, True])
async def test_nothing_is_written_into_a_file_that_was_removed_or_replaced(tmp_path: Path, replaced: bool) -> None:
    path = tmp_path / "a.db"
    database = await Database.open(path)
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE t (n INTEGER)"))
    path.rename(tmp_path / "elsewhere.db")
    if replaced:
        path.touch()
    with pytest.raises(Unavailable, match=r"a\.db was removed or replaced while the sidecar ran, nothing was changed"):
        async with database.begin() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
    path.unlink(missing_ok=True)
    (tmp_path / "elsewhere.db").rename(path)
    async with database.begin() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar() == 0
    await database.close()
