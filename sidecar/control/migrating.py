"""A database file in this version's form: made new, or brought there from an earlier one by Alembic's scripts.

Keeps: all steps happen in the caller's transaction, so a crash, a full disk or a read-only file leaves the file as it
was; a file that a newer sidecar wrote, or that is none of ours, is refused in one sentence. Alembic is loaded only when
there is a step to take. Does not: open, back up, or go back to an earlier form. Called by: `store`, `decisions`.
A change of a form is a new script under `migrations`, its revision in the form, and the table's new look.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, insert, inspect, select

from sidecar.control.database import StoreError

_SCRIPTS = Path(__file__).parent / "migrations"
_STEP = re.compile("[0-9]{4}")
# Alembic's own table: which step a file has reached.
_reached = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


@dataclass(frozen=True, slots=True)
class Form:
    """What a file looks like in this version.

    Attributes:
        scripts: the folder under `migrations`.
        revision: the last script's; revisions are numbers of four digits, so their order is that of text.
        metadata: the tables.
        own_word: (connection, names of tables) -> the revision by the file's own tables, None for one that is not ours.
            It is all there is in a file from before Alembic; the higher of both counts.
    """

    scripts: str
    revision: str
    metadata: MetaData
    own_word: Callable[[Connection, frozenset[str]], str | None]


def bring_up(connection: Connection, path: Path, form: Form) -> bool:
    """Makes the tables of an empty file, or takes the steps that are missing; true for a file that was empty.

    Raises StoreError for a file of a newer sidecar or of another program, SQLAlchemy's errors where a step fails.
    """
    tables = frozenset(inspect(connection).get_table_names())
    if not tables:
        form.metadata.create_all(connection)
        _reached.create(connection)
        connection.execute(insert(_reached).values(version_num=form.revision))
        return True
    marked = _reached.name in tables
    revision = form.own_word(connection, tables)
    if marked and revision is not None:
        step = connection.execute(select(_reached.c.version_num)).scalar()
        revision = max(revision, step) if step is not None else None
    if revision is None or not _STEP.fullmatch(revision):
        raise _foreign(path)
    if revision > form.revision:
        raise newer(path, revision, form.revision)
    if revision < form.revision:
        _upgrade(connection, form, None if marked else revision)
    if not frozenset(form.metadata.tables) <= frozenset(inspect(connection).get_table_names()):
        raise _foreign(path)
    return False


def newer(path: Path, written: str, known: str) -> StoreError:
    """The refusal of a file that a newer sidecar has written."""
    return StoreError(
        f"{path} was written by a newer sidecar (schema {int(written)}, this one knows {int(known)}): run that one, or"
        " give this one another state_dir"
    )


def _foreign(path: Path) -> StoreError:
    return StoreError(f"{path} is not a sidecar's store: name another folder under state_dir")


def _upgrade(connection: Connection, form: Form, stamped: str | None) -> None:
    # Loaded late: it takes longer than everything else about opening a file, and is needed once a version.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    for name, value in (
        ("script_location", str(_SCRIPTS)),
        ("version_locations", str(_SCRIPTS / form.scripts)),
        ("path_separator", "newline"),
    ):
        config.set_main_option(name, value.replace("%", "%%"))
    if stamped is not None:
        command.stamp(config, stamped)
    command.upgrade(config, form.revision)
