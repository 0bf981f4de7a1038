"""Read CSV files into DuckDB, strictly, with the types its columns really have.

Invariant: every line below the header is a row of as many fields, or the file is refused. DuckDB's own sniffer is not
used: of a file with one ragged line it makes a table of one column, or takes a later line for the header, and says
nothing. A column is a number only if all its values are; `007` is a code and stays text. It sums nothing up.
Called by `file_batches`.
"""

from __future__ import annotations

import contextlib
import csv
import glob
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

_DELIMITERS = (",", ";", "\t", "|")
_HEADER_LIMIT = 16 * 1024 * 1024
_INTEGER = r"\s*-?(0|[1-9][0-9]{0,17})\s*"
_NUMBER = r"(?i)\s*-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?\s*|\s*(nan|-?inf(inity)?)\s*"


def open_csv(connection: Any, paths: Sequence[Path]) -> None:
    """Make the rows of CSV files readable as `data`; ValueError or DuckDB's error where one is not well formed.

    All files have the same header; a column has the type of all its values in all of them.
    """
    names, delimiter = _header(paths[0])
    for path in paths[1:]:
        if _header(path) != (names, delimiter):
            raise ValueError(f"{path.name} does not begin with the same line of column names as {paths[0].name}")
    declared = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in names)
    options = (
        f"auto_detect = false, header = true, delim = {_literal(delimiter)}, "
        f"quote = '\"', escape = '\"', columns = {{{declared}}}"
    )
    # A path is a pattern to DuckDB, but a name to the person who typed it.
    literals = [glob.escape(str(path.resolve())) for path in paths]
    connection.execute(f"CREATE TABLE texts AS SELECT * FROM read_csv(?, {options})", [literals])
    columns = ", ".join(f"CAST({quoted(name)} AS {_type_of(connection, name)}) AS {quoted(name)}" for name in names)
    connection.execute(f"CREATE VIEW data AS SELECT {columns} FROM texts")


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _header(path: Path) -> tuple[list[str], str]:
    """The names in the first line, and the delimiter that splits it into most of them."""
    try:
        with _opened(path) as file:
            line = file.readline(_HEADER_LIMIT)
    except UnicodeDecodeError as error:
        raise ValueError("the file is not UTF-8 text") from error
    except (OSError, EOFError) as error:
        raise ValueError(f"the file cannot be read: {error}") from error
    if not line.strip() or "\0" in line:
        raise ValueError("the file does not begin with a line of column names")
    if line.count('"') % 2:
        raise ValueError("the line of column names has a quote that is not closed on it")
    readings = []
    for delimiter in ("\t",) if ".tsv" in path.name.lower() else _DELIMITERS:
        # A quoted name is not well formed under a delimiter that is not the file's.
        with contextlib.suppress(csv.Error):
            readings.append((next(csv.reader([line], delimiter=delimiter, strict=True)), delimiter))
    if not readings:
        raise ValueError("the line of column names is not well formed")
    names, delimiter = max(readings, key=lambda reading: len(reading[0]))
    for name in names:
        if not name.strip() or "\n" in name:
            raise ValueError(f"column {names.index(name) + 1} has no name, or one of two lines")
        if [other.lower() for other in names].count(name.lower()) > 1:
            raise ValueError(f"two columns are named {name!r} (upper and lower case are the same here)")
    return names, delimiter


def _opened(path: Path) -> TextIO:
    # utf-8-sig: spreadsheets begin their files with a byte order mark.
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline=None)
    return path.open(encoding="utf-8-sig", newline=None)


def _type_of(connection: Any, name: str) -> str:
    column = quoted(name)
    query = (
        f"SELECT count({column}), "
        f"count(*) FILTER (regexp_full_match({column}, {_literal(_INTEGER)})), "
        f"count(*) FILTER (regexp_full_match({column}, {_literal(_NUMBER)})), "
        f"count(*) FILTER (lower({column}) IN ('true', 'false')) FROM texts"
    )
    known, integers, numbers, booleans = connection.execute(query).fetchone()
    if not known:
        return "VARCHAR"
    choices = ((integers, "BIGINT"), (numbers, "DOUBLE"), (booleans, "BOOLEAN"))
    return next((sql_type for count, sql_type in choices if count == known), "VARCHAR")
