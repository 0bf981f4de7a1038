"""MLflow's scoring protocol, `/invocations`, which other platforms speak, too: four forms of JSON (CSV: `plain_csv`).

Invariant: `params` are no features; bodies for language models (`messages`, `input`, `prompt`) are not read.
An answer is a list, a list of objects, or an object of columns, under `predictions` or (before MLflow 2) bare.
Called by `reading`. Source: MLflow, "Inference server specification".
"""

from __future__ import annotations

from sidecar.payload.columns import Columns
from sidecar.payload.naming import columns_of
from sidecar.payload.outputs import prediction_of
from sidecar.payload.rows import named_rows, row_tensors, tensors_in
from sidecar.payload.tensor import nested
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Prediction

# Azure's online endpoints say `input_data` for the same form.
_SPLIT = ("dataframe_split", "input_data")
_ROWS = ("dataframe_records", "instances")


def features(document: object, names: tuple[str, ...]) -> Columns:
    """Columns of `dataframe_split`, `dataframe_records`, `instances` or `inputs`."""
    if not isinstance(document, dict):
        raise Undecodable("protocol")
    for key in _SPLIT:
        if isinstance(table := document.get(key), dict):
            return _split(table, names)
    for key in _ROWS:
        if isinstance(rows := document.get(key), list):
            return columns_of(row_tensors(rows), names)
    if "inputs" not in document:
        raise Undecodable("protocol")
    return columns_of(tensors_in(document["inputs"]), names)


def _split(table: dict[str, object], names: tuple[str, ...]) -> Columns:
    rows, columns = table.get("data"), table.get("columns")
    if isinstance(columns, list):
        return columns_of(named_rows(columns, rows), names)
    if not isinstance(rows, list):
        raise Undecodable("shape")
    return columns_of([nested("", rows)] if rows else [], names)


def prediction(document: object, prediction_name: str | None) -> Prediction:
    """Labels and scores of `predictions`."""
    if isinstance(document, list):
        return prediction_of(row_tensors(document), prediction_name)
    if not isinstance(document, dict) or "predictions" not in document:
        raise Undecodable("protocol")
    return prediction_of(tensors_in(document["predictions"]), prediction_name)
