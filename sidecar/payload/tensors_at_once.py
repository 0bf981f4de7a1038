"""The short way for Open Inference messages of plain tensors: decoded by type, numbers in one step.

Invariant: what it returns is what the long way (`oip`, `oip_binary`) would have returned; whatever is unusual (a bare
NaN, a wrong type, a shape that does not fit) gives None, and the long way decides, which alone names faults.
Called by `reading` and `oip_binary`.
"""

from __future__ import annotations

from itertools import chain, compress
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.payload.columns import Columns
from sidecar.payload.naming import columns_of, names_of
from sidecar.payload.tensor import DATATYPES, ITEM_BYTES, MOST_COLUMNS, NUMERIC, Tensor, are_numbers, numbers, viewed
from sidecar.records import Column


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]


class _Numbers(_Tensor):
    data: list[float | None]


class _Nested(_Tensor):
    data: list[list[float | None]]


class _Scalars(_Tensor):
    data: list[int | float | str | bool | None]


class _OfNumbers(msgspec.Struct):
    inputs: list[_Numbers]


class _OfNested(msgspec.Struct):
    inputs: list[_Nested]


class _OfScalars(msgspec.Struct):
    inputs: list[_Scalars]


class _Parameters(msgspec.Struct):
    binary_data_size: int
    shared_memory_region: msgspec.Raw | None = None


class _Binary(_Tensor):
    parameters: _Parameters
    data: None = None


class _OfBinary(msgspec.Struct):
    inputs: list[_Binary]


class _Answer(msgspec.Struct):
    outputs: list[_Scalars]


_numbers = msgspec.json.Decoder(_OfNumbers).decode
_nested = msgspec.json.Decoder(_OfNested).decode
_scalars = msgspec.json.Decoder(_OfScalars).decode
_binary = msgspec.json.Decoder(_OfBinary).decode
_answer = msgspec.json.Decoder(_Answer).decode


def input_columns(body: bytes, names: tuple[str, ...]) -> Columns | None:
    """The columns of a request."""
    # Texts are likely where this stands; where only numbers could be read, no value needs to be looked at twice.
    decode: Any = _scalars if b"BYTES" in body else _numbers
    tensors: list[Any] | None = _decoded(decode, body)
    if tensors is None and decode is _numbers:
        decode = _nested if b"[[" in body else _scalars
        tensors = _decoded(decode, body)
    elif tensors is not None and decode is _numbers and not {tensor.datatype for tensor in tensors} <= NUMERIC:
        decode = _scalars
        tensors = _decoded(decode, body)
    if tensors is None or not 0 < len(tensors) <= MOST_COLUMNS:
        return None
    clean = decode is not _scalars
    if len(tensors) == 1:
        return _wide(tensors[0], names) if clean else None
    return _narrow(tensors, names, clean=clean) if decode is not _nested else None


def _decoded(decode: Any, body: bytes) -> list[Any] | None:
    try:
        return decode(body).inputs  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        return None


def binary_columns(body: bytes, json_bytes: int, names: tuple[str, ...]) -> Columns | None:
    """The columns of a binary request: tensors of one type and size lie behind each other, so one view holds them."""
    try:
        tensors = _binary(body[:json_bytes]).inputs
    except (ValueError, RecursionError):
        return None
    if not 0 < len(tensors) <= MOST_COLUMNS or not _alike(tensors):
        return None
    first, shape = tensors[0], tensors[0].shape
    rows, width = shape[0], shape[1] if len(shape) == 2 else 1
    size = rows * width * ITEM_BYTES[first.datatype]
    fits = first.parameters.binary_data_size == size and len(body) - json_bytes == size * len(tensors)
    if not fits or width > MOST_COLUMNS or (width > 1 and len(tensors) > 1):
        return None
    values = viewed(body, first.datatype, rows * width * len(tensors), json_bytes)
    if len(tensors) == 1:
        return _of_one(first, values, rows, width, names)
    order = own_order(tuple([tensor.name for tensor in tensors]), names)
    return None if order is None else Columns(rows, order, values.reshape(len(tensors), rows).T)


def _alike(tensors: list[_Binary]) -> bool:
    """Whether all are numbers of one type and one shape, and lie in the body."""
    shape, datatype, size = tensors[0].shape, tensors[0].datatype, tensors[0].parameters.binary_data_size
    if datatype not in NUMERIC or not 1 <= len(shape) <= 2 or min(shape) < 1:
        return False
    if any(tensor.parameters.shared_memory_region is not None for tensor in tensors):
        return False
    alike = [(t.shape, t.datatype, t.parameters.binary_data_size) for t in tensors]
    return alike.count((shape, datatype, size)) == len(tensors)


def _of_one(tensor: _Tensor, values: NDArray[Any], rows: int, width: int, names: tuple[str, ...]) -> Columns:
    """The columns of one tensor of numbers."""
    if width == len(names) > 1:
        return Columns(rows, names, values.reshape(rows, width))
    return columns_of([Tensor(tensor.name, tensor.datatype, rows, width, values)], names)


def output_tensors(body: bytes) -> list[Tensor] | None:
    """The outputs of an answer, of which none holds texts that may be Triton's classes."""
    try:
        outputs = _answer(body).outputs
    except (ValueError, RecursionError):
        return None
    if not 0 < len(outputs) <= MOST_COLUMNS:
        return None
    tensors = []
    for output in outputs:
        shape, values = output.shape, output.data
        if len(shape) > 2 or not shape or min(shape) < 1 or output.datatype not in DATATYPES:
            return None
        rows, width = shape[0], shape[1] if len(shape) == 2 else 1
        if rows * width != len(values) or width > MOST_COLUMNS:
            return None
        if rows > 1 and len(shape) == 1 and output.datatype == "BYTES":
            return None
        tensors.append(Tensor(output.name, output.datatype, rows, width, values))
    return tensors


def _narrow(tensors: list[Any], names: tuple[str, ...], *, clean: bool) -> Columns | None:
    """One column a tensor."""
    shape = tensors[0].shape
    parts = [tensor.data for tensor in tensors]
    if [tensor.shape for tensor in tensors].count(shape) != len(tensors) or shape[1:] not in ([], [1]):
        return None
    rows = len(parts[0])
    if shape[:1] != [rows] or set(map(len, parts)) != {rows}:
        return None
    kinds = {tensor.datatype for tensor in tensors}
    order = own_order(tuple([tensor.name for tensor in tensors]), names)
    if order is None or not kinds <= DATATYPES:
        return None
    others: dict[str, Column] | None = None
    columns = order
    if not kinds <= NUMERIC:
        is_number = [tensor.datatype in NUMERIC for tensor in tensors]
        others = {name: part for name, part, number in zip(order, parts, is_number, strict=True) if not number}
        columns, parts = tuple(compress(order, is_number)), list(compress(parts, is_number))
    flat = list(chain.from_iterable(parts))
    if not clean and not are_numbers(flat):
        return None
    return Columns(rows, columns, numbers(flat).reshape(len(parts), rows).T, others, order)


def own_order(own: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The columns' names of tensors of one column each; None where one comes twice."""
    if own == names:
        return names
    if len(set(own)) < len(own):
        return None
    known = frozenset(names)
    if known.issuperset(own):
        return own
    # Beside others, a name that nobody knows is meant all the same: `naming` says when.
    return names_of([Tensor(name, "", 1, 1, []) for name in own], names)


def _wide(tensor: Any, names: tuple[str, ...]) -> Columns | None:
    """One tensor of several columns."""
    shape = tensor.shape
    if not 1 <= len(shape) <= 2 or tensor.datatype not in NUMERIC or min(shape) < 1:
        return None
    rows, width = shape[0], shape[1] if len(shape) == 2 else 1
    if width > MOST_COLUMNS:
        return None
    try:
        block = np.array(tensor.data, dtype=np.float64)  # refuses lists of different lengths
        if block.size != rows * width or (block.ndim == 2 and block.shape != (rows, width)):
            return None
    except ValueError:
        return None
    return _of_one(tensor, block.ravel(), rows, width, names)
