"""Offline feature values in a file: CSV with a header, JSON lines, or Parquet, read row by row in bounded memory.

Keeps: every row it yields is one that the admin API takes; the first line that is none ends the reading with its
number, and no message holds a value. An empty CSV cell is a missing value; a cell that is a JSON number is a number.
Posts nothing. Called by the command `features`.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TextIO

from sidecar.cli.failure import CommandFailed
from sidecar.cli.parquet_rows import parquet_rows

Value = str | float | bool | None
Row = dict[str, object]
"""One member of `{"rows": [...]}` as it is posted."""

_LONGEST_REQUEST_ID, _LONGEST_NAME, _LONGEST_TEXT = 256, 512, 1_024
_LARGEST_ROW = 1_000_000


class _Wrong(Exception):
    """What is wrong with one line, as the end of a sentence."""


def rows_in(path: Path) -> Iterator[Row]:
    """Yields the file's rows in order; CommandFailed names the file and the line that is none."""
    kind = path.suffix.lower()
    if kind in (".parquet", ".pq"):
        return _parquet(path)
    if kind == ".csv":
        return _text(path, _csv)
    if kind in (".jsonl", ".ndjson", ".json"):
        return _text(path, _json_lines)
    raise CommandFailed(f"{path}: feature values are read from .csv, .jsonl or .parquet files")


def _text(path: Path, read: Callable[[TextIO], Iterator[tuple[int, Mapping[str, object]]]]) -> Iterator[Row]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, found in read(file):  # noqa: B007  # told when a line is wrong
                yield _row(found)
    except _Wrong as wrong:
        raise CommandFailed(f"{path}: after line {number}: {wrong}" if number else f"{path}: {wrong}") from None
    except csv.Error:
        raise CommandFailed(f"{path}: after line {number}: not CSV") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"{path}: not UTF-8 text; save the file as UTF-8") from None
    except OSError as fault:
        raise CommandFailed(f"{path} cannot be read: {(fault.strerror or str(fault)).lower()}") from None


def _csv(file: TextIO) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.reader(file, strict=True)
    header: list[str] | None = None
    for cells in reader:
        if not cells:
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if len(set(header)) < len(header):
                raise _Wrong("a column is there twice")
            if "request_id" not in header:
                raise _Wrong("there is no column request_id")
            continue
        if len(cells) != len(header):
            raise _Wrong(f"a line has {len(cells)} cells where the header has {len(header)}")
        values = {name: cell if name == "request_id" else _cell(cell) for name, cell in zip(header, cells, strict=True)}
        yield reader.line_num, _flat(values)
    if header is None:
        raise _Wrong("empty; the first line names the columns: request_id and the features")


def _json_lines(file: TextIO) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise _Wrong("the next line is not JSON") from None
        if not isinstance(found, dict):
            raise _Wrong('each line is an object such as {"request_id": "…", "features": {"amount": 12.5}}')
        yield number, found if "features" in found else _flat(found)


def _parquet(path: Path) -> Iterator[Row]:
    number = 0
    try:
        with parquet_rows(path, say_why=False) as (names, rows):
            for number, values in enumerate(rows, 1):  # noqa: B007  # told when a row is wrong
                yield _row(_flat(dict(zip(names, map(_plain, values), strict=True))))
    except _Wrong as wrong:
        raise CommandFailed(f"{path}: row {number}: {wrong}") from None


def _flat(values: Mapping[str, object]) -> Mapping[str, object]:
    """Columns beside each other, as a row that has its features under a key of their own."""
    features = {name: value for name, value in values.items() if name not in ("request_id", "row")}
    return {"request_id": values.get("request_id"), "row": values.get("row"), "features": features}


def _row(found: Mapping[str, object]) -> Row:
    """Checks one row, as the admin API would."""
    unknown = set(found) - {"request_id", "row", "features"}
    if unknown:
        raise _Wrong(f"beside features, {min(unknown)!r} is not known")
    request_id, row, features = found.get("request_id"), found.get("row"), found.get("features")
    if not isinstance(request_id, str) or not 0 < len(request_id) <= _LONGEST_REQUEST_ID:
        raise _Wrong(f"request_id must be text of 1 to {_LONGEST_REQUEST_ID} characters")
    if not isinstance(features, dict) or not features:
        raise _Wrong("there is no feature")
    checked: Row = {"request_id": request_id, "features": {_name(name): _value(v) for name, v in features.items()}}
    if row is not None:
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row <= _LARGEST_ROW:
            raise _Wrong(f"row must be a whole number from 0 to {_LARGEST_ROW}")
        checked["row"] = row
    return checked


def _name(name: str) -> str:
    if not 0 < len(name) <= _LONGEST_NAME:
        raise _Wrong(f"a feature's name has 1 to {_LONGEST_NAME} characters")
    return _encodable(name)


def _value(value: object) -> Value:
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            raise _Wrong(f"a value has at most {_LONGEST_TEXT} characters")
        return _encodable(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        try:
            return value if math.isfinite(value) else None
        except OverflowError:
            raise _Wrong("a whole number is larger than any float") from None
    raise _Wrong("a value is a number, a text, true, false or null")


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON escapes can spell it, a request cannot carry it
        raise _Wrong("half a surrogate pair is not valid Unicode") from None
    return text


def _cell(cell: str) -> Value:
    if not cell:
        return None
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    return found if isinstance(found, bool | int | float) else cell


def _plain(value: object) -> object:
    """A Parquet value as JSON has it."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime | date) else value
