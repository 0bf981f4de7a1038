"""How a deployment's requests look, learnt from one of them: enough to write rows of one's own in the same form.

Keeps: a form holds names, types and parameters, never a value of the request it was learnt from. What is written
reads back as the rows that were given, under the same names; missing values are null.
Does not: know every form. Open Inference V2 JSON, `instances`, `dataframe_split` and `dataframe_records` can be
written; others (binary tensors, CSV, compressed bodies) have no form, and who asks must do without.
Called by: the watch (`form_of`), the proof of a cause by re-scoring (`write`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import orjson

from sidecar.payload.document import parse
from sidecar.payload.undecodable import Undecodable

MOST_FORM_BYTES = 16_384
_INTEGERS = ("INT", "UINT")
_LEAST, _LARGEST = -(1 << 63), (1 << 64) - 1  # of an integer in JSON that orjson writes
_NOT_HERE = ("shared_memory_region", "binary_data_size", "sequence_id")
_KEPT_MEMBERS = ("outputs", "parameters", "signature_name", "params")


class TensorForm(msgspec.Struct, frozen=True):
    """One tensor of Open Inference V2: its `columns` are the features it holds, `tail` its shape behind the rows."""

    name: str
    datatype: str
    tail: tuple[int, ...]
    columns: tuple[str, ...]
    parameters: dict[str, Any] | None


class RequestForm(msgspec.Struct, frozen=True):
    """A request without its values. `kind` says how rows are laid out; `beside` are members beside the rows.

    `rows` is how many it had: some models take no other number.
    """

    path: str
    rows: int
    kind: Literal["oip", "objects", "lists", "split"]
    key: str
    columns: tuple[str, ...]
    tensors: tuple[TensorForm, ...]
    beside: dict[str, Any]


def form_of(
    path: str, content_type: str, content_encoding: str, body: bytes, columns: Sequence[str]
) -> RequestForm | None:
    """The form of a request whose features were read as `columns`, in their order; None where it cannot be written.

    >>> form = form_of("/p", "", "", b'{"instances": [[1, 2]]}', ["a", "b"])
    >>> form.kind, write(form, [{"a": 3.0, "b": None}])
    ('lists', b'{"instances":[[3.0,null]]}')
    """
    if content_encoding.strip().lower() not in ("", "identity") or not columns:
        return None
    if content_type.strip().lower().startswith("text/csv"):
        return None
    try:
        document = parse(body)
    except Undecodable:
        return None
    if not isinstance(document, dict):
        return None
    beside = {name: document[name] for name in _KEPT_MEMBERS if name in document}
    if not _small(beside) or _elsewhere(document.get("parameters")):
        return None
    return _tensors_form(path, document, tuple(columns), beside) or _rows_form(path, document, tuple(columns), beside)


def _tensors_form(
    path: str, document: dict[str, Any], names: tuple[str, ...], beside: dict[str, Any]
) -> RequestForm | None:
    """Open Inference V2: tensors that hold their values in JSON."""
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(map(_is_tensor, inputs)):
        return None
    tensors = _tensor_forms(inputs, names)
    rows: int = inputs[0]["shape"][0]
    return None if tensors is None else RequestForm(path, rows, "oip", "inputs", names, tensors, beside)


def _rows_form(
    path: str, document: dict[str, Any], names: tuple[str, ...], beside: dict[str, Any]
) -> RequestForm | None:
    """Rows as objects or as lists, under one of the keys by which model servers know them."""
    split = document.get("dataframe_split")
    if isinstance(split, dict) and split.get("columns") == list(names) and isinstance(split.get("data"), list):
        return RequestForm(path, len(split["data"]), "split", "dataframe_split", names, (), beside)
    for key in ("dataframe_records", "instances"):
        rows = document.get(key)
        if not isinstance(rows, list) or not rows:
            continue
        if isinstance(rows[0], dict) and rows[0].keys() <= set(names):
            return RequestForm(path, len(rows), "objects", key, names, (), beside)
        if isinstance(rows[0], list) and len(rows[0]) == len(names) and not _nested(rows[0]):
            return RequestForm(path, len(rows), "lists", key, names, (), beside)
    return None


def write(form: RequestForm, rows: Sequence[Mapping[str, object]]) -> bytes:
    """A body with these rows in this form. Features that a row lacks are null, or left out where rows are objects."""
    document: dict[str, Any] = dict(form.beside)
    if form.kind == "oip":
        document["inputs"] = [_tensor(tensor, rows) for tensor in form.tensors]
    elif form.kind == "objects":
        document[form.key] = [{name: _value(row[name]) for name in form.columns if name in row} for row in rows]
    else:
        lists = [[_value(row.get(name)) for name in form.columns] for row in rows]
        document[form.key] = {"columns": list(form.columns), "data": lists} if form.kind == "split" else lists
    return orjson.dumps(document)


def _tensor_forms(entries: list[Any], columns: tuple[str, ...]) -> tuple[TensorForm, ...] | None:
    """The tensors with their columns; None where one holds no values in JSON or the columns do not add up."""
    forms: list[TensorForm] = []
    taken = 0
    for entry in entries:
        parameters = entry.get("parameters") if isinstance(entry, dict) else None
        if not _is_tensor(entry) or _elsewhere(parameters) or not _small(parameters):
            return None
        tail = tuple(entry["shape"][1:])
        width = math.prod(tail)
        forms.append(
            TensorForm(
                name=entry["name"],
                datatype=entry["datatype"],
                tail=tail,
                columns=columns[taken : taken + width],
                parameters=parameters,
            )
        )
        taken += width
    return tuple(forms) if taken == len(columns) else None


def _is_tensor(entry: object) -> bool:
    if not isinstance(entry, dict) or "data" not in entry:
        return False
    shape = entry.get("shape")
    return (
        isinstance(entry.get("name"), str)
        and isinstance(entry.get("datatype"), str)
        and isinstance(shape, list)
        and bool(shape)
        and all(type(size) is int and 0 <= size < 1 << 31 for size in shape)
    )


def _tensor(tensor: TensorForm, rows: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    whole, flag = tensor.datatype.startswith(_INTEGERS), tensor.datatype == "BOOL"
    data = [_value(row.get(name), whole=whole, flag=flag) for row in rows for name in tensor.columns]
    written: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": [len(rows), *tensor.tail],
        "data": data,
    }
    return written if tensor.parameters is None else {**written, "parameters": tensor.parameters}


def _value(value: object, *, whole: bool = False, flag: bool = False) -> object:
    """A value as JSON has it: no NaN, integers where the tensor's type asks for them."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        if flag:
            return bool(value)
        if whole:
            return round(value)
    if isinstance(value, int) and not _LEAST <= value <= _LARGEST:
        return _nearest(value)
    return value


def _nearest(value: int) -> float | None:
    """What a reader of 64 bits makes of a longer integer; None beyond every float."""
    try:
        return float(value)
    except OverflowError:
        return None


def _elsewhere(parameters: object) -> bool:
    """Whether values are not in this body, or belong to a sequence of requests that must not be added to."""
    return isinstance(parameters, dict) and any(parameters.get(name) is not None for name in _NOT_HERE)


def _small(members: object) -> bool:
    """Whether members can be written again, some levels further in: not all that can be read can be."""
    if members is None:
        return True
    try:
        return isinstance(members, dict) and len(orjson.dumps([[[[members]]]])) <= MOST_FORM_BYTES
    except orjson.JSONEncodeError:  # nested too deep, or an integer that is too long
        return False


def _nested(row: list[Any]) -> bool:
    return any(isinstance(value, (list, dict)) for value in row)
