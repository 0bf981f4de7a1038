"""Outcomes in a file: CSV with a header, JSON lines, or Parquet, read row by row in bounded memory.

Keeps: every outcome it yields is one that the admin API takes; the first line that is none ends the reading with its
number. Times have a zone (a Parquet timestamp without one is UTC). In CSV a cell that is a JSON number is a number,
everything else text. Posts nothing. Called by the command `outcomes`.
"""

from __future__ import annotations

import csv
import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sidecar.cli.failure import CommandFailed
from sidecar.cli.parquet_rows import parquet_rows

Outcome = dict[str, str | float | bool]
"""One member of `{"outcomes": [...]}` as it is posted."""

COLUMNS = ("request_id", "outcome", "row", "at", "corrects")
_REQUIRED = COLUMNS[:2]
_LONGEST_REQUEST_ID = 256
_LONGEST_OUTCOME = 1_000
_LARGEST_ROW = 1_000_000


class _Wrong(Exception):
    """What is wrong with one line, as the end of a sentence."""


def outcomes_in(path: Path) -> Iterator[Outcome]:
    """Yields the file's outcomes in order.

    Raises:
        CommandFailed: the file cannot be read, or a line is no outcome; names the line.
    """
    kind = path.suffix.lower()
    if kind in (".parquet", ".pq"):
        return _parquet(path)
    if kind == ".csv":
        return _text_lines(path, _csv_rows)
    if kind in (".jsonl", ".ndjson", ".json"):
        return _text_lines(path, _json_rows)
    raise CommandFailed(f"{path}: outcomes are read from .csv, .jsonl or .parquet files")


def _text_lines(path: Path, rows: Any) -> Iterator[Outcome]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from rows(path, file)
    except UnicodeDecodeError:
        raise CommandFailed(f"{path}: not UTF-8 text; save the file as UTF-8") from None
    except OSError as fault:
        raise CommandFailed(f"{path} cannot be read: {(fault.strerror or str(fault)).lower()}") from None


def _csv_rows(path: Path, file: Iterable[str]) -> Iterator[Outcome]:
    reader = csv.reader(file, strict=True)
    header: Sequence[str] | None = None
    try:
        for cells in reader:
            if not cells:
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                _check_columns(header)
                continue
            yield _outcome(_csv_row(header, cells))
    except (_Wrong, csv.Error) as wrong:
        raise CommandFailed(f"{path}:{reader.line_num}: {wrong}") from None
    if header is None:
        raise CommandFailed(f"{path}: empty; the first line names the columns request_id,outcome")


def _csv_row(header: Sequence[str], cells: Sequence[str]) -> dict[str, object]:
    if len(cells) != len(header):
        raise _Wrong(f"has {len(cells)} cells where the header has {len(header)}")
    return {name: _cell(name, cell) for name, cell in zip(header, cells, strict=True) if cell}


def _json_rows(path: Path, file: Iterable[str]) -> Iterator[Outcome]:
    number = 0
    try:
        for number, line in enumerate(file, 1):  # noqa: B007  # told when a line is wrong
            if line.strip():
                yield _outcome(_json_row(line))
    except json.JSONDecodeError as fault:
        raise CommandFailed(f"{path}:{number}: not JSON: {fault.msg.lower()}") from None
    except RecursionError:
        raise CommandFailed(f"{path}:{number}: nested too deeply") from None
    except (_Wrong, ValueError) as wrong:
        raise CommandFailed(f"{path}:{number}: {wrong}") from None


def _json_row(line: str) -> dict[str, object]:
    found = json.loads(line, parse_constant=_no_constant)
    if not isinstance(found, dict):
        raise _Wrong('each line is an object such as {"request_id": "…", "outcome": 1}')
    _check_columns(list(found))
    return found


def _parquet(path: Path) -> Iterator[Outcome]:
    number = 0
    try:
        with parquet_rows(path, say_why=True) as (names, rows):
            _check_columns(names)
            for number, values in enumerate(rows, 1):  # noqa: B007  # told when a row is wrong
                found = {name: value for name, value in zip(names, values, strict=True) if value is not None}
                yield _outcome({name: _plain(value) for name, value in found.items()})
    except _Wrong as wrong:
        where = f"{path}: row {number}" if number else str(path)
        raise CommandFailed(f"{where}: {wrong}") from None


def _check_columns(names: Sequence[str]) -> None:
    for name in _REQUIRED:
        if name not in names:
            raise _Wrong(f"there is no {name}; needed are request_id and outcome")
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(COLUMNS)}"
            raise _Wrong(f"{name!r} is not known; {meant}")
    if len(set(names)) < len(names):
        raise _Wrong("a column is there twice")


def _outcome(found: Mapping[str, object]) -> Outcome:
    """Checks one row, as the admin API would."""
    request_id, value = found.get("request_id"), found.get("outcome")
    if not isinstance(request_id, str) or not 0 < len(request_id) <= _LONGEST_REQUEST_ID:
        raise _Wrong(f"request_id must be text of 1 to {_LONGEST_REQUEST_ID} characters")
    if not isinstance(value, str | bool | int | float):
        raise _Wrong("outcome must be a label or a number")
    _check_texts(request_id, value)
    if isinstance(value, int | float) and not isinstance(value, bool) and not _finite(value):
        raise _Wrong("outcome must be a finite number")
    checked: Outcome = {"request_id": request_id, "outcome": value}
    row = found.get("row")
    if row is not None:
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row <= _LARGEST_ROW:
            raise _Wrong(f"row must be a whole number from 0 to {_LARGEST_ROW}")
        checked["row"] = row
    at = found.get("at")
    if at is not None:
        checked["at"] = _moment(at)
    corrects = found.get("corrects")
    if corrects is not None:
        if not isinstance(corrects, bool):
            raise _Wrong("corrects must be true or false")
        checked["corrects"] = corrects
    return checked


def _check_texts(request_id: str, value: str | float) -> None:
    if isinstance(value, str) and not 0 < len(value) <= _LONGEST_OUTCOME:
        raise _Wrong(f"outcome must have 1 to {_LONGEST_OUTCOME} characters")
    try:
        f"{request_id}{value}".encode()
    except UnicodeEncodeError:  # JSON escapes can spell it, a request cannot carry it
        raise _Wrong("half a surrogate pair is not valid Unicode") from None


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _moment(at: object) -> str:
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _Wrong("at must be a time with its zone, such as 2026-01-31T12:00:00Z")
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise _Wrong("at is out of range") from None


def _cell(name: str, cell: str) -> object:
    """A CSV cell as what it means in its column."""
    if name == "corrects" and cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    if name not in ("outcome", "row"):
        return cell
    try:
        found = json.loads(cell, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return cell
    return found if isinstance(found, int | float) and not isinstance(found, bool) else cell


def _plain(value: object) -> object:
    """A Parquet value as JSON has it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value


def _no_constant(name: str) -> float:
    raise _Wrong(f"{name} is not a finite number")
