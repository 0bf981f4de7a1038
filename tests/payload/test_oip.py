from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest

from sidecar.payload import Columns, Message, Reading, Undecodable, read_features
from sidecar.records import Prediction
from tests.payload.samples import V2, answer, plain, request, tensor
from tests.payload.samples import prediction as read_prediction


def features(body: bytes, names: tuple[str, ...] = ()) -> tuple[int, Columns]:
    return read_features(Reading(protocol="oip", names=names), Message(body, V2, "application/json"))


def prediction(body: bytes, name: str | None = None) -> Prediction:
    return read_prediction(body, name, path=V2, reading={"protocol": "oip"})


@pytest.mark.parametrize(
    ("tensors", "names", "rows", "columns"),
    [
        ([tensor("a", "FP32", [2], [1.5, 2])], (), 2, {"a": [1.5, 2.0]}),
        ([tensor("a", "FP64", [2, 1], [[1.5], [2]])], (), 2, {"a": [1.5, 2.0]}),
        ([tensor("x", "INT64", [1, 2], [3, 4])], ("a", "b"), 1, {"a": [3.0], "b": [4.0]}),
        ([tensor("x", "FP32", [2, 2], [[1, 2], [3, 4]])], ("a", "b"), 2, {"a": [1.0, 3.0], "b": [2.0, 4.0]}),
        ([tensor("x", "FP32", [2, 2], [1, 2, 3, 4])], ("a",), 2, {"x[0]": [1.0, 3.0], "x[1]": [2.0, 4.0]}),
        ([tensor("x", "FP32", [1, 2, 2], [[[1, 2], [3, 4]]])], (), 1, {f"x[{i}]": [i + 1.0] for i in range(4)}),
        ([tensor("input-0", "FP32", [1], [7])], ("amount",), 1, {"amount": [7.0]}),
        # Beside other tensors a name is meant, even one that nobody knows.
        (
            [tensor("amount", "FP32", [1], [7]), tensor("cuntry", "BYTES", [1], ["de"])],
            ("amount", "country"),
            1,
            {"amount": [7.0], "cuntry": ["de"]},
        ),
        # The wide tensor takes the names that no tensor bears.
        (
            [
                tensor("c", "BYTES", [1, 1], ["de"]),
                tensor("x", "FP32", [1, 2], [1, 2]),
                tensor("b", "BOOL", [1], [True]),
            ],
            ("v1", "c", "v2", "b"),
            1,
            {"c": ["de"], "v1": [1.0], "v2": [2.0], "b": [True]},
        ),
        ([tensor("a", "INT64", [2], [2**53 + 1, 10**400])], (), 2, {"a": [2.0**53, np.inf]}),
        ([tensor("a", "FP32", [2], ["1", 2.0])], (), 2, {"a": ["1", 2.0]}),
        ([tensor("a", "FP32", [2], [True, 2.0])], (), 2, {"a": [True, 2.0]}),
        ([tensor("a", "BYTES", [2], ["x", None])], (), 2, {"a": ["x", None]}),
        # One wrong type spoils its own column only.
        ([tensor("x", "FP32", [2, 2], [1, "oops", 3, 4])], (), 2, {"x[0]": [1.0, 3.0], "x[1]": ["oops", 4]}),
        ([tensor("a", "FP32", [0], [])], (), 0, {"a": []}),
        ([tensor("a", "FP32", [1], [1], parameters=None)], (), 1, {"a": [1.0]}),
    ],
)
def test_features_are_found_by_tensor_names_or_names_from_outside(
    tensors: list[dict[str, Any]], names: tuple[str, ...], rows: int, columns: dict[str, list[Any]]
) -> None:
    found_rows, found = features(request(*tensors), names)
    assert (found_rows, plain(found)) == (rows, columns)


def test_clean_numbers_become_float64_arrays_and_null_and_nan_are_missing() -> None:
    body = b'\xef\xbb\xbf{"inputs":[{"name":"a","shape":[5],"datatype":"FP32","data":[1,null,NaN,-Infinity,1e400]}]}'
    _, columns = features(body)
    column = columns["a"]
    assert isinstance(column, np.ndarray)
    assert column.dtype == np.float64
    np.testing.assert_array_equal(column, [1.0, np.nan, np.nan, -np.inf, np.inf])


GOOD = tensor("a", "FP32", [1], [1.0])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "json"),
        (b"\xff\xfe{\x00}\x00", "json"),
        (request(GOOD)[:-1], "json"),
        (request(GOOD) + b"\x00\x00\x80\x3f", "json"),
        (b"[" * 100_000, "json"),
        (b'{"inputs":' * 50_000 + b"1" + b"}" * 50_000, "json"),
        (b'{"inputs":[{"name":"\\ud800","shape":[1],"datatype":"BYTES","data":["x"]}]}', "json"),
        (b"9" * 5000, "json"),
        (b"null", "protocol"),
        (b"[]", "protocol"),
        (b'{"instances":[[1,2]]}', "protocol"),
        (b'{"inputs":{"a":[1]}}', "protocol"),
        (b'{"inputs":[1]}', "protocol"),
        (b'{"inputs":[]}', "shape"),
        (request({**GOOD, "datatype": "FP8"}), "protocol"),
        (request({**GOOD, "datatype": ["FP32"]}), "protocol"),
        (request({**GOOD, "name": 1}), "protocol"),
        (request({**GOOD, "data": None}), "protocol"),
        (request({**GOOD, "data": None, "parameters": {"shared_memory_region": "r"}}), "shared_memory"),
        (request({**GOOD, "data": {"0": 1}}), "shape"),
        (request({**GOOD, "data": "1"}), "shape"),
        (request({**GOOD, "data": [{}]}), "shape"),
        (request({**GOOD, "data": [1, 2]}), "shape"),
        (request({**GOOD, "shape": [2]}), "shape"),
        (request({**GOOD, "shape": [-1]}), "shape"),
        (request({**GOOD, "shape": [True]}), "shape"),
        (request({**GOOD, "shape": [1.0]}), "shape"),
        (request({**GOOD, "shape": []}), "shape"),
        (request({**GOOD, "shape": None}), "shape"),
        (request({**GOOD, "shape": [1] * 33}), "shape"),
        (request({**GOOD, "shape": [2**52, 2**52]}), "shape"),
        (request({**GOOD, "shape": [2**60]}), "shape"),
        (request({**GOOD, "shape": [2**50, 0], "data": []}), "shape"),
        (request({**GOOD, "shape": [2, 2], "data": [[1, 2], [3]]}), "shape"),
        (request({**GOOD, "shape": [2, 2], "data": [[1, 2], 3, 4]}), "shape"),
        (request({**GOOD, "shape": [2, 2], "data": [[1, 2, 3, 4]]}), "shape"),
        (request({**GOOD, "shape": [0, 1000], "data": [1]}), "shape"),
        (request({**GOOD, "shape": [0, 1_000_000], "data": []}), "too_large"),
        (request({**GOOD, "shape": [1, 1_000_000], "data": [0] * 1_000_000}), "too_large"),
        (request(*[{**GOOD, "name": str(i)} for i in range(10_001)]), "too_large"),
        (
            request({**GOOD, "shape": [1, 6000], "data": [0] * 6000}, tensor("b", "FP32", [1, 6000], [0] * 6000)),
            "too_large",
        ),
        (request(GOOD, GOOD), "shape"),
        (request(GOOD, tensor("b", "FP32", [2], [1, 2])), "shape"),
    ],
)
def test_hostile_requests_are_undecodable_with_a_reason(body: bytes, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(Undecodable) as caught:
        features(body)
    assert caught.value.reason == reason
    assert time.process_time() - started < 2.0


def test_of_duplicate_keys_the_last_one_counts() -> None:
    body = b'{"inputs":[],"inputs":[{"name":"a","name":"b","shape":[1],"datatype":"INT8","data":[1],"data":[2]}]}'
    assert plain(features(body)[1]) == {"b": [2.0]}


@pytest.mark.parametrize(
    ("tensors", "name", "labels", "scores"),
    [
        # Captured from Triton: sklearn through ONNX.
        (
            [tensor("label", "INT64", [2, 1], [0, 1]), tensor("probabilities", "FP32", [2, 2], [0.75, 0.25, 0.5, 0.5])],
            None,
            ("0", "1"),
            (0.25, 0.5),
        ),
        # Captured from MLServer: predict beside predict_proba is a class, even where classes are floats.
        (
            [tensor("predict", "FP64", [1, 1], [1.0]), tensor("predict_proba", "FP64", [1, 2], [0.25, 0.75])],
            None,
            ("1",),
            (0.75,),
        ),
        ([tensor("predict", "FP64", [2], [12.5, 3.0])], None, None, (12.5, 3.0)),
        ([tensor("output-0", "FP32", [1, 3], [[0.25, 0.5, 0.25]])], None, None, (0.5,)),
        ([tensor("output-0", "INT32", [2], [3, -1])], None, ("3", "-1"), None),
        ([tensor("output-0", "BOOL", [2], [True, False])], None, ("true", "false"), None),
        ([tensor("output-0", "BYTES", [2], ["fraud", "ok"])], None, ("fraud", "ok"), None),
        ([tensor("Class", "FP32", [2], [1.0, 2.5])], None, ("1", "2.5"), None),
        ([tensor("score", "INT32", [1], [17])], None, None, (17.0,)),
        # A named score beats an embedding; one number a row beats a vector.
        ([tensor("emb", "FP32", [1, 3], [9, 8, 7]), tensor("fraud_score", "FP32", [1], [0.5])], None, None, (0.5,)),
        ([tensor("emb", "FP32", [1, 3], [9, 8, 7]), tensor("y", "FP32", [1], [0.5])], None, None, (0.5,)),
        # The monitored output is chosen by name; a chosen label comes without scores.
        ([tensor("a", "FP32", [1], [1.5]), tensor("b", "FP32", [1], [2.5])], "b", None, (2.5,)),
        ([tensor("label", "INT64", [1], [1]), tensor("score", "FP32", [1], [0.5])], "label", ("1",), None),
        (
            [tensor("label", "INT64", [1], [1]), tensor("score", "FP32", [1], [0.5]), tensor("b", "FP32", [1], [2.5])],
            "b",
            ("1",),
            (2.5,),
        ),
        ([tensor("label", "INT64", [0], [])], None, (), None),
        ([tensor("label", "BYTES", [3], [None, 1.5, "x"])], None, ("null", "1.5", "x"), None),
    ],
)
def test_labels_and_scores_are_found_by_name_then_by_datatype(
    tensors: list[dict[str, Any]],
    name: str | None,
    labels: tuple[str, ...] | None,
    scores: tuple[float, ...] | None,
) -> None:
    found = prediction(answer(*tensors), name)
    assert (found.labels, found.scores) == (labels, scores)


def test_a_missing_score_is_nan_and_an_infinite_one_stays() -> None:
    found = prediction(b'{"outputs":[{"name":"score","shape":[3],"datatype":"FP32","data":[null,NaN,-Infinity]}]}')
    assert found.scores is not None
    np.testing.assert_array_equal(found.scores, [np.nan, np.nan, -np.inf])
    assert prediction(answer(tensor("score", "INT64", [2], [10**400, -(10**400)]))).scores == (np.inf, -np.inf)


@pytest.mark.parametrize(
    ("body", "name", "reason"),
    [
        (b'{"error":"Model nope not found"}', None, "protocol"),
        (b"Internal Server Error", None, "json"),
        (answer(), None, "shape"),
        (answer(tensor("label", "INT64", [1, 3], [1, 2, 3])), None, "shape"),
        (answer(tensor("score", "FP32", [1], ["0.5"])), None, "shape"),
        (answer(tensor("score", "FP32", [1], [True])), None, "shape"),
        (answer(tensor("score", "FP32", [2], [1, 2]), tensor("label", "INT64", [1], [1])), None, "shape"),
        (answer(tensor("score", "FP32", [1], [1])), "other", "shape"),
        (answer(tensor("score", "FP32", [2**50, 0], [])), None, "shape"),
        (answer(tensor("label", "INT64", [1], [1])).replace(b"[1]}", b"[" + b"9" * 5000 + b"]}"), None, "json"),
    ],
)
def test_answers_that_say_nothing_are_undecodable(body: bytes, name: str | None, reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        prediction(body, name)
    assert caught.value.reason == reason


def test_ten_thousand_outputs_are_read_in_linear_time() -> None:
    body = answer(*[tensor(f"predict{i}" if i else "predict", "FP32", [1], [0.5]) for i in range(10_000)])
    started = time.process_time()
    assert prediction(body).scores == (0.5,)
    assert time.process_time() - started < 1.0


def test_a_body_of_four_mebibytes_is_read_in_under_a_second() -> None:
    rng = random.Random(1)
    values = [round(rng.random(), 4) for _ in range(600_000)]
    for data in (values, [values[i : i + 30] for i in range(0, 600_000, 30)], [*values[:-1], "x"]):
        body = request(tensor("x", "FP32", [20_000, 30], data))
        assert len(body) > 4 << 20
        started = time.process_time()
        rows, columns = features(body)
        assert time.process_time() - started < 1.0
        assert (rows, len(columns)) == (20_000, 30)


def test_no_mutation_of_a_good_body_escapes_as_another_error() -> None:
    rng = random.Random(2)
    good = request(
        tensor("a", "FP32", [2, 2], [[1, 2], [3, 4]]), tensor("b", "BYTES", [2], ["x", "y"], parameters={"p": 1})
    )
    decoded = 0
    for _ in range(3000):
        body = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(len(body))] = rng.choice(b'0123456789[]{}",:-.eNnull\xff')
        for read in (lambda raw: features(raw, ("p", "q", "b")), lambda raw: prediction(raw.replace(b"in", b"out", 1))):
            try:
                read(bytes(body))
                decoded += 1
            except Undecodable:
                continue
    assert decoded > 0
