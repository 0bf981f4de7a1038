"""Rows and columns as JSON has them without types: lists of values, of lists, of objects; objects of columns.

Invariant: an absent key is null in its row; what a key holds that is no value (text beside an object, lists of
different lengths) stays one value, so that its row is not lost and its type can be counted as wrong. What is allocated
stays in proportion to the body. Called by the readers of protocols that carry plain JSON, for requests and answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sidecar.payload.tensor import MOST_COLUMNS, UNTYPED, Tensor, are_numbers, nested, text_of
from sidecar.payload.undecodable import Undecodable

# Rows whose keys differ make mostly nulls: so many cells are always fine, and so many for each value that is there.
_FREE_CELLS = 1_000_000
_CELLS_PER_VALUE = 16
_DEEPEST = 8  # objects in objects
_CONTAINERS = frozenset({list, dict})
_NULL = type(None)

Row = dict[str, Any]


def tensors_in(value: object) -> list[Tensor]:
    """Of a list, the rows; of an object, its columns by key.

    Raises:
        Undecodable: "protocol" for anything else, "shape" or "too_large" for what contradicts itself.
    """
    if isinstance(value, list):
        return row_tensors(value)
    if isinstance(value, dict):
        return column_tensors(value)
    raise Undecodable("protocol")


def row_tensors(rows: list[Any]) -> list[Tensor]:
    """Rows: objects have named columns, anything else has none. No rows, no tensors."""
    if not rows:
        return []
    if set(map(type, rows)) == {dict} and any(row.keys() != {"b64"} for row in rows):
        return list(_objects(rows, "", _DEEPEST))
    return [nested("", rows)]


def column_tensors(columns: Row) -> list[Tensor]:
    """An object of columns, each a list with one entry a row; a value that is no list is a row of its own."""
    if not columns:
        return []
    if _CONTAINERS.isdisjoint(map(type, columns.values())):
        return row_tensors([columns])
    tensors: list[Tensor] = []
    for name, column in columns.items():
        if not isinstance(column, list):
            raise Undecodable("shape")
        if column and set(map(type, column)) == {dict}:
            tensors.extend(_field(name, column, _DEEPEST))
        else:
            tensors.append(_bearing(name, nested(name, column)))
    return tensors


def _objects(rows: list[Row], prefix: str, depth: int) -> Iterator[Tensor]:
    keys = tuple(rows[0])
    if all(tuple(row) == keys for row in rows):
        values = list(chain.from_iterable(map(dict.values, rows)))
    else:
        keys = tuple(dict.fromkeys(chain.from_iterable(rows)))
        _check_cells(rows, len(keys))
        values = [row.get(key) for row in rows for key in keys]
    width = len(keys)
    if width > MOST_COLUMNS:
        raise Undecodable("too_large")
    names = tuple(prefix + key for key in keys) if prefix else keys
    if _CONTAINERS.isdisjoint(map(type, values)):
        yield Tensor("", UNTYPED, len(rows), width, values, names)
        return
    for place, name in enumerate(names):
        yield from _field(name, values[place::width], depth)


def _field(name: str, column: list[Any], depth: int) -> Iterator[Tensor]:
    """One key's values: scalars, vectors of one length, objects alike; else whatever they are.

    Where others have a vector or an object, null stands for one of nulls.
    """
    kinds = frozenset(map(type, column))
    if _CONTAINERS.isdisjoint(kinds):
        yield _alone(name, column)
    elif kinds <= {list, _NULL}:
        yield _vectors(name, column)
    elif kinds <= {dict, _NULL} and depth:
        texts = [value if value is None else text_of(value) for value in column]
        if dict not in map(type, texts):
            yield _alone(name, texts)
        else:
            yield from _objects_at(name, [{} if value is None else value for value in column], depth)
    else:
        yield _alone(name, column)


def _vectors(name: str, column: list[Any]) -> Tensor:
    """Vectors of one length as a tensor, any others as they are."""
    present = [value for value in column if value is not None]
    filled = column
    try:
        if len(present) < len(column):
            nulls = [None] * len(present[0])
            _check_cells(present, len(nulls), len(column))
            filled = [nulls if value is None else value for value in column]
        return _bearing(name, nested(name, filled))
    except Undecodable:
        return _alone(name, column)


def _objects_at(name: str, rows: list[Row], depth: int) -> Iterator[Tensor]:
    """A vector whose places have names, as ONNX writes the probabilities of classes, or objects of any keys.

    The places are in the order of their names: an object has none, and one sorted by likelihood must not change which
    class is the second.
    """
    keys = sorted(next(filter(None, rows), ()))
    if keys and all(not row or (len(row) == len(keys) and all(key in row for key in keys)) for row in rows):
        _check_cells(rows, len(keys))
        values = [row.get(key) for row in rows for key in keys]
        if are_numbers(values) and len(keys) <= MOST_COLUMNS:
            yield Tensor(name, UNTYPED, len(rows), len(keys), values, tuple(f"{name}.{key}" for key in keys))
            return
    yield from _objects(rows, f"{name}.", depth - 1)


def _check_cells(rows: Sequence[Row | list[Any]], width: int, count: int | None = None) -> None:
    """Refuses rows (`count` of them with the absent ones) that would make far more nulls than they hold values."""
    cells = (len(rows) if count is None else count) * width
    if cells > _FREE_CELLS and cells > _CELLS_PER_VALUE * sum(map(len, rows)) + len(rows):
        raise Undecodable("too_large")


def _alone(name: str, column: list[Any]) -> Tensor:
    return Tensor(name, UNTYPED, len(column), 1, column, (name,))


def _bearing(name: str, tensor: Tensor) -> Tensor:
    """A key's own name, where one column is all that it holds."""
    if tensor.width > 1:
        return tensor
    return Tensor(name, UNTYPED, tensor.rows, 1, tensor.values, (name,))


def named_rows(names: Sequence[Any], rows: object) -> list[Tensor]:
    """A table: its columns' names, and rows as lists.

    Raises:
        Undecodable: "shape" where they do not fit.
    """
    if not isinstance(rows, list):
        raise Undecodable("shape")
    if any(type(row) is not list for row in rows) or any(type(name) in _CONTAINERS for name in names):
        raise Undecodable("shape")
    texts = tuple(name if isinstance(name, str) else str(name) for name in names)
    if any(len(row) != len(texts) for row in rows):
        raise Undecodable("shape")
    return [nested("", rows, texts)] if rows else []
