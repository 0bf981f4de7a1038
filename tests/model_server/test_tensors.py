from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sidecar.model_server.errors import RequestRefused
from sidecar.model_server.tensors import (
    DYNAMIC,
    TensorSpec,
    is_finite,
    quoted,
    read_inputs,
    write_tensor,
)

COLUMN = TensorSpec("x", "FP32", (DYNAMIC, 1))
VECTOR = TensorSpec("x", "FP32", (DYNAMIC,))
WIDE = TensorSpec("x", "FP32", (DYNAMIC, 3))
WORD = TensorSpec("x", "BYTES", (DYNAMIC, 1))
FLAG = TensorSpec("x", "BOOL", (DYNAMIC, 1))
BYTE = TensorSpec("x", "UINT8", (DYNAMIC, 1))
LONG = TensorSpec("x", "INT64", (DYNAMIC, 1))
UNKNOWN = TensorSpec("x", "FP64", None)


def read(spec: TensorSpec, shape: Any, data: Any, datatype: Any = None) -> np.ndarray[Any, Any]:
    request = [{"name": "x", "shape": shape, "datatype": datatype or spec.datatype, "data": data}]
    return read_inputs(request, {"x": spec})["x"]


@pytest.mark.parametrize(
    ("spec", "shape", "data", "expected"),
    [
        (COLUMN, [2, 1], [1, 2.5], [[1], [2.5]]),
        (COLUMN, [2, 1], [[1], [2.5]], [[1], [2.5]]),
        (COLUMN, [2], [1, 2.5], [[1], [2.5]]),
        (VECTOR, [2, 1], [[1], [2.5]], [1, 2.5]),
        (VECTOR, [2], [1, 2], [1, 2]),
        (WIDE, [2, 3], [1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]),
        (WIDE, [2, 3], [[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]]),
        (WORD, [2], ["DE", "Ünïcode \x00"], [["DE"], ["Ünïcode \x00"]]),
        (FLAG, [2, 1], [True, False], [[True], [False]]),
        (BYTE, [2, 1], [0, 255], [[0], [255]]),
        (LONG, [1], [-(2**63)], [[-(2**63)]]),
        (UNKNOWN, [1, 2, 2], [[[1, 2], [3, 4]]], [[[1, 2], [3, 4]]]),
    ],
)
def test_flat_and_nested_data_become_the_shape_the_model_declares(
    spec: TensorSpec, shape: list[int], data: list[Any], expected: list[Any]
) -> None:
    array = read(spec, shape, data)
    assert array.tolist() == expected
    assert write_tensor("y", spec.datatype, array)["datatype"] == spec.datatype


def test_nan_and_infinity_are_numbers_of_a_float_tensor() -> None:
    assert np.isnan(read(COLUMN, [1], [float("nan")])).all()
    assert np.isinf(read(COLUMN, [1], [float("inf")])).all()


HOSTILE = [
    (COLUMN, [1], ["1.5"], "must not hold a string"),
    (COLUMN, [1], [True], "must not hold a boolean"),
    (COLUMN, [1], [None], "must not hold null"),
    (COLUMN, [1], [{}], "must not hold an object"),
    (COLUMN, [2, 1], [1, [2]], "must not hold a list"),
    (COLUMN, [1], [1e39], "too large for FP32"),
    (COLUMN, [1], [10**400], "too large for FP32"),
    (BYTE, [1], [256], "too large for UINT8"),
    (BYTE, [1], [-1], "too large for UINT8"),
    (LONG, [1], [2**63], "too large for INT64"),
    (LONG, [1], [1.0], "must not hold a fraction"),
    (LONG, [1], [True], "must not hold a boolean"),
    (FLAG, [1], [1], "must not hold an integer"),
    (WORD, [1], [5], "must not hold an integer"),
    (WORD, [1], ["\ud800"], "not valid Unicode"),
    (COLUMN, [1], "text", "'data' that is a list, not 'text'"),
    (COLUMN, [1], {"0": 1}, "'data' that is a list, not an object"),
    (COLUMN, [1], None, "'data' that is a list, not null"),
    (COLUMN, [3], [1, 2], "2 values, its shape says otherwise"),
    (COLUMN, [1, 1], [], "0 values, its shape says otherwise"),
    (COLUMN, [0, 1], [], "is empty"),
    (COLUMN, [0], [], "is empty"),
    (COLUMN, [-1, 1], [1], "non-negative integers"),
    (COLUMN, [1.0, 1], [1], "non-negative integers"),
    (COLUMN, [True, 1], [1], "non-negative integers"),
    (COLUMN, ["1", 1], [1], "non-negative integers"),
    (COLUMN, 1, [1], "non-negative integers"),
    (COLUMN, None, [1], "non-negative integers"),
    (COLUMN, [], [1], "between 1 and 32 dimensions"),
    (UNKNOWN, [1] * 33, [1], "between 1 and 32 dimensions"),
    (COLUMN, [2**62, 1], [1], "its shape says otherwise"),
    (UNKNOWN, [2**62] * 32, [1], "its shape says otherwise"),
    (COLUMN, [10**4000, 2], [1], "shape that does not fit"),
    (COLUMN, [1, 2], [1, 2], "shape [1, 2], the model takes [-1, 1]"),
    (VECTOR, [1, 2], [1, 2], "shape [1, 2], the model takes [-1]"),
    (WIDE, [3], [1, 2, 3], "shape [3], the model takes [-1, 3]"),
    (WIDE, [1, 1, 3], [1, 2, 3], "shape [1, 1, 3], the model takes [-1, 3]"),
    (WIDE, [2, 3], [[1, 2, 3], [4, 5]], "does not follow its shape"),
    (WIDE, [2, 3], [[1, 2, 3], 4, 5, 6], "4 rows of data"),
    (WIDE, [3, 3], [[1, 2, 3], [4, 5, 6]], "2 rows of data"),
    (WIDE, [1, 3], [[[1], [2], [3]]], "must not hold a list"),
]


@pytest.mark.parametrize(("spec", "shape", "data", "sentence"), HOSTILE)
def test_what_a_tensor_claims_is_checked_against_what_it_holds(
    spec: TensorSpec, shape: Any, data: Any, sentence: str
) -> None:
    with pytest.raises(RequestRefused) as refusal:
        read(spec, shape, data)
    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith("input 'x' ")
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("datatype", ["FP64", "INT64", "BYTES", "fp32", "", 7, ["FP32"]])
def test_another_datatype_than_the_declared_one_is_refused(datatype: Any) -> None:
    request = [{"name": "x", "shape": [1], "datatype": datatype, "data": [1]}]
    with pytest.raises(RequestRefused, match="the model takes FP32"):
        read_inputs(request, {"x": COLUMN})


SPECS = {"x": COLUMN, "z": TensorSpec("z", "BOOL", (DYNAMIC, 1))}
X = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
Z = {"name": "z", "shape": [1], "datatype": "BOOL", "data": [True]}


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (None, "'inputs' must be a list"),
        ({}, "'inputs' must be a list"),
        ([], "'inputs' must be a list"),
        ([5], "must be an object, not an integer"),
        ([{"shape": [1]}], "needs a 'name'"),
        ([{**X, "name": 5}], "needs a 'name'"),
        ([X], "missing input 'z'"),
        ([X, X], "'x' is given twice"),
        ([X, Z, {**X, "name": "q" * 1000}], "unknown input 'qqq"),
        ([X, {**Z, "shape": [2], "data": [True, False]}], "same number of rows: 'x' has 1, 'z' has 2"),
        ([X, {"name": "z", "shape": [1], "datatype": "BOOL", "parameters": {"binary_data_size": 1}}], "no 'data'"),
        ([X, {"name": "z", "datatype": "BOOL", "data": [True]}], "needs a 'shape'"),
    ],
)
def test_inputs_must_be_the_models_inputs_each_once(inputs: Any, sentence: str) -> None:
    with pytest.raises(RequestRefused) as refusal:
        read_inputs(inputs, SPECS)
    assert sentence in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_the_order_of_inputs_does_not_matter() -> None:
    assert set(read_inputs([Z, X], SPECS)) == {"x", "z"}


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("tensor(float)", ["N", 3], TensorSpec("t", "FP32", (DYNAMIC, 3))),
        ("tensor(string)", [None, 1], TensorSpec("t", "BYTES", (DYNAMIC, 1))),
        ("tensor(double)", [], TensorSpec("t", "FP64", None)),
        ("seq(map(int64,tensor(float)))", [], None),
    ],
)
def test_the_runtimes_description_is_translated(kind: str, shape: list[Any], expected: TensorSpec | None) -> None:
    assert TensorSpec.of_runtime("t", kind, shape) == expected


def test_a_word_of_the_caller_is_printable_and_short_in_a_sentence() -> None:
    assert quoted("\ud800\n" + "a" * 1000) == ascii("\ud800\n" + "a" * 75 + "...")
    assert quoted(None) == "null"
    assert quoted(object()) == "something else"


def test_only_floats_can_be_other_than_finite() -> None:
    assert is_finite(np.array([1, 2]))
    assert is_finite(np.array(["nan"], dtype=object))
    assert is_finite(np.array([1.5]))
    assert not is_finite(np.array([1.5, np.nan]))
    assert not is_finite(np.array([-np.inf]))
