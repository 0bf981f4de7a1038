"""Open Inference Protocol V2 (JSON): feature columns of a request, labels and scores of an answer.

Invariant: a tensor with one column is a feature under its own name; a wide tensor's columns are named from outside
where the count fits, else NAME[0], NAME[1] ... Never guessed: rows that disagree between tensors are refused.
Does not read binary or gRPC tensors, nor Triton's classification strings. Called by `reading`.
The protocol's table of forms: `Open Inference Protocol V2`, REST.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

from sidecar.payload.tensor import FLOATS, MOST_COLUMNS, Tensor, read_tensor
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Column, Prediction

_SCORE_NAMES = frozenset({"score", "scores", "probability", "probabilities", "proba", "probas"})
_SCORE_ENDINGS = ("_proba", "_probas", "_probability", "_probabilities", "_score", "_scores")
_LABEL_NAMES = frozenset({"label", "labels", "class", "classes"})
_LABEL_ENDINGS = ("_label", "_labels", "_class", "_classes")
_PREDICT_NAMES = frozenset({"predict", "prediction", "predictions"})


def features(document: object, names: tuple[str, ...]) -> tuple[int, dict[str, Column]]:
    """Rows and columns of a request's `inputs`. `names` are the features in order, for tensors without names."""
    tensors = _tensors(document, "inputs")
    if sum(tensor.width for tensor in tensors) > MOST_COLUMNS:
        raise Undecodable("too_large")
    if len({tensor.rows for tensor in tensors}) != 1:
        raise Undecodable("shape")
    column_names = _column_names(tensors, names)
    columns = [column for tensor in tensors for column in tensor.columns()]
    if len(set(column_names)) < len(columns):
        raise Undecodable("shape")  # two columns under one name
    return tensors[0].rows, dict(zip(column_names, columns, strict=True))


def prediction(document: object, prediction_name: str | None) -> Prediction:
    """Labels and scores of an answer's `outputs`.

    Outputs named like a score and like a label are both kept, the others by datatype. `prediction_name` selects the
    output that is monitored. Scores are what is monitored where there are any; so a chosen label comes without them.
    """
    tensors = _tensors(document, "outputs")
    beside_score = any(_named_score(tensor.name.lower()) for tensor in tensors)
    scores = [tensor for tensor in tensors if _is_score(tensor, beside_score=beside_score)]
    labels = [tensor for tensor in tensors if not _is_score(tensor, beside_score=beside_score)]
    if prediction_name is not None:
        chosen = [tensor for tensor in tensors if tensor.name == prediction_name]
        if len(chosen) != 1:
            raise Undecodable("shape")
        if _is_score(chosen[0], beside_score=beside_score):
            scores = chosen
        else:
            scores, labels = [], chosen
    label = next((tensor for tensor in labels if tensor.width == 1), None)
    score = min(scores, key=_score_rank, default=None)
    if label is None and score is None:
        raise Undecodable("shape")
    if label is not None and score is not None and label.rows != score.rows:
        raise Undecodable("shape")
    return Prediction(
        labels=tuple(map(_label_text, label.values)) if label is not None else None,
        scores=_scores(score) if score is not None else None,
    )


def _tensors(document: object, key: str) -> list[Tensor]:
    entries = document.get(key) if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise Undecodable("protocol")
    if not entries:
        raise Undecodable("shape")
    if len(entries) > MOST_COLUMNS:
        raise Undecodable("too_large")
    return [read_tensor(entry) for entry in entries]


def _column_names(tensors: Sequence[Tensor], names: tuple[str, ...]) -> list[str]:
    """A name for every column, tensor by tensor.

    Names from outside that no tensor bears go to the columns without a name, in order, if their counts are equal.
    """
    known = frozenset(names)
    claimed = {tensor.name for tensor in tensors if tensor.width == 1 and tensor.name in known}
    left = [name for name in names if name not in claimed]
    # A lone tensor of one column is anonymous too; beside others its name is meant, even one that nobody knows.
    own = claimed if len(tensors) == 1 else {tensor.name for tensor in tensors if tensor.width == 1}
    nameless = [tensor for tensor in tensors if tensor.width > 1 or tensor.name not in own]
    fits = len(left) == sum(tensor.width for tensor in nameless)
    outside = iter(left)
    given: list[str] = []
    for tensor in tensors:
        if fits and (tensor.width > 1 or tensor.name not in own):
            given.extend(islice(outside, tensor.width))
        elif tensor.width == 1:
            given.append(tensor.name)
        else:
            given.extend(f"{tensor.name}[{place}]" for place in range(tensor.width))
    return given


def _is_score(tensor: Tensor, *, beside_score: bool) -> bool:
    name = tensor.name.lower()
    if _named_score(name):
        return True
    if name in _LABEL_NAMES or name.endswith(_LABEL_ENDINGS):
        return False
    if name in _PREDICT_NAMES and beside_score:
        return False  # scikit-learn's predict beside predict_proba: a class, even where classes are floats
    return tensor.datatype in FLOATS


def _named_score(name: str) -> bool:
    return name in _SCORE_NAMES or name.endswith(_SCORE_ENDINGS)


def _score_rank(tensor: Tensor) -> tuple[bool, bool]:
    """A name beats a type; one number a row beats a vector, which may as well be an embedding."""
    return not _named_score(tensor.name.lower()), tensor.width != 1


def _scores(tensor: Tensor) -> tuple[float, ...]:
    """Of two classes the second one's score; of more the top one."""
    try:
        values = [_score(value) for value in tensor.values]
    except (TypeError, ValueError):
        raise Undecodable("shape") from None
    if tensor.width <= 1:
        return tuple(values)
    if tensor.width == 2:
        return tuple(values[1::2])
    starts = range(0, len(values), tensor.width)
    return tuple(max(values[start : start + tensor.width]) for start in starts)


def _score(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) not in (int, float):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _label_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)  # never too many digits: the parser refused those
