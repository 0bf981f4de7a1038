"""Open Inference Protocol V2 in JSON: feature columns of a request, labels and scores of an answer.

Invariant: only what is on the wire is read; tensors in shared memory are named as such. `parameters` carry no values.
Does not read binary tensors (`oip_binary` does) nor gRPC. Called by `reading`.
Source: Open Inference Protocol V2, "Inference", REST; Triton, "Classification" and "System shared memory" extensions.
"""

from __future__ import annotations

from typing import Any

from sidecar.payload.columns import Columns
from sidecar.payload.naming import columns_of
from sidecar.payload.outputs import classified, prediction_of
from sidecar.payload.tensor import DATATYPES, MOST_COLUMNS, Tensor, shape_of, shaped
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Prediction


def features(document: object, names: tuple[str, ...]) -> Columns:
    """Columns of a request's `inputs`. `names` are the features in order, for tensors without names."""
    return columns_of([_tensor(entry) for entry in entries(document, "inputs")], names)


def prediction(document: object, prediction_name: str | None) -> Prediction:
    """Labels and scores of an answer's `outputs`."""
    return prediction_of([batched(_tensor(entry), entry) for entry in entries(document, "outputs")], prediction_name)


def entries(document: object, key: str) -> list[Any]:
    """The tensors' own documents.

    Raises:
        Undecodable: "protocol" when there are none, "shape" when they are none, "too_large" beyond MOST_COLUMNS.
    """
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise Undecodable("protocol")
    if not found:
        raise Undecodable("shape")
    if len(found) > MOST_COLUMNS:
        raise Undecodable("too_large")
    return found


def head_of(entry: Any) -> tuple[str, str, dict[str, Any]]:
    """A tensor's name, datatype and parameters.

    Raises:
        Undecodable: "protocol" when it is no V2 tensor.
    """
    if not isinstance(entry, dict):
        raise Undecodable("protocol")
    name, datatype = entry.get("name"), entry.get("datatype")
    if not isinstance(name, str) or not isinstance(datatype, str) or datatype not in DATATYPES:
        raise Undecodable("protocol")
    parameters = entry.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    if parameters.get("shared_memory_region") is not None:
        raise Undecodable("shared_memory")
    return name, datatype, parameters


def batched(tensor: Tensor, entry: dict[str, Any]) -> Tensor:
    """Classification texts without a batch dimension are the top classes of one row."""
    one_dimension = len(entry["shape"]) == 1 and tensor.rows > 1 and tensor.datatype == "BYTES"
    if not one_dimension or classified(list(tensor.values)) is None:
        return tensor
    return Tensor(tensor.name, tensor.datatype, 1, tensor.rows, tensor.values)


def _tensor(entry: Any) -> Tensor:
    """One entry of `inputs` or `outputs`.

    Raises:
        Undecodable: as `head_of` and `shaped`; "protocol" for binary tensors, which have a size instead of data.
    """
    name, datatype, _ = head_of(entry)
    data = entry.get("data")
    if data is None:
        raise Undecodable("protocol")
    return shaped(name, datatype, shape_of(entry.get("shape")), data)
