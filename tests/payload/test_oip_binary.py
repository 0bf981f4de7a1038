from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from sidecar.payload import Message, Reading, Undecodable, read_features, read_prediction
from sidecar.records import Prediction
from tests.payload.samples import V2, features, tensor

NAMES = ("a", "b", "c")


def binary(name: str, datatype: str, shape: list[int], size: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size, **more}}


def body(*entries: dict[str, Any], raw: bytes = b"", key: str = "inputs") -> tuple[bytes, int]:
    head = json.dumps({key: list(entries)}).encode()
    return head + raw, len(head)


def texts(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def read(found: tuple[bytes, int], names: tuple[str, ...] = NAMES) -> tuple[int, dict[str, list[Any]]]:
    return features(found[0], names, path=V2, json_bytes=found[1])


@pytest.mark.parametrize(
    ("datatype", "dtype", "values"),
    [
        ("INT8", "<i1", [-1, 2]),
        ("INT16", "<i2", [-300, 2]),
        ("INT32", "<i4", [-70_000, 2]),
        ("INT64", "<i8", [-(2**40), 2]),
        ("UINT8", "<u1", [200, 2]),
        ("UINT16", "<u2", [60_000, 2]),
        ("UINT32", "<u4", [4_000_000_000, 2]),
        ("UINT64", "<u8", [2**63, 2]),
        ("FP16", "<f2", [0.5, -2.0]),
        ("FP32", "<f4", [0.5, float("inf")]),
        ("FP64", "<f8", [0.1, -1e300]),
    ],
)
def test_every_numeric_type_is_read_as_it_lies_there(datatype: str, dtype: str, values: list[float]) -> None:
    raw = np.array(values, dtype).tobytes()
    assert read(body(binary("a", datatype, [2], len(raw)), raw=raw)) == (2, {"a": values})


def test_a_bf16_is_the_upper_half_of_an_fp32_and_a_bool_is_one_byte() -> None:
    half = (np.array([1.5, -2.0], "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    found = body(binary("a", "BF16", [2], 4), binary("b", "BOOL", [2, 1], 2), raw=half + b"\x01\x00")
    assert read(found) == (2, {"a": [1.5, -2.0], "b": [True, False]})


def test_numbers_of_one_wide_tensor_are_a_view_of_the_body() -> None:
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    whole, size = body(binary("x", "FP32", [2, 3], 24), raw=values.tobytes())
    _, columns = read_features(Reading(names=NAMES), Message(whole, V2, json_bytes=size))
    assert columns.names is columns.order
    assert columns.names == NAMES
    np.testing.assert_array_equal(columns.numbers, values)
    assert np.shares_memory(columns.numbers, np.frombuffer(whole, np.uint8))


def test_a_body_that_is_mostly_something_else_is_not_kept_for_its_numbers() -> None:
    head = json.dumps({"inputs": [binary("a", "FP32", [2], 8)]}).encode()
    padded = head + b" " * 100_000
    whole = padded + np.array([1.5, 2.5], "<f4").tobytes()
    _, columns = read_features(Reading(), Message(whole, V2, json_bytes=len(padded)))
    assert columns.numbers.tolist() == [[1.5], [2.5]]
    assert not np.shares_memory(columns.numbers, np.frombuffer(whole, np.uint8))


def test_one_tensor_a_feature_becomes_one_block_in_order() -> None:
    raw = np.array([1, 2, 3, 4, 5, 6], "<f4").tobytes()
    found = body(*[binary(name, "FP32", [2], 8) for name in NAMES], raw=raw)
    assert read(found) == (2, {"a": [1, 2], "b": [3, 4], "c": [5, 6]})
    assert read(found, ("c", "b", "a")) == (2, {"a": [1, 2], "b": [3, 4], "c": [5, 6]})


def test_binary_tensors_texts_and_json_ones_may_be_mixed() -> None:
    raw = texts(b"de", b"") + np.array([3, 4], "<i8").tobytes()
    found = body(
        binary("c", "BYTES", [2, 1], 10), tensor("a", "FP32", [2], [0.5, None]), binary("b", "INT64", [2], 16), raw=raw
    )
    assert read(found) == (2, {"c": ["de", ""], "a": [0.5, None], "b": [3, 4]})


def test_texts_that_are_no_utf_8_are_texts_all_the_same() -> None:
    assert read(body(binary("c", "BYTES", [1], 6), raw=texts(b"\xff\xfe"))) == (1, {"c": ["\\xff\\xfe"]})


def test_a_body_without_json_is_one_row_of_all_features() -> None:
    for dtype, values in (("<f4", [0.5, 0.0, 3.0]), ("<f8", [0.5, 1e9, -3.0]), ("<i4", [1, 0, -3]), ("<i8", [7, 8, 9])):
        raw = np.array(values, dtype).tobytes()
        assert read((raw, 0)) == (1, dict(zip(NAMES, [[value] for value in values], strict=True)))


# Captured from Triton 2.51.0.
def test_the_answer_that_triton_gives_is_read() -> None:
    head = (
        b'{"id":"b1","model_name":"bc","model_version":"1","outputs":[{"name":"label","datatype":"INT64","shape":[2,1],'
        b'"parameters":{"binary_data_size":16}},{"name":"probabilities","datatype":"FP32","shape":[2,2],"parameters":'
        b'{"binary_data_size":16}}]}'
    )
    raw = b"\0" * 16 + b"\x880p?z\xf7|=\x1d\x04v?)\xbe\x1f="
    said = read_prediction(Reading(), Message(head + raw, V2, json_bytes=242))
    assert len(head) == 242
    assert said.labels == ("0", "0")
    assert said.scores == pytest.approx((0.06175945, 0.03899971))


def test_an_answer_is_binary_if_its_own_header_says_so_and_json_if_not() -> None:
    whole, size = body(binary("label", "BYTES", [1], 6), raw=texts(b"ok"), key="outputs")
    assert read_prediction(Reading(), Message(whole, V2, json_bytes=size)) == Prediction(("ok",), None)
    plain = json.dumps({"outputs": [tensor("label", "BYTES", [1], ["ok"])]}).encode()
    assert read_prediction(Reading(), Message(plain, V2)) == Prediction(("ok",), None)


FOUR = b"\0" * 4


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (body(binary("a", "FP32", [1], 4), raw=b"\0" * 3), "shape"),
        (body(binary("a", "FP32", [1], 4), raw=b"\0" * 5), "shape"),
        (body(binary("a", "FP32", [2], 4), raw=FOUR), "shape"),
        (body(binary("a", "FP32", [1], 5), raw=b"\0" * 5), "shape"),
        (body(binary("a", "FP32", [1], -4), raw=FOUR), "shape"),
        (body(binary("a", "FP32", [1], True), raw=b"\0"), "shape"),
        (body(binary("a", "FP32", [1], 10**30), raw=FOUR), "shape"),
        (body(binary("a", "FP32", [2**52], 4), raw=FOUR), "shape"),
        (body(binary("a", "FP32", [1, 0], 0)), "shape"),
        (body(binary("a", "INT8", [1, 20_000], 20_000), raw=b"\0" * 20_000), "too_large"),
        (body(binary("a", "BYTES", [1], 4), raw=b"\xff\xff\xff\xff"), "shape"),
        (body(binary("a", "BYTES", [2], 4), raw=FOUR), "shape"),
        (body(binary("a", "BYTES", [1], 8), raw=FOUR + FOUR), "shape"),
        (body(binary("a", "BYTES", [2], 10), raw=texts(b"abcdef")), "shape"),
        (body(binary("a", "BYTES", [2**50], 0)), "shape"),
        (body({"name": "a", "datatype": "FP32", "shape": [1]}), "protocol"),
        (body(binary("a", "FP8", [1], 4), raw=FOUR), "protocol"),
        (body(binary("a", "FP32", [1], 4, shared_memory_region="r"), raw=FOUR), "shared_memory"),
        (body(), "shape"),
        ((b"{}", 2), "protocol"),
        ((b"{}", 3), "shape"),
        ((b'{"inputs":[]}', 5), "json"),
        ((b"[" * 20_000 + FOUR, 20_000), "json"),
        ((b"\xff\xff" + FOUR, 2), "json"),
        ((FOUR, 0), "shape"),
        ((b"", 0), "shape"),
    ],
)
def test_sizes_that_lie_and_headers_that_are_none_are_undecodable(found: tuple[bytes, int], reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        read(found)
    assert caught.value.reason == reason


def test_an_answer_of_raw_bytes_alone_says_nothing() -> None:
    with pytest.raises(Undecodable):
        read_prediction(Reading(), Message(FOUR, V2, json_bytes=0))


def test_without_names_a_raw_body_is_not_guessed_at() -> None:
    with pytest.raises(Undecodable):
        read((FOUR * 3, 0), ())
