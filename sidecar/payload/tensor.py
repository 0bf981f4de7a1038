"""One tensor of the Open Inference Protocol V2 in JSON form: flat values that fit its shape, and columns of it.

Invariant: `values` holds exactly as many scalars as the shape says; a shape is believed only after counting, and
nothing is allocated on its word. Numbers of a clean numeric tensor become float64 in one step (integers beyond 2^53
are rounded); a column whose JSON types contradict its datatype stays a list, so that wrong types can be counted.
Called by `oip`. Source: Open Inference Protocol V2, "Tensor Data": row-major, flat or nested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from sidecar.payload.undecodable import Undecodable
from sidecar.records import Column

INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
FLOATS = frozenset({"FP16", "FP32", "FP64", "BF16"})
DATATYPES = INTEGERS | FLOATS | {"BOOL", "BYTES"}
MOST_COLUMNS = 10_000  # a baseline holds at most half of it

_MOST_DIMENSIONS = 32
_NUMBERS = frozenset({int, float, type(None)})
_CONTAINERS = frozenset({list, dict})


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor: `rows` rows of `width` values each, row-major in `values`."""

    name: str
    datatype: str
    rows: int
    width: int
    values: list[Any]

    def columns(self) -> list[Column]:
        """`width` columns of `rows` values each."""
        numeric = self.datatype in INTEGERS or self.datatype in FLOATS
        if numeric and self.width > 1 and _NUMBERS.issuperset(map(type, self.values)):
            # Transposed once, so that each column lies in one piece.
            return list(np.ascontiguousarray(_numbers(self.values).reshape(self.rows, self.width).T))
        return [_column(self.values[place :: self.width], numeric=numeric) for place in range(self.width)]


def read_tensor(document: object) -> Tensor:
    """One entry of `inputs` or `outputs`.

    Raises:
        Undecodable: "protocol" when it is no V2 tensor, "shared_memory" when its values are elsewhere, "too_large"
            beyond MOST_COLUMNS columns, "shape" when data and shape disagree or the data holds objects.
    """
    if not isinstance(document, dict):
        raise Undecodable("protocol")
    name, datatype = document.get("name"), document.get("datatype")
    if not isinstance(name, str) or not isinstance(datatype, str) or datatype not in DATATYPES:
        raise Undecodable("protocol")
    parameters = document.get("parameters")
    if isinstance(parameters, dict) and parameters.get("shared_memory_region") is not None:
        raise Undecodable("shared_memory")
    data = document.get("data")
    if data is None:
        raise Undecodable("protocol")  # binary tensors carry a size instead of data
    shape = _shape(document.get("shape"))
    width = math.prod(shape[1:])
    if width == 0:  # rows without a value would be rows on the shape's word alone
        raise Undecodable("shape")
    values = _flat(data, shape)
    if width > MOST_COLUMNS:
        raise Undecodable("too_large")
    if not _CONTAINERS.isdisjoint(map(type, values)):
        raise Undecodable("shape")
    return Tensor(name=name, datatype=datatype, rows=shape[0], width=width, values=values)


def _shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, list) or not 1 <= len(shape) <= _MOST_DIMENSIONS:
        raise Undecodable("shape")
    if not all(type(size) is int and 0 <= size < 1 << 53 for size in shape):
        raise Undecodable("shape")
    return tuple(shape)


def _flat(data: object, shape: tuple[int, ...]) -> list[Any]:
    if not isinstance(data, list):
        raise Undecodable("shape")
    values: list[Any] = data
    if data and isinstance(data[0], list):
        if len(data) != shape[0]:
            raise Undecodable("shape")
        for size in shape[1:]:
            if not all(type(row) is list and len(row) == size for row in values):
                raise Undecodable("shape")
            values = list(chain.from_iterable(values))
    if len(values) != math.prod(shape):
        raise Undecodable("shape")
    return values


def _column(values: list[Any], *, numeric: bool) -> Column:
    return _numbers(values) if numeric and _NUMBERS.issuperset(map(type, values)) else values


def _numbers(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Null becomes NaN: both are missing."""
    try:
        return np.asarray(values, dtype=np.float64)
    except OverflowError:  # an integer beyond 1.8e308: as far out as a float can say
        return np.asarray([_nearest(value) for value in values], dtype=np.float64)


def _nearest(value: float | None) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:
        return math.inf if value is not None and value > 0 else -math.inf
