"""Labels and scores among the outputs of an answer, whatever protocol they came by.

Invariant: outputs named like a score and like a label are both kept, the others go by type: floats score; integers,
texts and booleans label. Scores are what is monitored where there are any. Rows that disagree are refused.
Of a vector of two the second place is the score, of a longer one the largest. Called by the protocol readers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal

import numpy as np

from sidecar.payload.tensor import FLOATS, UNTYPED, Tensor, are_numbers, numbers
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Prediction

_SCORE_NAMES = frozenset({"score", "scores", "probability", "probabilities", "proba", "probas"})
_SCORE_ENDINGS = ("_proba", "_probas", "_probability", "_probabilities", "_score", "_scores")
_LABEL_NAMES = frozenset({"label", "labels", "class", "classes"})
_LABEL_ENDINGS = ("_label", "_labels", "_class", "_classes")
_Kind = Literal["score", "label", "predict", ""]

_MOST_KEPT = 128
_WIDEST = 4_096  # a wider row is an image or a text's states, and nobody's ranking
_PREDICT_NAMES = frozenset({"predict", "prediction", "predictions"})
# Triton's classification extension: VALUE:INDEX[:LABEL], the value by printf's %f.
_CLASSIFIED = re.compile(r"(-?(?:[0-9]{1,300}\.[0-9]{6}|nan|inf)):([0-9]{1,9})(?::(.*))?", re.DOTALL)
_CONTAINERS = frozenset({list, dict})


def prediction_of(tensors: Sequence[Tensor], prediction_name: str | None) -> Prediction:
    """The prediction in an answer's outputs. `prediction_name` selects the output that is monitored.

    A chosen label comes without scores, since scores are what is monitored where there are any. The name means nothing
    where there is one output and it has no name.

    Raises:
        Undecodable: "shape".
    """
    if not tensors:
        return Prediction(labels=(), scores=None)
    if tensors[0].datatype == UNTYPED:
        if len(tensors) > 1 or tensors[0].name or tensors[0].names is not None:
            tensors = _readable(_parted(tensors))
        else:
            prediction_name = None
        scores, labels = _sorted(tensors, prediction_name)
    else:
        scores, labels = _typed(tensors, prediction_name)
    if not scores:
        found = next((found for found in map(_of_classes, labels) if found is not None), None)
        if found is not None:
            return found
    label = next((tensor for tensor in labels if tensor.width == 1), None) if labels else None
    score = scores[0] if scores else None
    if label is None and score is None:
        raise Undecodable("shape")
    if label is not None and score is not None and label.rows != score.rows:
        raise Undecodable("shape")
    return Prediction(
        labels=_texts(label) if label is not None else None,
        scores=_scores(score) if score is not None else None,
        vectors=_vectors(score) if score is not None and 2 < score.width <= _WIDEST else None,
    )


def _sorted(tensors: Sequence[Tensor], prediction_name: str | None) -> tuple[list[Tensor], list[Tensor]]:
    """Scores and labels, the likeliest first: a name beats a type.

    One number a row beats a vector, which may as well be an embedding.
    """
    kinds = [_kind(tensor.name) for tensor in tensors]
    beside_score = "score" in kinds
    scores: list[tuple[bool, bool, Tensor]] = []
    labels: list[tuple[bool, bool, Tensor]] = []
    chosen: list[tuple[bool, Tensor]] = []
    for kind, tensor in zip(kinds, tensors, strict=True):
        is_score = _is_score(kind, tensor, beside_score=beside_score)
        if is_score:
            scores.append((kind != "score", tensor.width != 1, tensor))
        else:
            labels.append((kind != "label", kind != "predict", tensor))
        if tensor.name == prediction_name:
            chosen.append((is_score, tensor))
    if prediction_name is not None:
        if len(chosen) != 1:
            raise Undecodable("shape")
        is_score, tensor = chosen[0]
        scores = [(False, False, tensor)] if is_score else []
        labels = labels if is_score else [(False, False, tensor)]
    return _ranked(scores), _ranked(labels)


def _typed(tensors: Sequence[Tensor], prediction_name: str | None) -> tuple[list[Tensor], list[Tensor]]:
    """The same where every tensor tells its type: no value is looked at, and a server's answers are all alike."""
    heads = tuple([(tensor.name, tensor.datatype, tensor.width) for tensor in tensors])
    places = _places if sum(len(name) for name, _, _ in heads) <= _MOST_KEPT else _places.__wrapped__
    scores, labels = places(heads, prediction_name)
    return [tensors[place] for place in scores], [tensors[place] for place in labels]


@lru_cache(maxsize=512)
def _places(
    heads: tuple[tuple[str, str, int], ...], prediction_name: str | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    tensors = [Tensor(name, datatype, 0, width, []) for name, datatype, width in heads]
    places = {id(tensor): place for place, tensor in enumerate(tensors)}
    scores, labels = _sorted(tensors, prediction_name)
    return tuple(places[id(tensor)] for tensor in scores), tuple(places[id(tensor)] for tensor in labels)


def _ranked(found: list[tuple[bool, bool, Tensor]]) -> list[Tensor]:
    if len(found) > 1:
        found.sort(key=itemgetter(0, 1))
    return [tensor for _, _, tensor in found]


def _parted(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tables without a name of their own, or with columns named like outputs: each column is an output."""
    parted: list[Tensor] = []
    for tensor in tensors:
        if tensor.names is None or (tensor.name and not any(map(named_like_output, tensor.names))):
            parted.append(tensor)
        else:
            parted += [
                Tensor(name, tensor.datatype, tensor.rows, 1, tensor.values[place :: tensor.width])
                for place, name in enumerate(tensor.names)
            ]
    return parted


def _readable(tensors: list[Tensor]) -> list[Tensor]:
    """Keys of plain JSON without those that hold no values; only those named like an output, if any is."""
    values = [t for t in tensors if isinstance(t.values, np.ndarray) or _CONTAINERS.isdisjoint(map(type, t.values))]
    return [tensor for tensor in values if named_like_output(tensor.name)] or values


def named_like_output(name: str) -> bool:
    """Whether a name says label, score or prediction; of a dotted one, its last part."""
    return bool(_kind(name))


def _kind(name: str) -> _Kind:
    # A name that anybody may send must not be kept if it is long.
    return _kind_of(name) if len(name) <= _MOST_KEPT else _kind_of.__wrapped__(name)


@lru_cache(maxsize=512)
def _kind_of(name: str) -> _Kind:
    last = name.rpartition(".")[2].lower()
    if last in _SCORE_NAMES or last.endswith(_SCORE_ENDINGS):
        return "score"
    if last in _LABEL_NAMES or last.endswith(_LABEL_ENDINGS):
        return "label"
    return "predict" if last in _PREDICT_NAMES else ""


def _is_score(kind: _Kind, tensor: Tensor, *, beside_score: bool) -> bool:
    if kind == "predict" and beside_score:
        return False  # scikit-learn's predict beside predict_proba: a class, even where classes are floats
    if kind in ("score", "label"):
        return kind == "score"
    if tensor.datatype != UNTYPED:
        return tensor.datatype in FLOATS
    values = tensor.values
    return values.dtype.kind == "f" if isinstance(values, np.ndarray) else float in map(type, values)


def _texts(tensor: Tensor) -> tuple[str, ...]:
    values = _listed(tensor)
    if len(values) == 1:
        return (label_text(values[0]),)
    kinds = set(map(type, values))
    if kinds == {str}:
        return tuple(values)
    return tuple(map(str if kinds == {int} else label_text, values))


def _scores(tensor: Tensor) -> tuple[float, ...]:
    values = tensor.values
    if not isinstance(values, np.ndarray):
        if len(values) == 1 and type(values[0]) is float:
            return (values[0],)
        if not are_numbers(values):
            raise Undecodable("shape")
        if tensor.width == 1 and set(map(type, values)) == {float}:
            return tuple(values)
        values = numbers(values)
    elif values.dtype.kind not in "fiu":
        raise Undecodable("shape")
    table = values.astype(np.float64).reshape(tensor.rows, tensor.width)
    if tensor.width <= 2:
        return tuple(table[:, tensor.width - 1].tolist())
    return tuple(table.max(axis=1).tolist())


def _vectors(tensor: Tensor) -> tuple[tuple[float, ...], ...]:
    """The rows of a table of scores that `_scores` could read."""
    values = tensor.values if isinstance(tensor.values, np.ndarray) else numbers(tensor.values)
    return tuple(map(tuple, values.astype(np.float64).reshape(tensor.rows, tensor.width).tolist()))


def _listed(tensor: Tensor) -> list[Any]:
    return tensor.values.tolist() if isinstance(tensor.values, np.ndarray) else tensor.values


def label_text(value: Any) -> str:
    """A label as text: 1.0 and 1 are one class, whatever a server's JSON makes of it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)  # never too many digits: the parser refused those


def classified(values: list[Any]) -> list[tuple[float, str, str | None]] | None:
    """Value, index and label of Triton's classification texts; None where these are other texts."""
    parts: list[tuple[float, str, str | None]] = []
    for value in values:
        match = _CLASSIFIED.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            return None
        parts.append((float(match[1]), match[2], match[3]))
    return parts


def _of_classes(tensor: Tensor) -> Prediction | None:
    """The prediction in classification texts, the likeliest class first in each row."""
    parts = classified(_listed(tensor)) if tensor.rows else None
    if parts is None:
        return None
    labels: list[str] = []
    scores: list[float] = []
    for start in range(0, len(parts), tensor.width):
        row = parts[start : start + tensor.width]
        value, index, text = row[0]
        labels.append(text or index)
        scores.append(next((other for other, at, _ in row if at == "1"), value) if len(row) == 2 else value)
    return Prediction(labels=tuple(labels), scores=tuple(scores))
