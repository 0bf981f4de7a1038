"""KServe's V1 protocol: rows under `instances`, answers under `predictions`; row bodies of others look the same.

A model of one's own may answer any JSON; then `score_path` says where. Called by `reading`.
Source: KServe, "V1 inference protocol".
"""

from __future__ import annotations

from sidecar.payload.columns import Columns
from sidecar.payload.naming import columns_of
from sidecar.payload.outputs import prediction_of
from sidecar.payload.rows import row_tensors, tensors_in
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Prediction


def features(document: object, names: tuple[str, ...]) -> Columns:
    """Columns of `instances`: lists of values, or objects whose keys are the features."""
    rows = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise Undecodable("protocol")
    return columns_of(row_tensors(rows), names)


def prediction(document: object, prediction_name: str | None) -> Prediction:
    """Labels and scores of `predictions`: a list with one entry a row, or an object of columns."""
    if not isinstance(document, dict) or "predictions" not in document:
        raise Undecodable("protocol")
    return prediction_of(tensors_in(document["predictions"]), prediction_name)
