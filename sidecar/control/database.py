"""One SQLite file: opened with WAL and full sync, checked before use, every fault said in one sentence.

Keeps: a transaction is on disk when `transact` returns, or leaves nothing behind; it runs on the file's own thread in
one piece, so transactions never overlap, and the event loop is asked for nothing until it is over; nothing is ever
deleted or repaired by guessing.
Does not: know the tables, or decide what a corrupted file means for traffic (it flows on by the last table).
Called by: `store`, `outbox`, `decisions`, and what is kept beside these.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, Executable, Row, RowMapping, create_engine, event
from sqlalchemy.exc import DBAPIError

from sidecar.errors import Unavailable

# FULL: an acknowledged commit survives a power loss in WAL mode too (sqlite.org/pragma.html#pragma_synchronous).
_PRAGMAS = (
    "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 5000", "trusted_schema = OFF",
    "cell_size_check = ON",
)  # fmt: skip

_TURN_S = 30.0
_CACHE_BYTES = 2_000 << 10  # SQLite's own
_Result = TypeVar("_Result")


class StoreError(Unavailable):
    """The folder or database cannot be used as it is. The sentence names the file and what to do."""


class Damaged(StoreError):
    """SQLite finds that the file is none, or not whole."""


class _GoneError(Exception):
    """Nobody waits for the transaction any more."""


class Database:
    """An open SQLite file. Made by `open`, given back by `close`."""

    def __init__(self, path: Path, engine: Engine, file: os.stat_result) -> None:
        self.path = path
        self._engine = engine
        self._file = file
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=path.name)

    @classmethod
    async def open(cls, path: Path, check_bytes: int | None = None, cache_bytes: int = _CACHE_BYTES) -> Self:
        """Opens or creates the file; StoreError, Damaged where SQLite finds it so.

        `check_bytes`: of a larger file only the beginning is looked at, since all of it takes seconds for each GB.
        `cache_bytes`: pages that are held in memory; a transaction that changes more is written in parts.
        """
        try:
            # Created here and not by SQLite, so that only the owner may read it.
            created = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            file = os.fstat(created)
            os.close(created)
        except OSError as error:
            raise StoreError(f"{path} cannot be opened ({error.strerror}): check its owner and permissions") from error
        engine = create_engine(URL.create("sqlite", database=str(path)), pool_size=1, max_overflow=0)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "connect", lambda opened, _: _hold(opened, cache_bytes))
        event.listen(engine, "begin", _begin_immediate)
        database = cls(path, engine, file)
        try:
            await database._check(whole=check_bytes is None or file.st_size <= check_bytes)
        except BaseException:
            await database.close()
            raise
        return database

    async def _check(self, *, whole: bool) -> None:
        question = "PRAGMA quick_check(1)" if whole else "SELECT 'ok' FROM sqlite_master LIMIT 1"

        def asked() -> object:
            with self._engine.begin() as connection:
                return connection.exec_driver_sql(question).scalar()

        try:
            found = await self._on_thread(asked)
        except (DBAPIError, sqlite3.Error) as error:
            raise _damaged(self.path, str(getattr(error, "orig", error))) from error
        if found != "ok":
            raise _damaged(self.path, str(found))

    async def transact(self, work: Callable[[Connection], _Result]) -> _Result:
        """What `work` returns of a transaction (BEGIN IMMEDIATE), once it is on disk.

        It runs on the file's thread, so it reads its rows itself and touches nothing that the event loop changes.
        Whatever it raises undoes it, and so does a caller that is cancelled before the commit. Raises Unavailable when
        the file cannot take it.
        """
        gone = threading.Event()

        def transaction() -> _Result:
            self._check_place()
            with self._engine.begin() as connection:
                done = work(connection)
                if gone.is_set():
                    raise _GoneError
                return done

        try:
            async with asyncio.timeout(_TURN_S):
                await self._turn.acquire()
        except TimeoutError:
            raise _unavailable(self.path, "database is locked") from None
        try:
            return await self._on_thread(transaction)
        except asyncio.CancelledError:
            gone.set()
            raise
        except (DBAPIError, sqlite3.Error) as error:
            raise _unavailable(self.path, str(getattr(error, "orig", error))) from error
        finally:
            self._turn.release()

    async def rows(self, question: Executable) -> Sequence[Row[Any]]:
        """All rows that answer one question, as `transact`."""
        return await self.transact(lambda connection: connection.execute(question).all())

    async def mappings(self, question: Executable) -> Sequence[RowMapping]:
        """As `rows`, each by the names of its columns."""
        return await self.transact(lambda connection: connection.execute(question).mappings().all())

    async def change(self, statement: Executable) -> int:
        """How many rows one statement has changed, as `transact`."""
        return await self.transact(lambda connection: connection.execute(statement).rowcount)

    async def _on_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _check_place(self) -> None:
        """SQLite would go on in a file that was removed, and everything written there ends with this process."""
        try:
            there = os.path.samestat(self.path.stat(), self._file)
        except OSError:
            there = False
        if not there:
            raise Unavailable(
                f"{self.path} was removed or replaced while the sidecar ran, nothing was changed: restore the folder"
                f" {self.path.parent} from a backup if it matters, then start the sidecar again"
            )

    @asynccontextmanager
    async def idle(self) -> AsyncIterator[None]:
        """While no transaction runs: who is cancelled now has heard how its last one ended."""
        async with self._turn:
            yield

    async def close(self) -> None:
        """Closes the connection; SQLite folds its log into the file."""
        await self._on_thread(self._engine.dispose)
        self._thread.shutdown()


def _prepare(connection: Any, record: object) -> None:
    del record
    # The driver's own BEGIN would be deferred: a read that becomes a write can then fail half-way.
    try:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except BaseException:
        # The pool does not know this connection yet: nobody else would close it.
        connection.close()
        raise


def _hold(connection: Any, cache_bytes: int) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA cache_size = {-cache_bytes // 1024}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _damaged(path: Path, says: str) -> StoreError:
    if "locked" in says:
        return StoreError(f"{path} is held by another program: end that program and start again")
    if "readonly" in says or "read-only" in says:
        return StoreError(f"{path} is read-only, nothing was changed: make it writable and start again")
    return Damaged(
        f"{path} is damaged ({says.splitlines()[0]}): restore it from a backup, or move the folder {path.parent}"
        " away to begin anew; nothing was changed"
    )


def _unavailable(path: Path, says: str) -> Unavailable:
    lowered = says.lower()
    if "full" in lowered:
        return Unavailable(f"the disk that holds {path} is full, nothing was changed: free some space and repeat")
    if "readonly" in lowered or "read-only" in lowered:
        return Unavailable(f"{path} is read-only, nothing was changed: make it writable and repeat")
    if "locked" in lowered:
        return Unavailable(f"{path} is held by another program, nothing was changed: repeat in a moment")
    return StoreError(
        f"{path} cannot be used ({says.splitlines()[0]}), nothing was changed: check the disk, or restore the file from"
        " a backup"
    )
