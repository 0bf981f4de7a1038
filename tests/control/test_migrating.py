"""Stores of every earlier version are brought to today's form, wholly or not at all.

`older/` holds files as those versions left them (SQL text, made by the code of their commits), each with transitions,
outbox rows, snapshots and outcomes in it.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, inspect

from sidecar.control import decision_tables, migrating, schema
from sidecar.control.decisions import FILE_NAME, Decisions
from sidecar.control.migrating import Form
from sidecar.control.outbox import Outbox
from sidecar.control.store import Store, StoreError
from sidecar.errors import Unavailable
from sidecar.records import Outcome
from tests.control.store_samples import NOW, deed, opened, run_sql, state

OLDER = Path(__file__).parent / "older"
STORES = sorted(path.stem for path in OLDER.glob("store-*.sql"))
DECISIONS = sorted(path.stem for path in OLDER.glob("decisions-*.sql"))
FORMS = {"store": schema.FORM, "decisions": decision_tables.FORM}
MIGRATIONS = Path(migrating.__file__).parent / "migrations"


def older(name: str, path: Path) -> Path:
    """The file that an earlier version left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((OLDER / f"{name}.sql").read_text(encoding="utf-8"))
    return path


def shape(path: Path) -> list[str]:
    """Every table and index as SQLite has it, without how it was spelt."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT coalesce(sql, name) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        return sorted("".join(text.split()).replace('"', "").lower() for (text,) in rows)


async def test_every_earlier_version_is_among_them() -> None:
    assert STORES == ["store-1", "store-2", "store-3"]
    assert DECISIONS == ["decisions-1", "decisions-2"]


@pytest.mark.parametrize("name", STORES)
async def test_a_store_of_an_earlier_version_goes_on_as_if_it_had_always_been_this_one(
    tmp_path: Path, name: str
) -> None:
    older(name, tmp_path / "sidecar.db")
    shutil.copy(OLDER / "audit-head.json", tmp_path)
    async with opened(tmp_path) as store:
        states = await store.states()
        assert (states["fraud"].champion, states["fraud"].generation) == ("2", 2)
        assert [entry.action for entry in await store.audit_entries(0, 10)] == ["promote", "promote"]
        assert (await store.verify()).ok
        assert (await store.carryover.snapshots("fraud"))["drift"].blob == b"kept"
        assert [alarm.id for alarm in await store.carryover.alarms(0.0)] == ["a1"]
        outbox = Outbox(store.database, {}, lambda: NOW)
        assert [message.subject for message in (await outbox.kept("registry.alias")).waits] == ["fraud"]
        assert await store.receipt("key") is not None
        await store.transition(state(3, "3"), expected_generation=2, deed=deed("3"))
        assert (await store.verify()).ok
    async with opened(tmp_path) as store:
        assert (await store.states())["fraud"].champion == "3"


@pytest.mark.parametrize("name", DECISIONS)
async def test_decisions_of_an_earlier_version_still_find_their_outcomes(tmp_path: Path, name: str) -> None:
    older(name, tmp_path / FILE_NAME)
    decisions = await Decisions.open(tmp_path)
    try:
        assert (await decisions.decision("r1")).outcome == (1.0,)
        counts, joined = await decisions.post([Outcome("r2", 0, "1", NOW), Outcome("r1", 0, 0, NOW)], NOW, 300, 900)
        assert (counts.matched, counts.conflict) == (1, 1)
        assert [row.request_id for row in joined] == ["r2"]
    finally:
        await decisions.close()


@pytest.mark.parametrize("name", ["store", "decisions"])
def test_all_steps_together_make_the_tables_that_a_new_file_gets(tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    engine = create_engine(f"sqlite:///{tmp_path / 'steps.db'}")
    with engine.begin() as connection:
        migrating._upgrade(connection, form, None)
        differs = compare_metadata(MigrationContext.configure(connection), form.metadata)
    engine.dispose()
    assert differs == []
    other = create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with other.begin() as connection:
        migrating.bring_up(connection, tmp_path / "new.db", form)
    other.dispose()
    assert shape(tmp_path / "steps.db") == shape(tmp_path / "new.db")


@pytest.mark.parametrize("name", ["store", "decisions"])
def test_the_steps_are_one_line_that_ends_at_the_forms_revision(name: str) -> None:
    scripts = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS / name)])
    assert scripts.get_heads() == [FORMS[name].revision]
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    assert revisions == [f"{number:04d}" for number in range(1, len(revisions) + 1)]


def test_alembic_is_loaded_only_where_there_is_a_step_to_take() -> None:
    code = "import sys, sidecar.control.store, sidecar.control.decisions; print('alembic' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split() == ["False"]


# --- what may go wrong ---------------------------------------------------------------------------------------


# One process that imports once and forks: a child for each statement, killed right after it; the last one outlives all.
CRASHES = """
import alembic.command, asyncio, os, shutil, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sidecar.control.store import Store

def opened(folder, last):
    seen = 0
    @event.listens_for(Engine, "after_cursor_execute")
    def count(connection, cursor, statement, *rest):
        nonlocal seen
        if statement.startswith(("CREATE", "ALTER", "UPDATE", "INSERT")):
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
    asyncio.run(Store.open(folder))
    os._exit(0)

whole, ended, last = Path(sys.argv[1]), signal.SIGKILL, 0
while ended == signal.SIGKILL:
    last += 1
    folder = whole.with_name(str(last))
    shutil.copytree(whole, folder)
    child = os.fork()
    if child == 0:
        opened(folder, last)
    _, ended = os.waitpid(child, 0)
print(last, ended)
"""


async def test_a_kill_after_any_statement_of_the_steps_leaves_the_old_store_whole(tmp_path: Path) -> None:
    before = shape(older("store-1", tmp_path / "whole" / "sidecar.db"))
    shutil.copy(OLDER / "audit-head.json", tmp_path / "whole")
    command = [sys.executable, "-c", CRASHES, str(tmp_path / "whole")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    last, ended = map(int, done.stdout.split())
    assert (last > 6, ended) == (True, 0)
    for folder in (tmp_path / str(number) for number in range(1, last)):
        assert shape(folder / "sidecar.db") == before
        async with opened(folder) as store:
            assert (await store.states())["fraud"].champion == "2"
            assert (await store.verify()).ok


async def test_a_store_that_may_not_be_written_is_said_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = older("store-2", tmp_path / "sidecar.db")
    before = path.read_bytes()
    monkeypatch.setattr("sidecar.control.database._PRAGMAS", ("query_only = ON",))
    with pytest.raises(Unavailable, match=r"sidecar\.db is read-only, nothing was changed"):
        await Store.open(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE alembic_version SET version_num = '0099'", "newer sidecar .schema 99, this one knows"),
        ("UPDATE alembic_version SET version_num = 'main'", "not a sidecar's store"),
        ("DELETE FROM alembic_version", "not a sidecar's store"),
        ("UPDATE meta SET value = 99 WHERE key = 'schema'", "newer sidecar .schema 99, this one knows"),
    ],
)
async def test_a_form_that_is_not_known_is_refused(tmp_path: Path, statement: str, says: str) -> None:
    async with opened(tmp_path):
        pass
    run_sql(tmp_path, statement)
    before = shape(tmp_path / "sidecar.db")
    with pytest.raises(StoreError, match=says):
        await Store.open(tmp_path)
    assert shape(tmp_path / "sidecar.db") == before


async def test_decisions_of_a_newer_sidecar_are_refused(tmp_path: Path) -> None:
    await (await Decisions.open(tmp_path)).close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
        connection.commit()
    with pytest.raises(StoreError, match="newer sidecar"):
        await Decisions.open(tmp_path)


def test_a_folder_with_a_percent_sign_or_a_colon_in_its_name_has_its_scripts_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "50%s of: it"
    shutil.copytree(MIGRATIONS, odd, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrating, "_SCRIPTS", odd)
    engine = create_engine(f"sqlite:///{tmp_path / 'steps.db'}")
    with engine.begin() as connection:
        migrating._upgrade(connection, Form("store", schema.REVISION, MetaData(), lambda *_: None), None)
        assert inspect(connection).has_table("audit")
    engine.dispose()
