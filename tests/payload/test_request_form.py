from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.payload.request_form import MOST_FORM_BYTES, RequestForm, form_of, write

ROWS: list[dict[str, object]] = [{"a": 1.5, "b": 2.0}, {"a": None, "b": 4.0}]


def _tensor(name: str, datatype: str, shape: list[Any], data: list[object], **more: object) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


def _form(
    document: Any, columns: tuple[str, ...] = ("a", "b"), wire: dict[str, str] | None = None
) -> RequestForm | None:
    body = json.dumps(document).encode()
    return form_of(
        "/v2/models/m/infer", (wire or {}).get("content_type", ""), (wire or {}).get("encoding", ""), body, columns
    )


def _written(document: Any, rows: list[dict[str, object]] | None = None) -> Any:
    form = _form(document)
    assert form is not None
    return json.loads(write(form, ROWS if rows is None else rows))


def test_a_tensor_for_each_feature_is_written_as_such_with_its_type() -> None:
    inputs = [_tensor("a", "FP64", [1, 1], [9.0]), _tensor("b", "INT64", [1, 1], [9], parameters={"x": 1})]
    written = _written({"id": "7", "inputs": inputs, "outputs": [{"name": "score"}], "parameters": {"binary": False}})
    assert written == {
        "outputs": [{"name": "score"}],
        "parameters": {"binary": False},
        "inputs": [
            _tensor("a", "FP64", [2, 1], [1.5, None]),
            _tensor("b", "INT64", [2, 1], [2, 4], parameters={"x": 1}),
        ],
    }


def test_one_wide_tensor_is_written_row_by_row() -> None:
    written = _written({"inputs": [_tensor("x", "FP32", [1, 2], [9.0, 9.0])]})
    assert written == {"inputs": [_tensor("x", "FP32", [2, 2], [1.5, 2.0, None, 4.0])]}


@pytest.mark.parametrize(
    ("document", "written"),
    [
        ({"instances": [[9, 9]]}, {"instances": [[1.5, 2.0], [None, 4.0]]}),
        (
            {"signature_name": "s", "instances": [{"a": 9, "b": 9}]},
            {"signature_name": "s", "instances": [{"a": 1.5, "b": 2.0}, {"a": None, "b": 4.0}]},
        ),
        (
            {"dataframe_split": {"columns": ["a", "b"], "index": [0], "data": [[9, 9]]}},
            {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, 2.0], [None, 4.0]]}},
        ),
        (
            {"dataframe_records": [{"a": 9, "b": 9}], "params": {"p": 1}},
            {"params": {"p": 1}, "dataframe_records": [{"a": 1.5, "b": 2.0}, {"a": None, "b": 4.0}]},
        ),
    ],
)
def test_rows_in_other_protocols_are_written_as_they_came(document: Any, written: Any) -> None:
    assert _written(document) == written


def test_a_feature_that_a_row_lacks_stays_out_of_objects() -> None:
    assert _written({"instances": [{"a": 9, "b": 9}]}, [{"b": 1.0}]) == {"instances": [{"b": 1.0}]}


def test_types_of_tensors_are_kept() -> None:
    inputs = [_tensor("a", "BOOL", [1], [True]), _tensor("b", "BYTES", [1], ["x"])]
    written = _written({"inputs": inputs}, [{"a": 1.0, "b": "y"}, {"a": False, "b": None}])
    assert [tensor["data"] for tensor in written["inputs"]] == [[True, False], ["y", None]]
    numbers = _written(
        {"inputs": [_tensor("a", "INT32", [1], [1]), _tensor("b", "FP32", [1], [1])]}, [{"a": 2.6, "b": float("nan")}]
    )
    assert [tensor["data"] for tensor in numbers["inputs"]] == [[3], [None]]


def test_a_form_tells_how_many_rows_a_request_had() -> None:
    forms = [_form({"inputs": [_tensor("x", "FP32", [7, 2], [0.0] * 14)]}), _form({"instances": [[1, 2]] * 3})]
    assert [form.rows if form else None for form in forms] == [7, 3]


def test_a_form_holds_no_value_of_the_request() -> None:
    form = _form({"inputs": [_tensor("x", "BYTES", [1, 2], ["4111-1111", "secret"])]})
    assert form is not None
    assert "4111" not in repr(form)
    assert "secret" not in repr(form)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"inputs": []},
        {"inputs": [_tensor("x", "FP32", [1, 3], [1, 2, 3])]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}]},
        {"inputs": [_tensor("x", "FP32", [1, 2], [1, 2], parameters={"shared_memory_region": "r"})]},
        {"inputs": [_tensor("x", "FP32", [1, -2], [1, 2])]},
        {"inputs": [_tensor("x", "FP32", ["1", 2], [1, 2])]},
        {"inputs": ["x"]},
        {"inputs": [_tensor("x", "FP32", [1, 2], [1, 2])], "parameters": {"sequence_id": 7}},
        {"inputs": [_tensor("x", "FP32", [1, 2], [1, 2])], "parameters": {"note": "x" * MOST_FORM_BYTES}},
        {"instances": []},
        {"instances": [[1, 2, 3]]},
        {"instances": [[[1], [2]]]},
        {"instances": [1.0]},
        {"instances": [{"a": 1, "other": 2}]},
        {"dataframe_split": {"columns": ["b", "a"], "data": [[1, 2]]}},
        {"dataframe_split": 1},
    ],
)
def test_what_cannot_be_written_back_has_no_form(document: Any) -> None:
    assert _form(document) is None


@pytest.mark.parametrize("wire", [{"encoding": "gzip"}, {"content_type": "text/csv; header=present"}])
def test_compressed_bodies_and_csv_have_no_form(wire: dict[str, str]) -> None:
    assert _form({"instances": [[1, 2]]}, wire=wire) is None


def test_integers_of_any_length_are_written_so_that_they_can_be_read() -> None:
    form = _form({"instances": [[1, 2]]})
    assert form is not None
    rows: list[dict[str, object]] = [{"a": 10**30, "b": -(10**30)}, {"a": (1 << 64) - 1, "b": 10**400}]
    assert json.loads(write(form, rows))["instances"] == [[1e30, -1e30], [18446744073709551615, None]]


@pytest.mark.parametrize("depth", [250, 251, 253, 254, 300, 900])
@pytest.mark.parametrize("tensor", [True, False])
def test_parameters_that_are_nested_too_deep_to_be_written_have_no_form(depth: int, tensor: bool) -> None:
    inside: object = 1
    for _ in range(depth):
        inside = [inside]
    parameters = {"p": inside}
    document = (
        {"inputs": [_tensor("a", "FP32", [1], [1], parameters=parameters)]}
        if tensor
        else {"instances": [[1]], "parameters": parameters}
    )
    form = _form(document, ("a",))
    assert form is None or write(form, [{"a": 1}])


def test_parameters_with_an_integer_that_is_too_long_have_no_form() -> None:
    assert form_of("/p", "", "", b'{"instances": [[1, NaN]], "parameters": {"x": %d}}' % 10**40, ["a", "b"]) is None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 20_000])
def test_what_is_no_json_has_no_form(body: bytes) -> None:
    assert form_of("/p", "", "", body, ("a",)) is None
