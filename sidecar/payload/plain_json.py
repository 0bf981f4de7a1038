"""Plain JSON: an object is a row, a list of objects is rows; where they lie, `row_path` and `score_path` say.

Invariant: objects in objects have dotted names. An answer's keys are outputs; where some are named like a label or a
score, no other key is mistaken for one. Called by `reading`, and by `seldon` for its `jsonData`.
"""

from __future__ import annotations

from typing import Any

from sidecar.json_path import Steps
from sidecar.payload.columns import Columns
from sidecar.payload.naming import columns_of
from sidecar.payload.outputs import prediction_of
from sidecar.payload.rows import row_tensors
from sidecar.payload.tensor import UNTYPED, Tensor
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Prediction

# What stands in an answer that is a fault told with a 200; the first four alone say so.
_FAULTS = ("error", "errors", "error_code", "detail")
_BESIDE_FAULTS = frozenset(
    {*_FAULTS, "code", "details", "message", "status", "status_code", "type", "title", "instance", "path", "timestamp"}
)


def at_path(document: Any, steps: Steps) -> Any:
    """What lies there.

    Raises:
        Undecodable: "path" when nothing does.
    """
    for step in steps:
        if isinstance(step, str):
            found = isinstance(document, dict) and step in document
        else:
            found = isinstance(document, list) and step < len(document)
        if not found:
            raise Undecodable("path")
        document = document[step]
    return document


def features(document: object, names: tuple[str, ...]) -> Columns:
    """Columns of one row or of rows; a list of values without keys is one row of the features in order."""
    if isinstance(document, dict):
        return columns_of(row_tensors([document]), names)
    if not isinstance(document, list):
        raise Undecodable("protocol")
    if document and len(names) == len(document) > 1 and type(document[0]) not in (list, dict):
        document = [document]
    return columns_of(row_tensors(document), names)


def prediction(document: object, prediction_name: str | None) -> Prediction:
    """Labels and scores: an object is a row's, a list has one entry a row, a bare value is a row's only one."""
    if isinstance(document, dict):
        fault = any(document.get(key) is not None for key in _FAULTS)
        if not document or document.keys() == {"error"} or (fault and document.keys() <= _BESIDE_FAULTS):
            raise Undecodable("protocol")
        row = {key: value for key, value in document.items() if value is not None or key not in _FAULTS}
        return prediction_of(row_tensors([row]), prediction_name)
    if isinstance(document, list):
        return prediction_of(row_tensors(document), prediction_name)
    return prediction_of([Tensor("", UNTYPED, 1, 1, [document])], None)
