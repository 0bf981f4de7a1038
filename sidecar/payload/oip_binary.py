"""Open Inference Protocol V2 with the binary tensor data extension: JSON, and raw tensors behind it, both ways.

Invariant: numbers are views of the body, nothing is copied for them; sizes are believed only when they are exactly
those of the shapes and together exactly those of the body. Tensors with `data` may stand among binary ones.
Called by `reading` where `Inference-Header-Content-Length` says so; on the wire that header alone tells.
Source: Triton, "Binary tensor data extension": little-endian, row-major, BYTES by 4-byte lengths.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidecar.payload import oip
from sidecar.payload.columns import Columns
from sidecar.payload.document import parse
from sidecar.payload.naming import columns_of
from sidecar.payload.outputs import prediction_of
from sidecar.payload.tensor import ITEM_BYTES, MOST_COLUMNS, Tensor, shape_of, shaped, viewed
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Prediction

_LENGTH_BYTES = 4
_SMALLEST_FP32 = float(np.finfo(np.float32).tiny)


def features(body: bytes, json_bytes: int, names: tuple[str, ...]) -> Columns:
    """Columns of a request's `inputs`; with `json_bytes` 0 the whole body is one tensor that only the model knows."""
    if json_bytes == 0:
        return _raw(body, names)
    return columns_of(_tensors(body, json_bytes, "inputs"), names)


def prediction(body: bytes, json_bytes: int, prediction_name: str | None) -> Prediction:
    """Labels and scores of an answer's `outputs`."""
    return prediction_of(_tensors(body, json_bytes, "outputs"), prediction_name)


def _tensors(body: bytes, json_bytes: int, key: str) -> list[Tensor]:
    if not 0 < json_bytes <= len(body):
        raise Undecodable("shape")
    at = json_bytes
    tensors: list[Tensor] = []
    for entry in oip.entries(parse(body[:json_bytes]), key):
        name, datatype, parameters = oip.head_of(entry)
        shape = shape_of(entry.get("shape"))
        size = parameters.get("binary_data_size")
        if size is None:
            if entry.get("data") is None:
                raise Undecodable("protocol")
            tensor = shaped(name, datatype, shape, entry["data"])
        else:
            if type(size) is not int or not 0 <= size <= len(body) - at:
                raise Undecodable("shape")
            values = _values(body, at, size, datatype, math.prod(shape))
            at += size
            width = math.prod(shape[1:])
            if width > MOST_COLUMNS:
                raise Undecodable("too_large")
            tensor = Tensor(name, datatype, shape[0], width, values)
        tensors.append(oip.batched(tensor, entry))
    if at != len(body):
        raise Undecodable("shape")
    return tensors


def _values(body: bytes, at: int, size: int, datatype: str, count: int) -> NDArray[Any] | list[Any]:
    """So many values of a raw tensor."""
    if datatype == "BYTES":
        return _texts(body, at, size, count)
    if size != count * ITEM_BYTES[datatype]:
        raise Undecodable("shape")
    return viewed(body, datatype, count, at)


def _texts(body: bytes, at: int, size: int, count: int) -> list[Any]:
    if count * _LENGTH_BYTES > size:
        raise Undecodable("shape")
    end = at + size
    texts: list[Any] = []
    for _ in range(count):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(body[at:start], "little")
        if at > end or start > end:
            raise Undecodable("shape")
        texts.append(body[start:at].decode(errors="backslashreplace"))
    if at != end:
        raise Undecodable("shape")
    return texts


def _raw(body: bytes, names: tuple[str, ...]) -> Columns:
    """One row of all features, four or eight bytes each: more cannot be told without the model.

    Whether they are integers or floats is: small integers read as floats are subnormal, which features never are.
    """
    width = len(names)
    if not width or len(body) not in (4 * width, 8 * width):
        raise Undecodable("shape")
    size = len(body) // width
    floats = np.frombuffer(body, f"<f{size}")
    tiny = _SMALLEST_FP32 if size == 4 else float(np.finfo(np.float64).tiny)
    subnormal = (np.abs(floats) < tiny) & (floats != 0)
    values = np.frombuffer(body, f"<i{size}") if subnormal.any() else floats
    return Columns(1, names, values.reshape(1, width))
