from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.payload import Undecodable
from tests.payload.samples import features, prediction

PATH = "/v1/models/bc:predict"


@pytest.mark.parametrize(
    ("instances", "names", "rows", "columns"),
    [
        ([[1, 2.5], [3, None]], ("a", "b"), 2, {"a": [1.0, 3.0], "b": [2.5, None]}),
        ([[1, 2]], ("a",), 1, {"[0]": [1.0], "[1]": [2.0]}),
        ([[1, "de"], [2, "at"]], ("a", "b"), 2, {"a": [1.0, 2.0], "b": ["de", "at"]}),
        ([[True, 2]], ("a", "b"), 1, {"a": [True], "b": [2.0]}),
        ([1.0, 2.0, 5.0], ("a",), 3, {"a": [1.0, 2.0, 5.0]}),
        ([[[1, 2], [3, 4]]], tuple("abcd"), 1, {"a": [1.0], "b": [2.0], "c": [3.0], "d": [4.0]}),
        ([{"a": 1, "b": "x"}, {"a": 2, "b": None}], (), 2, {"a": [1.0, 2.0], "b": ["x", None]}),
        # An absent key is missing, a key that nobody knows is a column all the same.
        ([{"a": 1}, {"b": 2, "a": 3}], ("a", "b"), 2, {"a": [1.0, 3.0], "b": [None, 2.0]}),
        ([{"features": [1, 2]}, {"features": [3, 4]}], ("a", "b"), 2, {"a": [1.0, 3.0], "b": [2.0, 4.0]}),
        ([{"x": [1, 2], "t": "u"}], ("t",), 1, {"x[0]": [1.0], "x[1]": [2.0], "t": ["u"]}),
        ([{"x": [1]}, {"x": [2, 3]}], (), 2, {"x": [[1], [2, 3]]}),
        ([{"x": {"y": 1, "z": "a"}}], (), 1, {"x.y": [1.0], "x.z": ["a"]}),
        ([{"x": {"y": 1}}, {"x": 3}], (), 2, {"x": [{"y": 1}, 3]}),
        ([{}, {}], (), 2, {}),
        ([], ("a",), 0, {}),
        ([10**400, -(10**400)], ("a",), 2, {"a": [float("inf"), -float("inf")]}),
    ],
)
def test_instances_are_rows(
    instances: object, names: tuple[str, ...], rows: int, columns: dict[str, list[Any]]
) -> None:
    for path in (PATH, "/anything", "/invocations"):
        assert features({"instances": instances, "parameters": {"x": 1}}, names, path=path) == (rows, columns)
    assert features({"instances": instances}, names, reading={"protocol": "kserve-v1"}) == (rows, columns)


@pytest.mark.parametrize(
    ("predictions", "labels", "scores"),
    [
        # Captured from KServe 0.21.0.
        ([[0.9382405877113342, 0.06175942346453667], [0.75, 0.25]], None, (0.06175942346453667, 0.25)),
        ([0, 1, 0], ("0", "1", "0"), None),
        ([0.5, 1, 0.25], None, (0.5, 1.0, 0.25)),
        (["ok", "fraud"], ("ok", "fraud"), None),
        ([True, False], ("true", "false"), None),
        ([[0.1, 0.7, 0.2]], None, (0.7,)),
        ([[12.5], [3.0]], None, (12.5, 3.0)),
        ([{"score": 0.4, "predicted_label": 0}], ("0",), (0.4,)),
        ([{"score": [0.1, 0.7, 0.2], "predicted_label": 1}], ("1",), (0.7,)),
        ([{"id": "r1", "probability": 0.25, "explanation": {"why": []}}], None, (0.25,)),
        ([{"species": "cat"}], ("cat",), None),
        ({"label": [0, 1], "probabilities": [[0.75, 0.25], [0.5, 0.5]]}, ("0", "1"), (0.25, 0.5)),
        # ONNX's ZipMap.
        ({"label": ["a"], "probabilities": [{"a": 0.75, "b": 0.25}]}, ("a",), (0.25,)),
        ({"variable": [[0.5], [0.25]]}, None, (0.5, 0.25)),
        ([], (), None),
    ],
)
def test_predictions_are_labels_scores_or_both(
    predictions: object, labels: tuple[str, ...] | None, scores: tuple[float, ...] | None
) -> None:
    body = {"predictions": predictions, "deployedModelId": "7"}
    for path in (PATH, "/anything", "/invocations"):
        found = prediction(body, path=path)
        assert (found.labels, found.scores) == (labels, scores)
    found = prediction(body, reading={"protocol": "kserve-v1"})
    assert (found.labels, found.scores) == (labels, scores)


def test_the_monitored_output_is_chosen_by_name() -> None:
    body = {"predictions": [{"price": 12.5, "upper": 14.0, "label": "x"}]}
    assert prediction(body, "label").labels == ("x",)
    with pytest.raises(Undecodable):
        prediction(body, "nothing")
    # A bare list has no names to choose by.
    assert prediction({"predictions": [0.5]}, "price").scores == (0.5,)
    assert prediction({"predictions": [{"price": 12.5, "upper": 14.0}]}, "upper").scores == (14.0,)
    assert prediction({"predictions": [{"price": 12.5, "upper": 14.0}]}).scores == (12.5,)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"instances":3}', "protocol"),
        (b'{"instances":{}}', "protocol"),
        (b"[1,2]", "protocol"),
        (b'{"predictions":[1]}', "protocol"),
        (b'{"instances":[[1,2],[3]]}', "shape"),
        (b'{"instances":[[1,2],3]}', "shape"),
        (b'{"instances":[[],[]]}', "shape"),
        (b'{"instances":[[1],{"a":1}]}', "shape"),
        (b'{"instances":[[{"a":1}]]}', "shape"),
        (b'{"instances":[' + b"[" * 40 + b"1" + b"]" * 40 + b"]}", "shape"),
        (b'{"instances":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "json"),
        (b'{"instances":[[1', "json"),
        (b'{"instances":["\xff"]}', "json"),
        (b'{"instances":[["\\ud800"]]}', "json"),
        (json.dumps({"instances": [[0] * 10_001]}).encode(), "too_large"),
        (json.dumps({"instances": [dict.fromkeys(map(str, range(10_001)), 0)]}).encode(), "too_large"),
        # A thousand rows of one key each, all different: a million nulls and more.
        (json.dumps({"instances": [{str(n): 1} for n in range(9_000)]}).encode(), "too_large"),
        (b'{"instances":[{"b64":"%%%"}]}', "shape"),
    ],
)
def test_rows_that_make_no_sense_are_undecodable(body: bytes, reason: str) -> None:
    for path in (PATH, ""):
        with pytest.raises(Undecodable) as caught:
            features(body, ("a",), path=path, reading={"protocol": "kserve-v1"})
        assert caught.value.reason == reason


@pytest.mark.parametrize("body", [b'{"error":"no"}', b"{}", b'{"predictions":3}', b'{"predictions":[[]]}', b"no"])
def test_answers_that_say_nothing_are_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable):
        prediction(body, path=PATH, reading={"protocol": "kserve-v1"})


def test_bare_nan_a_byte_order_mark_and_duplicate_keys_are_read() -> None:
    body = b'\xef\xbb\xbf{"instances":[[9]],"instances":[[NaN,1],[1e400,-Infinity]]}'
    inf = float("inf")
    assert features(body, ("a", "b"), path=PATH) == (2, {"a": [None, inf], "b": [1.0, -inf]})
