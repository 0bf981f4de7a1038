from __future__ import annotations

from typing import Any

import pytest

from sidecar.payload import Undecodable
from sidecar.records import Prediction
from tests.payload.samples import features, prediction

PATH = "/invocations"
TWO = {"a": [1.0, 2.0], "b": ["x", "y"]}


@pytest.mark.parametrize(
    ("document", "names", "rows", "columns"),
    [
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}}, (), 2, TWO),
        (
            {"dataframe_split": {"index": [0, 1], "columns": ["b", "a"], "data": [[1, 2]]}},
            ("a", "b"),
            1,
            {"b": [1], "a": [2]},
        ),
        ({"dataframe_split": {"columns": [0, 1.5], "data": [[1, 2]]}}, (), 1, {"0": [1.0], "1.5": [2.0]}),
        ({"dataframe_split": {"data": [[1, 2]]}}, ("a", "b"), 1, {"a": [1.0], "b": [2.0]}),
        ({"dataframe_split": {"columns": ["a"], "data": []}}, (), 0, {}),
        ({"input_data": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}}, (), 2, TWO),
        ({"dataframe_records": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}, (), 2, TWO),
        ({"dataframe_records": [{"a": 1}, {"b": "y"}]}, (), 2, {"a": [1.0, None], "b": [None, "y"]}),
        ({"instances": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "params": {"t": 0.5}}, (), 2, TWO),
        ({"inputs": {"a": [1, 2], "b": ["x", "y"]}}, (), 2, TWO),
        ({"inputs": [[1, 2]]}, ("a", "b"), 1, {"a": [1.0], "b": [2.0]}),
    ],
)
def test_every_form_of_json_is_read(
    document: object, names: tuple[str, ...], rows: int, columns: dict[str, list[Any]]
) -> None:
    assert features(document, names, path=PATH) == (rows, columns)
    assert features(document, names, reading={"protocol": "mlflow"}) == (rows, columns)
    if "inputs" not in str(document):
        assert features(document, names, path="/score") == (rows, columns)


def test_csv_with_a_header_is_read() -> None:
    body = b"a,b\r\n1,x\r\n,y\r\n"
    assert features(body, ("a", "b"), path=PATH, content_type="text/csv; charset=utf-8") == (
        2, {"a": [1.0, None], "b": ["x", "y"]}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "labels", "scores"),
    [
        (b'{"predictions": [0, 0, 1]}', ("0", "0", "1"), None),
        (b'{"predictions": {"label": [0], "probabilities": [[NaN, NaN]]}}', ("0",), (float("nan"),)),
        (b'{"predictions": [{"0": 0.75, "score": 0.25}]}', None, (0.25,)),
        (b"[0.5, 0.25]", None, (0.5, 0.25)),
    ],
)
def test_predictions_are_a_list_objects_or_columns(
    body: bytes, labels: tuple[str, ...] | None, scores: tuple[float, ...] | None
) -> None:
    for reading in ({}, {"protocol": "mlflow"}):
        said = prediction(body, path=PATH, reading=reading)
        assert said.labels == labels
        assert said.scores == pytest.approx(scores, nan_ok=True) if scores else said.scores is None
    assert isinstance(said, Prediction)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"messages": [{"role": "user", "content": "hi"}]}, "protocol"),
        ({"input": "hi", "model": "m"}, "protocol"),
        ({"a": 1}, "protocol"),
        ([1], "protocol"),
        ({"dataframe_split": []}, "protocol"),
        ({"dataframe_split": {"columns": ["a"]}}, "shape"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "shape"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "shape"),
        ({"dataframe_split": {"columns": [["a", "b"]], "data": [[1]]}}, "shape"),
        ({"dataframe_split": {"columns": ["a"], "data": [1]}}, "shape"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}, "shape"),
        ({"dataframe_split": {"data": 3}}, "shape"),
        ({"dataframe_records": {}}, "protocol"),
        ({"inputs": {"a": {"b": 1}}}, "shape"),
    ],
)
def test_what_has_no_features_is_undecodable(document: object, reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        features(document, path=PATH, reading={"protocol": "mlflow"})
    assert caught.value.reason == reason


def test_answers_to_people_are_no_predictions() -> None:
    with pytest.raises(Undecodable):
        prediction({"error_code": "BAD_REQUEST", "message": "no"}, path=PATH, reading={"protocol": "mlflow"})


def test_cells_that_are_lists_do_not_slip_under_other_columns() -> None:
    with pytest.raises(Undecodable) as caught:
        features({"dataframe_split": {"columns": ["a", "b"], "data": [[[1, 2]]]}}, path=PATH)
    assert caught.value.reason == "shape"


@pytest.mark.parametrize("protocol", ["auto", "mlflow", "json"])
def test_json_lines_are_rows(protocol: str) -> None:
    body = b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'
    reading = {"protocol": protocol}
    assert features(body, path=PATH, reading=reading, content_type="application/jsonlines") == (2, TWO)
