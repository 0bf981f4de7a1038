"""CSV: a line a row; with a line of names, or without one and named from outside.

Invariant: text has no types, so a cell that reads as a number is one, unless its column is known to hold texts; an
empty cell and what pandas calls NA are missing. The first line is names where one of them is a feature's and none
else a number, or where it holds no number and the second does, or no features are known; MLflow's always has names.
Called by `reading` for requests and answers. Source: RFC 4180; MLflow's and SageMaker's containers.
"""

from __future__ import annotations

import csv
import io
import math
from itertools import chain
from typing import Any

from sidecar.payload.columns import Columns
from sidecar.payload.naming import columns_of
from sidecar.payload.outputs import named_like_output, prediction_of
from sidecar.payload.tensor import MOST_COLUMNS, UNTYPED, Tensor
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Prediction

# pandas.read_csv's na_values.
_MISSING = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
        "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
_NO_TEXTS: frozenset[str] = frozenset()
_TRUTHS = {"True": "true", "False": "false"}


def features(
    body: bytes, names: tuple[str, ...], *, header: bool = False, texts: frozenset[str] = _NO_TEXTS
) -> Columns:
    """Columns of a request. `header`: the first line is names; `texts`: the columns whose cells stay texts."""
    lines = _lines(body)
    if not lines:
        return Columns.none()
    own = None
    if header or _is_header(lines, names):
        own, lines = tuple(name.strip() for name in lines[0]), lines[1:]
    elif len(names) == len(lines[0]):
        own = names
    if not lines:
        return Columns.none()
    if own is None:
        own = tuple(f"[{place}]" for place in range(len(lines[0])))
    if texts.isdisjoint(own) and (numbers := _numbers(list(chain.from_iterable(lines)))) is not None:
        return columns_of([Tensor("", UNTYPED, len(lines), len(own), numbers, own)], names)
    tensors = []
    for place, name in enumerate(own):
        cells = [line[place] for line in lines]
        numbers = None if name in texts else _numbers(cells)
        column = numbers or (_texts(cells) if name in texts else _typed(cells))
        tensors.append(Tensor("", UNTYPED, len(lines), 1, column, (name,)))
    return columns_of(tensors, names)


def prediction(body: bytes, prediction_name: str | None) -> Prediction:
    """Labels and scores of an answer; without names a line's values are a vector, or one value."""
    lines = _lines(body)
    if lines and any(named_like_output(cell.strip()) or cell.strip() == prediction_name for cell in lines[0]):
        names, lines = [name.strip() for name in lines[0]], lines[1:]
        tensors = [
            Tensor("", UNTYPED, len(lines), 1, _typed([line[place] for line in lines]), (name,))
            for place, name in enumerate(names)
        ]
        return prediction_of(tensors if lines else [], prediction_name)
    values = _typed([cell for line in lines for cell in line])
    return prediction_of([Tensor("", UNTYPED, len(lines), len(lines[0]), values)] if lines else [], None)


def _lines(body: bytes) -> list[list[str]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Undecodable("encoding") from None
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    except csv.Error:
        raise Undecodable("shape") from None
    if lines and len(lines[0]) > MOST_COLUMNS:
        raise Undecodable("too_large")
    if len(set(map(len, lines))) > 1:
        raise Undecodable("shape")
    return lines


def _is_header(lines: list[list[str]], names: tuple[str, ...]) -> bool:
    first = [cell.strip() for cell in lines[0]]
    known = set(names).intersection(first)
    # A row of values may hold a text that is a feature's name, too.
    if 2 * len(known) > len(first):
        return True
    if any(_number(cell) is not None for cell in first if cell not in known):
        return False
    if known:
        return True
    if not _MISSING.isdisjoint(first):
        return False
    return not names or (len(lines) > 1 and any(_number(cell.strip()) is not None for cell in lines[1]))


def _number(cell: str) -> float | None:
    """A cell's number; Python's own spellings (1_000) are none."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _numbers(cells: list[str]) -> list[float] | None:
    """All of them as numbers, if they read as numbers."""
    try:
        numbers = list(map(float, cells))
    except ValueError:
        return None
    return None if "_" in "".join(cells) else numbers


def _typed(column: list[str]) -> list[Any]:
    """Numbers where cells read as numbers; whole ones as such, so that classes keep their names."""
    typed = {cell: _value(cell.strip()) for cell in set(column)}
    return [typed[cell] for cell in column]


def _value(text: str) -> str | float | None:
    if text in _MISSING:
        return None
    number = _number(text)
    if number is None:
        return _TRUTHS.get(text, text)
    if math.isfinite(number) and text.lstrip("+-").isdecimal():
        return int(text) if len(text) < 20 else number
    return number


def _texts(column: list[str]) -> list[Any]:
    """Texts as training had them: `1.0` is the category 1."""
    return [None if (text := cell.strip()) in _MISSING else _category(text) for cell in column]


def _category(text: str) -> str:
    whole, dot, rest = text.partition(".")
    if dot and rest and not rest.strip("0") and whole.lstrip("-").isdecimal():
        return whole
    return _TRUTHS.get(text, text)
