"""One named tensor of a payload: flat values that fit its shape, whatever the protocol called it.

Invariant: `values` holds exactly `rows` times `width` values; a shape is believed only after counting, and nothing
is allocated on its word. Numbers become float64 in one step (integers beyond 2^53 are rounded); a column whose JSON
types contradict its datatype stays a list, so that wrong types can be counted.
Made by the protocol readers, used by `naming` and `outputs`.
"""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.payload.undecodable import Undecodable
from sidecar.records import Column

INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
FLOATS = frozenset({"FP16", "FP32", "FP64", "BF16"})
NUMERIC = INTEGERS | FLOATS
DATATYPES = NUMERIC | {"BOOL", "BYTES"}
UNTYPED = ""  # JSON's own types decide
# As numpy calls them; on the wire everything is little-endian.
DTYPES = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "BF16": "<u2",  # the upper half of an FP32
    "FP32": "<f4",
    "FP64": "<f8",
}
ITEM_BYTES = {datatype: np.dtype(dtype).itemsize for datatype, dtype in DTYPES.items()}
MOST_COLUMNS = 10_000  # a baseline holds at most half of it
MOST_DIMENSIONS = 32
_KEPT_BYTES = 16_384

_NUMBERS = frozenset({int, float, type(None)})
_CONTAINERS = frozenset({list, dict})


class Tensor(msgspec.Struct, frozen=True):
    """`rows` rows of `width` values each, row-major in `values`.

    `names` are those of its columns where the payload names them. `values` of a binary tensor are a view of the body.
    """

    name: str
    datatype: str
    rows: int
    width: int
    values: list[Any] | NDArray[Any]
    names: tuple[str, ...] | None = None

    def matrix(self) -> NDArray[Any] | None:
        """The values as (rows, width), if they are numbers and nothing else."""
        values = self.values
        if isinstance(values, np.ndarray):
            return values.reshape(self.rows, self.width) if values.dtype.kind in "fiu" else None
        if self.datatype != UNTYPED and self.datatype not in NUMERIC:
            return None
        return numbers(values).reshape(self.rows, self.width) if are_numbers(values) else None

    def column(self, place: int) -> Column:
        """One column; as numbers if it is one of numbers."""
        values = self.values[place :: self.width]
        if isinstance(values, np.ndarray):
            return values
        numeric = self.datatype == UNTYPED or self.datatype in NUMERIC
        return numbers(values) if numeric and are_numbers(values) else values


def viewed(body: bytes, datatype: str, count: int, at: int) -> NDArray[Any]:
    """So many numbers of a body, as they lie there.

    Copied if the body is mostly something else: the view would keep all of it as long as its rows wait to be counted.
    """
    values = np.frombuffer(body, DTYPES[datatype], count, at)
    if datatype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.copy() if len(body) > _KEPT_BYTES + 2 * values.nbytes else values


def are_numbers(values: Sequence[object]) -> bool:
    """Whether there are only numbers (no booleans) and nulls."""
    return _NUMBERS.issuperset(map(type, values))


def numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
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


def shape_of(shape: object) -> tuple[int, ...]:
    """A shape as JSON has it; the product of all but the first size is not 0."""
    if not isinstance(shape, list) or not 1 <= len(shape) <= MOST_DIMENSIONS:
        raise Undecodable("shape")
    if not all(type(size) is int and 0 <= size < 1 << 53 for size in shape):
        raise Undecodable("shape")
    if math.prod(shape[1:]) == 0:  # rows without a value would be rows on the shape's word alone
        raise Undecodable("shape")
    return tuple(shape)


def shaped(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Tensor:
    """A tensor of JSON data, flat or nested as its shape says.

    Raises:
        Undecodable: "shape" when data and shape disagree or the data holds objects, "too_large" beyond MOST_COLUMNS.
    """
    if not isinstance(data, list):
        raise Undecodable("shape")
    values: list[Any] = data
    if data and isinstance(data[0], list):
        if len(data) != shape[0]:
            raise Undecodable("shape")
        for size in shape[1:]:
            values = _opened(values, size)
    if len(values) != math.prod(shape):
        raise Undecodable("shape")
    return _tensor(name, datatype, shape[0], math.prod(shape[1:]), values)


def nested(name: str, rows: list[Any], names: tuple[str, ...] | None = None) -> Tensor:
    """A tensor of rows that tell their shape by how they are nested; the first one's is everybody's.

    Raises:
        Undecodable: as `shaped`, and "shape" where `names` are not as many as the columns.
    """
    values, width = rows, 1
    for _ in range(MOST_DIMENSIONS):
        if not values or type(values[0]) is not list:
            break
        size = len(values[0])
        if size == 0:
            raise Undecodable("shape")
        width *= size
        values = _opened(values, size)
    if names is not None and len(names) != width and rows:
        raise Undecodable("shape")
    return _tensor(name, UNTYPED, len(rows), width if rows or names is None else len(names), values, names)


def _tensor(
    name: str, datatype: str, rows: int, width: int, values: list[Any], names: tuple[str, ...] | None = None
) -> Tensor:
    if width > MOST_COLUMNS:
        raise Undecodable("too_large")
    if not _CONTAINERS.isdisjoint(map(type, values)):
        values = [text_of(value) if type(value) is dict else value for value in values]
        if not _CONTAINERS.isdisjoint(map(type, values)):
            raise Undecodable("shape")
    return Tensor(name, datatype, rows, width, values, names)


def _opened(values: list[Any], size: int) -> list[Any]:
    """One level of nesting less."""
    if set(map(type, values)) - {list} or set(map(len, values)) - {size}:
        raise Undecodable("shape")
    return list(chain.from_iterable(values))


def text_of(value: dict[str, Any]) -> Any:
    """TensorFlow Serving's `{"b64": …}` as the text that it stands for; any other object as it is.

    Source: TensorFlow Serving, RESTful API, "Encoding binary values".
    """
    if value.keys() != {"b64"} or not isinstance(value["b64"], str):
        return value
    try:
        return b64decode(value["b64"], validate=True).decode(errors="backslashreplace")
    except ValueError:
        raise Undecodable("shape") from None
