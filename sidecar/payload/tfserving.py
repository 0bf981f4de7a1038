"""TensorFlow Serving's REST API: predict in row and column form, classify and regress.

Invariant: `{"b64": …}` is the text that it encodes, wherever a value may stand (`tensor`); bare NaN and Infinity are
numbers (`document`). Called by `reading`.
Source: TensorFlow Serving, "RESTful API".
"""

from __future__ import annotations

from typing import Any

from sidecar.payload import kserve_v1
from sidecar.payload.columns import Columns
from sidecar.payload.naming import columns_of
from sidecar.payload.outputs import label_text, prediction_of
from sidecar.payload.rows import row_tensors, tensors_in
from sidecar.payload.tensor import UNTYPED, Tensor, are_numbers, numbers
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Prediction


def features(document: object, names: tuple[str, ...]) -> Columns:
    """Columns of `instances` (rows), `inputs` (columns), or `examples` with what `context` says of all of them."""
    if not isinstance(document, dict):
        raise Undecodable("protocol")
    if "instances" in document:
        return kserve_v1.features(document, names)
    if "inputs" in document:
        return columns_of(tensors_in(document["inputs"]), names)
    examples = document.get("examples")
    if not isinstance(examples, list):
        raise Undecodable("protocol")
    context = document.get("context")
    if isinstance(context, dict) and context and all(type(example) is dict for example in examples):
        if len(context) * len(examples) > 1_000_000:
            raise Undecodable("too_large")
        examples = [{**context, **example} for example in examples]
    return columns_of(row_tensors(examples), names)


def prediction(document: object, prediction_name: str | None) -> Prediction:
    """Labels and scores of `predictions` (rows), `outputs` (columns), or `results`."""
    if not isinstance(document, dict):
        raise Undecodable("protocol")
    if "predictions" in document:
        return kserve_v1.prediction(document, prediction_name)
    if "outputs" in document:
        return prediction_of(tensors_in(document["outputs"]), prediction_name)
    results = document.get("results")
    if not isinstance(results, list):
        raise Undecodable("protocol")
    if results and isinstance(results[0], list):
        return _classes(results)
    return prediction_of([Tensor("score", UNTYPED, len(results), 1, results)] if results else [], None)


def _classes(results: list[Any]) -> Prediction:
    """Rows of [label, score] pairs, one for each class; a model without labels leaves them empty."""
    labels: list[str] = []
    scores: list[float] = []
    for row in results:
        if type(row) is not list or not row or not all(type(pair) is list and len(pair) == 2 for pair in row):
            raise Undecodable("shape")
        said = [pair[1] for pair in row]
        if not are_numbers(said) or any(isinstance(pair[0], (list, dict)) for pair in row):
            raise Undecodable("shape")
        values = numbers(said)
        top = int(values.argmax())
        labels.append(label_text(row[top][0]) or str(top))
        # Of two classes the one whose label comes second, since rows may be sorted by likelihood.
        second = max((label_text(pair[0]), place) for place, pair in enumerate(row))[1]
        scores.append(float(values[second] if len(row) == 2 else values[top]))
    return Prediction(labels=tuple(labels), scores=tuple(scores))
