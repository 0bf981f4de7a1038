from __future__ import annotations

from typing import Any

import pytest

from sidecar.payload import Undecodable
from sidecar.records import Prediction
from tests.payload.samples import features, prediction

JSON = {"protocol": "json"}


@pytest.mark.parametrize(
    ("document", "names", "rows", "columns"),
    [
        ({"a": 1, "b": "x", "c": None}, (), 1, {"a": [1.0], "b": ["x"], "c": [None]}),
        ([{"a": 1}, {"a": 2}], (), 2, {"a": [1.0, 2.0]}),
        ([{"a": 1}, {"b": True}], (), 2, {"a": [1.0, None], "b": [None, True]}),
        ({"customer": {"age": 3, "home": {"zip": "1"}}}, (), 1, {"customer.age": [3.0], "customer.home.zip": ["1"]}),
        ({"vector": [1, 2]}, ("p", "q"), 1, {"p": [1.0], "q": [2.0]}),
        ({"tags": ["a", ["b"]], "a": 1}, (), 1, {"tags": [["a", ["b"]]], "a": [1.0]}),
        # A lone key is a name that is meant, not a tensor that happens to be called so.
        ({"amout": 3}, ("amount",), 1, {"amout": [3.0]}),
        ([1, 2], ("a", "b"), 1, {"a": [1.0], "b": [2.0]}),
        ([[1, 2], [3, 4]], ("a", "b"), 2, {"a": [1.0, 3.0], "b": [2.0, 4.0]}),
        ([1, 2], ("a",), 2, {"a": [1.0, 2.0]}),
        # In this protocol keys mean nothing of their own.
        ({"instances": 3}, (), 1, {"instances": [3.0]}),
        ({}, (), 1, {}),
        ([], (), 0, {}),
    ],
)
def test_an_object_is_a_row_and_a_list_of_objects_is_rows(
    document: object, names: tuple[str, ...], rows: int, columns: dict[str, list[Any]]
) -> None:
    assert features(document, names, reading=JSON) == (rows, columns)


@pytest.mark.parametrize(
    ("document", "labels", "scores"),
    [
        ({"label": "x", "score": 0.5, "model": "v3", "ms": 1.5}, ("x",), (0.5,)),
        ([{"label": "x"}, {"label": "y"}], ("x", "y"), None),
        ({"result": {"class": 1, "probability": 0.5}}, ("1",), (0.5,)),
        ({"price": 12.5}, None, (12.5,)),
        ({"species": "cat"}, ("cat",), None),
        ({"prediction": 1, "probability": [0.25, 0.75]}, ("1",), (0.75,)),
        ({"prediction": 12.5, "request_id": "r", "cached": False}, None, (12.5,)),
        ([0.5, 0.25], None, (0.5, 0.25)),
        (["a", None], ("a", "null"), None),
        (7, ("7",), None),
        ([], (), None),
        ([{"score": None}, {"score": 0.5}], None, (float("nan"), 0.5)),
    ],
)
def test_an_answers_keys_are_outputs(
    document: object, labels: tuple[str, ...] | None, scores: tuple[float, ...] | None
) -> None:
    said = prediction(document, reading=JSON)
    assert said.labels == labels
    assert said.scores == (scores if scores is None else pytest.approx(scores, nan_ok=True))


def test_the_monitored_key_is_chosen_by_name() -> None:
    document = [{"total": 12.5, "kind": "x"}]
    assert prediction(document, "kind", reading=JSON) == Prediction(("x",), None)
    assert prediction(document, "total", reading=JSON) == Prediction(("x",), (12.5,))


@pytest.mark.parametrize("document", [3, "x", None, [3, {}], [[1], [2, 3]]])
def test_what_holds_no_rows_is_undecodable(document: object) -> None:
    with pytest.raises(Undecodable):
        features(document, reading=JSON)


@pytest.mark.parametrize(
    "document", [{}, {"error": "no"}, {"a": {}}, {"a": []}, [{"a": [1, "x"]}], [[]], {"score": "high"}]
)
def test_answers_that_say_nothing_are_undecodable(document: object) -> None:
    with pytest.raises(Undecodable):
        prediction(document, reading=JSON)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ([{"a": {"b": 1}}, {"a": None}], {"a.b": [1.0, None]}),
        ([{"a": {"b": 1}}, {}], {"a.b": [1.0, None]}),
        ([{"a": {"b": "x"}}, {"a": {}}, {"a": {"c": 2}}], {"a.b": ["x", None, None], "a.c": [None, None, 2.0]}),
        ([{"a": {"b": 1, "c": 2}}, {"a": {"c": 3, "b": 4}}], {"a.b": [1.0, 4.0], "a.c": [2.0, 3.0]}),
        ([{"v": [1, 2]}, {"v": None}], {"v[0]": [1.0, None], "v[1]": [2.0, None]}),
        ([{"v": [1, 2]}, {"v": "x"}], {"v": [[1, 2], "x"]}),
        ([{"v": [[1], [2, 3]]}, {"v": None}], {"v": [[[1], [2, 3]], None]}),
        ([{"v": []}, {"v": None}], {"v": [[], None]}),
    ],
)
def test_null_beside_objects_or_vectors_is_one_of_nulls(rows: list[Any], columns: dict[str, list[Any]]) -> None:
    assert features(rows, reading=JSON) == (len(rows), columns)


def test_a_row_of_nulls_costs_no_row() -> None:
    rows: list[dict[str, object]] = [{"a": None}] * 1_000_001
    assert features([*rows, {"a": {"b": 1}}], reading=JSON)[0] == len(rows) + 1


def test_many_nulls_beside_one_wide_value_make_no_matrix_of_nulls() -> None:
    rows: list[dict[str, object]] = [{}] * 1_000
    assert list(features([{"v": [1] * 4_000}, *rows], reading=JSON)[1]) == ["v"]
    with pytest.raises(Undecodable) as caught:
        features([{"v": {str(n): n for n in range(4_000)}}, *rows], reading=JSON)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    "rows",
    [
        [{"probabilities": {"no": 0.25, "yes": 0.75}}, {"probabilities": {"no": 0.5, "yes": 0.5}}],
        [{"probabilities": {"yes": 0.75, "no": 0.25}}, {"probabilities": {"no": 0.5, "yes": 0.5}}],
        [{"probabilities": {"yes": 0.75, "no": 0.25}}, {"probabilities": {"yes": 0.5, "no": 0.5}}],
    ],
)
def test_the_order_of_keys_does_not_change_which_class_is_the_score(rows: object) -> None:
    assert prediction(rows) == Prediction(None, (0.75, 0.5))


@pytest.mark.parametrize(
    "fault",
    [
        {"error": "x", "code": 4},
        {"error_code": "BAD_REQUEST", "message": "no such column"},
        {"detail": "Not Found"},
        {"type": "about:blank", "title": "no", "status": 400, "detail": "no"},
        {"timestamp": 1, "status": 500, "error": "Internal Server Error", "path": "/score"},
    ],
)
def test_a_fault_told_with_a_200_is_no_prediction(fault: object) -> None:
    with pytest.raises(Undecodable) as caught:
        prediction(fault)
    assert caught.value.reason == "protocol"


def test_a_fault_that_is_null_or_beside_a_prediction_is_none() -> None:
    assert prediction({"error": None, "result": 0.25}) == Prediction(None, (0.25,))
    assert prediction({"detail": "model 3", "score": 0.25}) == Prediction(None, (0.25,))
    assert prediction({"status": "spam"}) == Prediction(("spam",), None)
