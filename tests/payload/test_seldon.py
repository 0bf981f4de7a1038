from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

import pytest

from sidecar.payload import Undecodable
from sidecar.records import Prediction
from tests.payload.samples import features, prediction

PATH = "/seldon/ns/model/api/v1.0/predictions"


@pytest.mark.parametrize(
    ("data", "names", "rows", "columns"),
    [
        ({"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}, (), 2, {"a": [1, 3], "b": [2, 4]}),
        ({"names": ["a", "b"], "ndarray": [[1, "x"], [3, "y"]]}, ("p", "q"), 2, {"a": [1, 3], "b": ["x", "y"]}),
        ({"ndarray": [[1, 2]]}, ("p", "q"), 1, {"p": [1], "q": [2]}),
        ({"names": ["a", "b"], "ndarray": [1, 2]}, (), 1, {"a": [1], "b": [2]}),
        ({"names": [], "ndarray": [1, 2]}, ("p",), 2, {"p": [1, 2]}),
        ({"tensor": {"shape": [0, 2], "values": []}}, ("p", "q"), 0, {}),
        ({"ndarray": []}, ("p", "q"), 0, {}),
    ],
)
def test_arrays_and_tensors_are_rows(
    data: object, names: tuple[str, ...], rows: int, columns: dict[str, list[Any]]
) -> None:
    document = {"meta": {"puid": "p9"}, "data": data}
    assert features(document, names, path=PATH) == (rows, columns)
    assert features(document, names) == (rows, columns)
    assert features(document, names, reading={"protocol": "seldon"}) == (rows, columns)


def test_plain_json_inside_and_a_form_around_are_read() -> None:
    assert features({"jsonData": [{"a": 1}, {"a": 2}]}, path=PATH) == (2, {"a": [1, 2]})
    form = b"json=" + quote_plus('{"data": {"names": ["a b"], "ndarray": [[1]]}}').encode() + b"&x=1"
    assert features(form, path=PATH, content_type="application/x-www-form-urlencoded") == (1, {"a b": [1]})


@pytest.mark.parametrize(
    ("document", "labels", "scores"),
    [
        # Captured from seldon-core 1.18.2.
        (
            {
                "data": {"names": ["t:0", "t:1"], "tensor": {"shape": [2, 2], "values": [0.75, 0.25, 0.5, 0.5]}},
                "meta": {},
            },
            None,
            (0.25, 0.5),
        ),
        ({"data": {"names": ["label", "score"], "ndarray": [["a", 0.5]]}}, ("a",), (0.5,)),
        ({"data": {"names": ["y"], "ndarray": [[3.5], [4.5]]}}, None, (3.5, 4.5)),
        ({"data": {"ndarray": [0, 1]}}, ("0", "1"), None),
        ({"data": {"ndarray": []}}, (), None),
        ({"jsonData": {"label": "x"}}, ("x",), None),
    ],
)
def test_answers_are_classes_unless_their_names_say_more(
    document: object, labels: tuple[str, ...] | None, scores: tuple[float, ...] | None
) -> None:
    for reading in ({}, {"protocol": "seldon"}):
        assert prediction(document, path=PATH, reading=reading) == Prediction(labels, scores)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"strData": "x"}, "protocol"),
        ({"binData": "eA=="}, "protocol"),
        ({"data": {"tftensor": {}}}, "protocol"),
        ({"data": {"tensor": {"shape": [2], "values": [1]}}}, "shape"),
        ({"data": {"tensor": {"shape": "2", "values": [1]}}}, "shape"),
        ({"data": {"tensor": {"shape": [1], "values": 1}}}, "shape"),
        ({"data": {"ndarray": [[1], [1, 2]]}}, "shape"),
        ({"data": {"ndarray": [[{"a": 1}]]}}, "shape"),
        ({"data": []}, "protocol"),
        ({}, "protocol"),
    ],
)
def test_what_cannot_be_read_is_undecodable(document: object, reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        features(document, path=PATH)
    assert caught.value.reason == reason
    with pytest.raises(Undecodable):
        prediction(document, path=PATH, reading={"protocol": "seldon"})


def test_a_form_that_is_none_is_no_json() -> None:
    with pytest.raises(Undecodable):
        features(b"json=%zz", path=PATH)


def test_names_that_do_not_fit_are_not_put_right_by_others() -> None:
    with pytest.raises(Undecodable) as caught:
        features({"data": {"names": ["a", "b"], "ndarray": [[1, 2, 3]]}}, ("p", "q", "r"))
    assert caught.value.reason == "shape"


def test_a_large_form_is_not_unquoted() -> None:
    with pytest.raises(Undecodable) as caught:
        features(b"json=" + b"%5B" * 400_000, path=PATH)
    assert caught.value.reason == "too_large"
