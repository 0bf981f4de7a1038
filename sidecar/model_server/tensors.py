"""Tensors of the Open Inference Protocol V2 (JSON form) to and from numpy arrays.

Invariant: an array handed on has exactly the datatype and shape that the model declares;
whatever the JSON claims is checked against what it holds before anything is allocated.
Nothing is guessed: a string is not a number, true is not 1, null is not NaN.
It does not parse bytes, run models or do any I/O; `model.py` calls it.
The protocol: Open Inference Protocol V2, "Tensor Data", row-major, flat or nested.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.model_server.errors import RequestRefused

Array = npt.NDArray[Any]

DYNAMIC = -1  # how V2 metadata writes a dimension that the caller chooses

# What onnxruntime calls a tensor type, what V2 calls it, and numpy's type for it.
_RUNTIME_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_NUMPY_TYPES: dict[str, npt.DTypeLike] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}


def _json_types(datatype: str) -> frozenset[type]:
    if datatype == "BOOL":
        return frozenset({bool})
    if datatype == "BYTES":
        return frozenset({str})
    return frozenset({int, float}) if datatype.startswith("FP") else frozenset({int})


_JSON_TYPES = {datatype: _json_types(datatype) for datatype in _NUMPY_TYPES}
_JSON_NAMES = {
    bool: "a boolean",
    str: "a string",
    int: "an integer",
    float: "a fraction",
    type(None): "null",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A model's input or output as it declares it; DYNAMIC stands for a free dimension.

    `shape` is None when the model does not say: then every shape is let through to the runtime.
    """

    name: str
    datatype: str
    shape: tuple[int, ...] | None

    @classmethod
    def of_runtime(cls, name: str, kind: str, shape: Sequence[object]) -> TensorSpec | None:
        """Translate onnxruntime's description; None for what the protocol cannot carry (maps, sequences)."""
        datatype = _RUNTIME_DATATYPES.get(kind)
        if datatype is None:
            return None
        dimensions = tuple(size if isinstance(size, int) and size >= 0 else DYNAMIC for size in shape)
        # onnxruntime describes a scalar and a tensor of unknown rank alike, by an empty shape.
        return cls(name, datatype, dimensions or None)

    def metadata(self) -> dict[str, object]:
        """The entry of `GET /v2/models/{name}`."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape or (DYNAMIC,))}


def quoted(text: object) -> str:
    """A caller's word as it may stand in a sentence: printable, and short whatever was sent."""
    if not isinstance(text, str):
        return _JSON_NAMES.get(type(text), "something else")
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def read_inputs(inputs: object, specs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    """The `inputs` member of a request as arrays by name, in the shapes that the model declares.

    All inputs whose first dimension is free must hold the same number of rows, at least one.

    Raises:
        RequestRefused: anything is missing, unknown, doubled, or not what it says it is.
    """
    if not isinstance(inputs, list) or not inputs:
        raise RequestRefused("'inputs' must be a list of tensors with at least one entry")
    arrays: dict[str, Array] = {}
    for tensor in inputs:
        if not isinstance(tensor, dict):
            raise RequestRefused(f"every entry of 'inputs' must be an object, not {quoted(tensor)}")
        name = tensor.get("name")
        if not isinstance(name, str):
            raise RequestRefused("every entry of 'inputs' needs a 'name' that is a string")
        spec = specs.get(name)
        if spec is None:
            raise RequestRefused(f"unknown input {quoted(name)}: the model takes {_names(specs)}")
        if name in arrays:
            raise RequestRefused(f"input {quoted(name)} is given twice")
        try:
            array = read_tensor(tensor, spec)
        except RequestRefused as refusal:  # the sentence's subject; built here to cost nothing when all is well
            raise RequestRefused(f"input {quoted(name)} {refusal}") from None
        arrays[name] = array
    if len(arrays) < len(specs):
        missing = [name for name in specs if name not in arrays]
        raise RequestRefused(f"missing input {', '.join(map(quoted, missing))}")
    _check_rows(arrays, specs)
    return arrays


def read_tensor(tensor: Mapping[str, object], spec: TensorSpec) -> Array:
    """One V2 tensor as an array of the declared datatype and shape; `[n]` stands for `[n, 1]` and back.

    Raises:
        RequestRefused: datatype, shape or values do not fit the model, or each other; a sentence without subject.
    """
    datatype = tensor.get("datatype")
    if datatype != spec.datatype:
        raise RequestRefused(f"has datatype {quoted(datatype)}, the model takes {spec.datatype}")
    shape = _claimed_shape(tensor.get("shape"))
    target = _fitted(shape, spec)
    if "data" not in tensor:
        raise RequestRefused("has no 'data' (binary and shared-memory tensors are not supported)")
    flat = _flattened(tensor["data"], shape)
    return _array(flat, spec.datatype).reshape(target)


def write_tensor(name: str, datatype: str, array: Array) -> dict[str, object]:
    """An output array as a V2 tensor with flat data; numbers stay an array for the JSON writer."""
    contiguous = np.ascontiguousarray(array)
    data: object = contiguous.ravel()
    if datatype == "BYTES":
        data = [str(item) for item in contiguous.ravel()]
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": data}


def is_finite(array: Array) -> bool:
    """False if the array holds a NaN or an infinity, which JSON proper cannot write."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _claimed_shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise RequestRefused("needs a 'shape' that is a list of non-negative integers")
    if not 1 <= len(shape) <= 32:  # numpy's own bound is 64; no model comes near either
        raise RequestRefused("must have between 1 and 32 dimensions")
    if 0 in shape:
        raise RequestRefused("is empty: its shape holds a 0")
    return tuple(shape)


def _fitted(shape: tuple[int, ...], spec: TensorSpec) -> tuple[int, ...]:
    """The model's form of the claimed shape: a column may come as a vector and a vector as a column."""
    if spec.shape is None:
        return shape
    fitted = shape
    if len(spec.shape) == 2 and len(shape) == 1 and spec.shape[1] in (1, DYNAMIC):
        fitted = (*shape, 1)
    elif len(spec.shape) == 1 and len(shape) == 2 and shape[1] == 1:
        fitted = shape[:1]
    fits = len(fitted) == len(spec.shape)
    for size, declared in zip(fitted, spec.shape, strict=False):
        fits = fits and declared in (DYNAMIC, size)
    if not fits:
        told = str(list(shape)) if max(shape) < 10**12 and len(shape) < 9 else "that does not fit"
        raise RequestRefused(f"has shape {told}, the model takes {list(spec.shape)}")
    return fitted


def _flattened(data: object, shape: tuple[int, ...]) -> list[object]:
    """Flat, row-major values. Nested data must follow the shape at every level."""
    if not isinstance(data, list):
        raise RequestRefused(f"needs 'data' that is a list, not {quoted(data)}")
    values: list[object] = data
    if data and isinstance(data[0], list):
        if len(data) != shape[0]:
            raise RequestRefused(f"has {len(data)} rows of data, its shape says otherwise")
        for size in shape[1:]:
            rows = [row for row in values if isinstance(row, list) and len(row) == size]
            if len(rows) != len(values):
                raise RequestRefused("has nested data that does not follow its shape")
            values = list(chain.from_iterable(rows))
    if len(values) != math.prod(shape):
        raise RequestRefused(f"has {len(values)} values, its shape says otherwise")
    return values


def _array(values: list[object], datatype: str) -> Array:
    strangers = set(map(type, values)) - _JSON_TYPES[datatype]
    if strangers:
        told = ", ".join(sorted(_JSON_NAMES[kind] for kind in strangers))
        raise RequestRefused(f"is {datatype} and must not hold {told}")
    if datatype == "BYTES":
        _check_unicode(values)
    try:
        with np.errstate(over="raise"):  # 1e39 must not become an infinite FP32 in silence
            return np.array(values, dtype=_NUMPY_TYPES[datatype])
    except (OverflowError, FloatingPointError):
        raise RequestRefused(f"holds a number too large for {datatype}") from None


def _check_unicode(values: list[object]) -> None:
    """Refuse half a surrogate pair: the lenient JSON parser lets it by, the runtime cannot store it."""
    try:
        "".join(map(str, values)).encode()
    except UnicodeEncodeError:
        raise RequestRefused("holds a string that is not valid Unicode") from None


def _check_rows(arrays: Mapping[str, Array], specs: Mapping[str, TensorSpec]) -> None:
    rows: dict[int, str] = {}
    for name, array in arrays.items():
        shape = specs[name].shape
        if shape is not None and shape[0] == DYNAMIC:
            rows.setdefault(array.shape[0], name)
    if len(rows) > 1:
        told = ", ".join(f"{quoted(name)} has {count}" for count, name in rows.items())
        raise RequestRefused(f"inputs must have the same number of rows: {told}")


def _names(specs: Mapping[str, TensorSpec]) -> str:
    return ", ".join(quoted(name) for name in specs)
