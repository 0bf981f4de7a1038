"""Labels and scores among outputs, where protocols differ least; Triton's classification extension."""

from __future__ import annotations

import json
import struct

import pytest

from sidecar.payload import Message, Reading, Undecodable, read_prediction
from sidecar.payload.outputs import named_like_output
from sidecar.records import Prediction
from tests.payload.samples import V2, answer, prediction, tensor

TOP = ["0.938241:0:cat", "0.061759:1:dog"]


@pytest.mark.parametrize(
    ("shape", "data", "labels", "scores"),
    [
        # Captured from Triton 2.51.0: without labels, the class's index.
        ([2, 1], ["0.938241:0", "0.961000:1"], ("0", "1"), (0.938241, 0.961)),
        ([1, 2], TOP, ("cat",), (0.061759,)),
        # Without a batch dimension, the top classes are those of one row.
        ([2], TOP, ("cat",), (0.061759,)),
        ([3], [*TOP, "0.000001:2:cow"], ("cat",), (0.938241,)),
        ([1], ["-3.500000:17:a:b\n"], ("a:b\n",), (-3.5,)),
        ([2, 2], ["0.600000:1:b", "0.400000:0:a", "0.700000:0:a", "0.300000:1:b"], ("b", "a"), (0.6, 0.3)),
    ],
)
def test_classification_texts_are_labels_with_scores(
    shape: list[int], data: list[str], labels: tuple[str, ...], scores: tuple[float, ...]
) -> None:
    assert prediction(answer(tensor("output", "BYTES", shape, data)), path=V2) == Prediction(labels, scores)


@pytest.mark.parametrize("data", [["12:30", "18:45"], ["0.5:1", "0.5:0"], ["a", "0.500000:1"], ["0.938241:0", None]])
def test_other_texts_are_labels_as_they_are(data: list[str | None]) -> None:
    said = prediction(answer(tensor("output", "BYTES", [2], data)), path=V2)
    assert said == Prediction(tuple("null" if text is None else text for text in data), None)


def test_classification_texts_come_binary_too() -> None:
    raw = b"".join(struct.pack("<I", len(text)) + text.encode() for text in TOP)
    entry = {"name": "o", "datatype": "BYTES", "shape": [1, 2], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"outputs": [entry]}).encode()
    assert read_prediction(Reading(), Message(head + raw, V2, json_bytes=len(head))) == Prediction(
        ("cat",), (0.061759,)
    )


def test_texts_or_truths_under_a_scores_name_are_no_scores() -> None:
    raw = {"name": "score", "datatype": "BOOL", "shape": [1], "parameters": {"binary_data_size": 1}}
    head = json.dumps({"outputs": [raw]}).encode()
    for body, size in ((head + b"\x01", len(head)), (answer(tensor("score", "BOOL", [1], [True])), -1)):
        with pytest.raises(Undecodable):
            read_prediction(Reading(), Message(body, V2, json_bytes=size))


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("Score", True),
        ("result.label", True),
        ("fraud_proba", True),
        ("predictions", True),
        ("x" * 200 + "_class", True),
        ("labeled", False),
        ("score.x", False),
        ("", False),
    ],
)
def test_a_name_says_output_by_its_last_part(name: str, named: bool) -> None:
    assert named_like_output(name) is named


def test_of_many_outputs_the_named_one_is_the_label() -> None:
    said = prediction(
        answer(
            tensor("age", "INT64", [1], [33]),
            tensor("out_label", "INT64", [1], [1]),
            tensor("predict", "INT8", [1], [2]),
        ),
        path=V2,
    )
    assert said == Prediction(("1",), None)


def test_an_output_with_too_many_dimensions_takes_the_long_way() -> None:
    deep = answer(tensor("score", "FP32", [1, 1, 2], [0.25, 0.75]))
    assert prediction(deep, path=V2) == Prediction(None, (0.75,))
    with pytest.raises(Undecodable):
        prediction(answer(tensor("score", "FP32", [2, 2], [0.25, 0.75])), path=V2)


@pytest.mark.parametrize(
    ("shape", "data", "vectors"),
    [
        ([2, 3], [0.1, 0.2, 0.7, 1, 0, 0], ((0.1, 0.2, 0.7), (1.0, 0.0, 0.0))),
        ([1, 2], [0.1, 0.9], None),
        ([2], [0.1, 0.9], None),
        ([1, 5_000], [0.5] * 5_000, None),
    ],
)
def test_three_numbers_a_row_or_more_are_a_vector_unless_they_are_too_many(
    shape: list[int], data: list[float], vectors: tuple[tuple[float, ...], ...] | None
) -> None:
    assert prediction(answer(tensor("probabilities", "FP64", shape, data)), path=V2).vectors == vectors
