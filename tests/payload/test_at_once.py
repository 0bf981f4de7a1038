"""The short ways say what the long ways would have said."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.payload import kserve_v1, mlflow, oip, oip_binary
from sidecar.payload.columns import Columns
from sidecar.payload.document import parse
from sidecar.payload.outputs import prediction_of
from sidecar.payload.rows_at_once import rows_of_numbers
from sidecar.payload.tensors_at_once import binary_columns, input_columns, output_tensors
from sidecar.payload.undecodable import Undecodable
from tests.payload.samples import answer, plain, request, tensor

NUMBER = st.none() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
SCALAR = NUMBER | st.booleans() | st.text("ab", max_size=2)
NAMES = st.sampled_from(((), ("a", "b"), ("b", "a"), ("a", "b", "c"), ("a",), ("x", "y")))


def same(short: Columns | None, long: Columns) -> bool:
    """Whether the short way left it to the long one, or said the same: order, kinds and values."""
    if short is None:
        return False
    assert (short.rows, short.order, short.names) == (long.rows, long.order, long.names)
    assert plain(short) == plain(long)
    return True


@st.composite
def tensors(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = draw(st.integers(1, 3))
    found = []
    for name in draw(st.lists(st.sampled_from("abcdx"), min_size=1, max_size=4)):
        datatype = draw(st.sampled_from(("FP32", "INT64", "BYTES", "BOOL", "FP64")))
        width = draw(st.sampled_from((1, 1, 1, 2, 3)))
        values = draw(
            st.lists(draw(st.sampled_from((NUMBER, NUMBER, SCALAR))), min_size=rows * width, max_size=rows * width)
        )
        shape = [rows] if width == 1 and draw(st.booleans()) else [rows, width]
        if len(shape) == 2 and draw(st.booleans()):
            nested = [values[at : at + width] for at in range(0, rows * width, width)]
            found.append(tensor(name, datatype, shape, nested))
        else:
            found.append(tensor(name, datatype, shape, values))
    return found


@settings(max_examples=400, deadline=None)
@given(found=tensors(), names=NAMES)
def test_tensors_of_a_request(found: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    body = request(*found)
    try:
        long = oip.features(parse(body), names)
    except Undecodable:
        assert input_columns(body, names) is None
    else:
        same(input_columns(body, names), long)


@settings(max_examples=300, deadline=None)
@given(found=tensors(), name=st.sampled_from((None, "a")))
def test_tensors_of_an_answer(found: list[dict[str, Any]], name: str | None) -> None:
    body = answer(*found)
    outputs = output_tensors(body)
    try:
        long = oip.prediction(parse(body), name)
    except Undecodable:
        if outputs is not None:
            with pytest.raises(Undecodable):
                prediction_of(outputs, name)
    else:
        assert outputs is None or repr(prediction_of(outputs, name)) == repr(long)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.lists(NUMBER, min_size=2, max_size=2), max_size=3)
    | st.lists(st.lists(SCALAR, max_size=3), max_size=3),
    columns=st.none() | st.lists(st.sampled_from("abc"), max_size=3),
    names=NAMES,
)
def test_rows_of_numbers(rows: list[list[Any]], columns: list[str] | None, names: tuple[str, ...]) -> None:
    for document, reader in (
        ({"instances": rows}, kserve_v1),
        ({"dataframe_split": {"columns": columns, "data": rows}}, mlflow),
    ):
        body = json.dumps(document).encode()
        try:
            long = reader.features(document, names)
        except Undecodable:
            assert rows_of_numbers(body, names) is None
        else:
            same(rows_of_numbers(body, names), long)


@pytest.mark.parametrize("datatype", ["FP32", "FP16", "BF16", "INT64", "UINT8", "BOOL", "BYTES"])
@pytest.mark.parametrize("names", [("a", "b"), ("b", "a"), ("x",), ()])
@pytest.mark.parametrize("shape", [[2], [2, 1], [1, 2], [1, 3], [2, 2]])
def test_binary_tensors(datatype: str, names: tuple[str, ...], shape: list[int]) -> None:
    size = {"FP32": 4, "FP16": 2, "BF16": 2, "INT64": 8, "UINT8": 1, "BOOL": 1, "BYTES": 4}[datatype] * int(
        np.prod(shape)
    )
    for tensor_names in (["a"], ["a", "b"], ["a", "x"], ["a", "a"], ["b", "a"]):
        entries = [
            {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
            for name in tensor_names
        ]
        head = json.dumps({"inputs": entries}).encode()
        body = head + b"\0" * size * len(entries)
        short = binary_columns(body, len(head), names)
        try:
            long = oip_binary.features(body, len(head), names)
        except Undecodable:
            assert short is None
        else:
            assert (
                same(short, long) or datatype in ("BOOL", "BYTES") or (len(entries) > 1 and shape[1:] not in ([], [1]))
            )


def test_the_usual_requests_take_the_short_way() -> None:
    names = tuple(f"f{place}" for place in range(30))
    narrow = request(*[tensor(name, "FP32", [2], [1.5, None]) for name in names])
    mixed = request(*[tensor(n, "BYTES" if n == "f7" else "FP64", [1, 1], ["x" if n == "f7" else 2]) for n in names])
    wide = request(tensor("x", "FP32", [1, 30], [0.5] * 30))
    nested = request(tensor("x", "FP32", [2, 30], [[0.5] * 30] * 2))
    for body in (narrow, mixed, wide, nested):
        found = input_columns(body, names)
        assert found is not None
        assert found.order is names
    for document in ({"instances": [[1] * 30]}, {"dataframe_split": {"columns": names, "data": [[1] * 30]}}):
        rows = rows_of_numbers(json.dumps(document).encode(), names)
        assert rows is not None
        assert rows.names is names


@pytest.mark.parametrize(
    "tensors",
    [
        [tensor("a", "FP32", [2], [1]), tensor("b", "FP32", [2], [1])],
        [tensor("a", "FP32", [1], [1]), tensor("b", "FP8", [1], [1])],
        [tensor("a", "FP32", [1], [1]), tensor("a", "FP32", [1], [1])],
        [tensor("a", "FP32", [1], [1]), tensor("b", "FP32", [1, 2], [1, 2])],
        [tensor("a", "FP32", [1], ["x"]), tensor("b", "BYTES", [1], ["x"])],
        [tensor("a", "FP32", [], [1])],
        [tensor("a", "FP32", [0], [])],
        [tensor("a", "FP32", [1, 20_000], [0] * 20_000)],
        [tensor("a", "FP32", [2, 2], [[1, 2], [3]])],
        [tensor("a", "FP32", [1], [10**400])],
    ],
)
def test_what_is_unusual_is_left_to_the_long_way(tensors: list[dict[str, Any]]) -> None:
    assert input_columns(request(*tensors), ("a", "b")) is None


def test_shared_memory_is_named_by_the_long_way() -> None:
    where = {"binary_data_size": 4, "shared_memory_region": "r"}
    head = json.dumps({"inputs": [{"name": "a", "datatype": "FP32", "shape": [1], "parameters": where}]}).encode()
    assert binary_columns(head + b"\0" * 4, len(head), ("a",)) is None


def test_an_integer_too_large_for_a_float_is_as_far_out_as_a_float_can_say() -> None:
    found = input_columns(request(tensor("a", "INT64", [1], [-(10**400)]), tensor("b", "BYTES", [1], ["x"])), ())
    assert found is not None
    assert plain(found) == {"a": [-float("inf")], "b": ["x"]}
