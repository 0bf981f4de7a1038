from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from sidecar.control import database as databases
from sidecar.control.database import Database
from sidecar.errors import Refused, Unavailable


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "a.db")
    yield opened
    await opened.close()


async def test_cancelling_between_transactions_leaves_the_file_free(database: Database) -> None:
    await database.change(text("CREATE TABLE t (n INTEGER)"))

    async def write() -> None:
        while True:
            await database.change(text("INSERT INTO t VALUES (1)"))

    for _ in range(20):
        task = asyncio.create_task(write())
        await asyncio.sleep(0.002)
        async with database.idle():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        began = time.perf_counter()
        await database.change(text("INSERT INTO t VALUES (2)"))
        assert time.perf_counter() - began < 4.5, "SQLite waits 5 s for a lock that nobody gives back"


async def test_a_transaction_that_never_ends_does_not_keep_others_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_TURN_S", 0.01)
    going_on = threading.Event()
    endless = asyncio.create_task(database.transact(lambda _: going_on.wait()))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="held by another program"):
        await database.rows(text("SELECT 1"))
    going_on.set()
    assert await endless
    assert await database.rows(text("SELECT 1")) == [(1,)]


async def test_a_caller_that_is_cancelled_before_the_commit_leaves_nothing_behind(database: Database) -> None:
    await database.change(text("CREATE TABLE t (n INTEGER)"))
    entered, go_on = threading.Event(), threading.Event()

    def write(connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        entered.set()
        go_on.wait(60)

    task = asyncio.create_task(database.transact(write))
    await asyncio.to_thread(entered.wait, 60)
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    go_on.set()
    assert await database.rows(text("SELECT * FROM t")) == []


async def test_what_waits_for_its_turn_and_is_cancelled_is_never_begun(database: Database) -> None:
    go_on, begun = threading.Event(), threading.Event()
    first = asyncio.create_task(database.transact(lambda _: go_on.wait(60)))
    await asyncio.sleep(0)
    second = asyncio.create_task(database.transact(lambda _: begun.set()))
    await asyncio.sleep(0)
    second.cancel()
    go_on.set()
    assert await first
    assert isinstance((await asyncio.gather(second, return_exceptions=True))[0], asyncio.CancelledError)
    await database.rows(text("SELECT 1"))
    assert not begun.is_set()


async def test_cancelling_within_a_statement_leaves_the_file_free(database: Database) -> None:
    entered = threading.Event()
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT i FROM n"

    def read(connection: Connection) -> None:
        entered.set()
        connection.execute(text(f"{count} ORDER BY i DESC"))

    task = asyncio.create_task(database.transact(read))
    await asyncio.to_thread(entered.wait, 60)
    await asyncio.sleep(0.02)  # into the statement, which takes ten times as long
    task.cancel()
    # What keeps the traceback keeps the statement: nothing may depend on when it is forgotten.
    (kept,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(kept, asyncio.CancelledError)
    await database.change(text("CREATE TABLE t (n INTEGER)"))


async def test_a_statement_that_fails_while_its_caller_is_cancelled_ends_as_cancelled(database: Database) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def fail(connection: Connection) -> None:
        entered.set()
        go_on.wait(60)
        connection.execute(text("SELECT * FROM nowhere"))

    task = asyncio.create_task(database.transact(fail))
    await asyncio.to_thread(entered.wait, 60)
    task.cancel()
    go_on.set()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    assert await database.rows(text("SELECT 1")) == [(1,)]


async def test_work_that_raises_leaves_nothing_behind_and_its_own_fault_is_told(database: Database) -> None:
    await database.change(text("CREATE TABLE t (n INTEGER)"))

    def refuse(connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        raise Refused("another call was faster")

    with pytest.raises(Refused, match="faster"):
        await database.transact(refuse)
    assert await database.rows(text("SELECT * FROM t")) == []


@pytest.mark.parametrize("replaced", [False, True])
async def test_nothing_is_written_into_a_file_that_was_removed_or_replaced(database: Database, replaced: bool) -> None:
    path = database.path
    await database.change(text("CREATE TABLE t (n INTEGER)"))
    path.rename(path.with_name("elsewhere.db"))
    if replaced:
        path.touch()
    with pytest.raises(Unavailable, match=r"a\.db was removed or replaced while the sidecar ran, nothing was changed"):
        await database.change(text("INSERT INTO t VALUES (1)"))
    path.unlink(missing_ok=True)
    (path.with_name("elsewhere.db")).rename(path)
    assert await database.rows(text("SELECT count(*) FROM t")) == [(0,)]
