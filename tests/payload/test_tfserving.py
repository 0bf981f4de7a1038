from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from sidecar.payload import Undecodable
from sidecar.records import Prediction
from tests.payload.samples import features, prediction

PATH = "/v1/models/half/versions/2:predict"
B64 = {"b64": b64encode(b"caf\xc3\xa9").decode()}


@pytest.mark.parametrize(
    ("document", "names", "rows", "columns"),
    [
        ({"instances": [1.0, 2.0, 5.0]}, ("x",), 3, {"x": [1.0, 2.0, 5.0]}),
        ({"instances": [{"tag": "a", "x": [1, 2]}]}, (), 1, {"tag": ["a"], "x[0]": [1.0], "x[1]": [2.0]}),
        ({"inputs": {"a": [1, 2], "b": ["x", "y"]}}, (), 2, {"a": [1.0, 2.0], "b": ["x", "y"]}),
        ({"inputs": {"a": [[1], [2]], "x": [[1, 2], [3, 4]]}}, (), 2, {"a": [1, 2], "x[0]": [1, 3], "x[1]": [2, 4]}),
        ({"inputs": [[1, 2], [3, 4]]}, ("a", "b"), 2, {"a": [1.0, 3.0], "b": [2.0, 4.0]}),
        ({"inputs": {"a": 1, "b": "x"}}, (), 1, {"a": [1.0], "b": ["x"]}),
        ({"inputs": {"a": []}}, (), 0, {"a": []}),
        ({"instances": [B64, B64]}, ("t",), 2, {"t": ["café", "café"]}),
        ({"instances": [{"t": B64, "n": 1}]}, (), 1, {"t": ["café"], "n": [1.0]}),
        ({"inputs": {"t": [B64, "x"]}}, (), 2, {"t": ["café", "x"]}),
        ({"instances": [{"b64": "/w=="}]}, ("t",), 1, {"t": ["\\xff"]}),
    ],
)
def test_rows_and_columns_are_read(
    document: object, names: tuple[str, ...], rows: int, columns: dict[str, list[Any]]
) -> None:
    assert features(document, names, path=PATH) == (rows, columns)
    assert features(document, names, reading={"protocol": "tfserving"}) == (rows, columns)


def test_examples_share_their_context() -> None:
    document = {"signature_name": "c", "context": {"c": 7, "a": 0}, "examples": [{"a": 1}, {"b": "x"}]}
    found = {"c": [7.0, 7.0], "a": [1.0, 0.0], "b": [None, "x"]}
    assert features(document, path="/v1/models/half:classify") == (2, found)
    assert features(document) == (2, found)


def test_examples_without_a_context_are_rows() -> None:
    assert features({"context": {}, "examples": [{"a": 1}]}) == (1, {"a": [1.0]})
    assert features({"inputs": {}}) == (0, {})


@pytest.mark.parametrize(
    ("document", "labels", "scores"),
    [
        ({"predictions": [2.5, 3.0]}, None, (2.5, 3.0)),
        ({"outputs": [[2.5], [3.0]]}, None, (2.5, 3.0)),
        ({"outputs": {"classes": ["a", "b"], "scores": [[0.25, 0.75], [0.5, 0.5]]}}, ("a", "b"), (0.75, 0.5)),
        ({"results": [[["a", 0.25], ["b", 0.75]], [["a", 0.6], ["b", 0.4]]]}, ("b", "a"), (0.75, 0.4)),
        ({"results": [[["", 0.2], ["", 0.7], ["", 0.1]]]}, ("1",), (0.7,)),
        ({"results": [0.5, 2]}, None, (0.5, 2.0)),
        ({"results": []}, (), None),
    ],
)
def test_answers_of_every_verb_are_read(
    document: object, labels: tuple[str, ...] | None, scores: tuple[float, ...] | None
) -> None:
    assert prediction(document, path=PATH) == Prediction(labels, scores)
    assert prediction(document, reading={"protocol": "tfserving"}) == Prediction(labels, scores)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"inputs": {"a": [1], "b": [1, 2]}}, "shape"),
        ({"inputs": {"a": [1], "b": 2}}, "shape"),
        ({"inputs": {"a": [[1], 2]}}, "shape"),
        ({"inputs": 3}, "protocol"),
        ({"examples": {}}, "protocol"),
        ({}, "protocol"),
        ([], "protocol"),
        ({"examples": [{"a": 1}] * 2_000, "context": dict.fromkeys(map(str, range(2_000)), 0)}, "too_large"),
    ],
)
def test_requests_that_make_no_sense_are_undecodable(document: object, reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        features(document, reading={"protocol": "tfserving"})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "document",
    [
        {"results": [[["a", "b"]]]},
        {"results": [[[[], 1.0]]]},
        {"results": [[["a", 1, 2]]]},
        {"results": [[]]},
        {"results": [[["a", 1.0]], 3]},
        {"results": ["x"]},
        {"results": 3},
        {},
        [],
    ],
)
def test_answers_that_make_no_sense_are_undecodable(document: object) -> None:
    with pytest.raises(Undecodable):
        prediction(document, reading={"protocol": "tfserving"})


def test_classes_sorted_by_likelihood_keep_their_scores() -> None:
    results = {"results": [[["yes", 0.75], ["no", 0.25]], [["no", 0.5], ["yes", 0.5]], [["", 0.25], ["", 0.75]]]}
    said = prediction(results, path="/v1/models/m:classify")
    assert said == Prediction(("yes", "no", "1"), (0.75, 0.5, 0.75))
