"""Seldon's V1 protocol: `data` as `ndarray` or as `tensor`, with the columns' `names`; `jsonData` as plain JSON.

Invariant: an answer's `names` are those of classes unless one of them says label or score. `strData`, `binData` and
`tftensor` are not read. A form field `json=…` holds the same message. Called by `reading`.
Source: Seldon Core 1, "External prediction API".
"""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import unquote_to_bytes

from sidecar.payload import plain_json
from sidecar.payload.columns import Columns
from sidecar.payload.naming import columns_of
from sidecar.payload.outputs import named_like_output, prediction_of
from sidecar.payload.tensor import UNTYPED, Tensor, nested, shape_of, shaped
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Prediction

_MOST_FORM_BYTES = 1_048_576  # unquoted, each byte may need eighty


def features(document: object, names: tuple[str, ...]) -> Columns:
    """Columns of a request."""
    if isinstance(document, dict) and "jsonData" in document:
        return plain_json.features(document["jsonData"], names)
    tensor, given = _table(document)
    if tensor is None:
        return Columns.none()
    if given is not None and len(given) != tensor.width:
        raise Undecodable("shape")
    return columns_of([_named(tensor, given)], names)


def prediction(document: object, prediction_name: str | None) -> Prediction:
    """Labels and scores of an answer."""
    if isinstance(document, dict) and "jsonData" in document:
        return plain_json.prediction(document["jsonData"], prediction_name)
    tensor, given = _table(document)
    if tensor is None:
        return prediction_of([], None)
    apart = given is not None and any(named_like_output(name) or name == prediction_name for name in given)
    return prediction_of([_named(tensor, given) if apart else tensor], prediction_name)


def message_in_form(body: bytes) -> bytes:
    """The message in a form's field `json`; the body itself where it is no such form.

    Raises:
        Undecodable: "too_large" beyond 1 MiB.
    """
    if not body.startswith(b"json="):
        return body
    if len(body) > _MOST_FORM_BYTES:
        raise Undecodable("too_large")
    return unquote_to_bytes(body[5:].partition(b"&")[0].replace(b"+", b" "))


def _table(document: object) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """The values, and the names of their columns if there are any."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise Undecodable("protocol")
    given = data.get("names")
    names = tuple(given) if isinstance(given, list) and given and all(isinstance(n, str) for n in given) else None
    if isinstance(rows := data.get("ndarray"), list):
        one_row = rows and names is not None and type(rows[0]) not in (list, dict) and len(names) == len(rows) > 1
        return (nested("", [rows] if one_row else rows) if rows else None), names
    tensor = data.get("tensor")
    if not isinstance(tensor, dict):
        raise Undecodable("protocol")
    shape = shape_of(tensor.get("shape"))
    return (_shaped(shape, tensor.get("values")) if math.prod(shape) else None), names


def _shaped(shape: tuple[int, ...], values: Any) -> Tensor:
    return shaped("", UNTYPED, shape, values)


def _named(tensor: Tensor, names: tuple[str, ...] | None) -> Tensor:
    """With the payload's names, where they are as many as the columns."""
    if names is None or len(names) != tensor.width:
        return tensor
    return Tensor(tensor.name, tensor.datatype, tensor.rows, tensor.width, tensor.values, names)
