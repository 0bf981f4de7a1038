from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sidecar.model_server import ModelServerError, OnnxModel
from sidecar.model_server.errors import NotServed, RequestRefused, RuntimeFailed

ROW = [
    {"name": "amount", "shape": [2, 1], "datatype": "FP32", "data": [1250, 0.1]},
    {"name": "count", "shape": [2, 1], "datatype": "INT64", "data": [[7], [-9007199254740993]]},
    {"name": "small", "shape": [2], "datatype": "UINT8", "data": [0, 255]},
    {"name": "country", "shape": [2, 1], "datatype": "BYTES", "data": ["DE", "Ä"]},
    {"name": "online", "shape": [2, 1], "datatype": "BOOL", "data": [True, False]},
]


def wide_request(*rows: list[float]) -> bytes:
    return json.dumps({"inputs": [{"name": "X", "shape": [len(rows), 3], "datatype": "FP32", "data": rows}]}).encode()


def test_every_datatype_goes_through_the_model_and_back(echo: OnnxModel) -> None:
    answer = json.loads(echo.answer(json.dumps({"id": "a-1", "inputs": ROW}).encode()))
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("echo", "1", "a-1")
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["amount_out"]["data"] == pytest.approx([1250, 0.1], rel=1e-6)
    assert outputs["count_out"]["data"] == [7, -9007199254740993]
    assert outputs["small_out"]["data"] == [0, 255]
    assert outputs["country_out"] == {
        "name": "country_out",
        "datatype": "BYTES",
        "shape": [2, 1],
        "data": ["DE", "Ä"],
    }
    assert outputs["online_out"]["data"] == [True, False]


def test_only_the_outputs_asked_for_are_given_in_that_order(echo: OnnxModel) -> None:
    request = {"inputs": ROW, "outputs": [{"name": "online_out"}, {"name": "amount_out", "parameters": {}}]}
    answer = json.loads(echo.answer(json.dumps(request).encode()))
    assert [output["name"] for output in answer["outputs"]] == ["online_out", "amount_out"]
    assert "id" not in answer


def test_metadata_says_what_to_send(echo: OnnxModel, wide: OnnxModel) -> None:
    assert echo.metadata()["inputs"][3] == {"name": "country", "datatype": "BYTES", "shape": [-1, 1]}  # type: ignore[index]
    assert wide.metadata() == {
        "name": "log",
        "versions": ["2"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "Y", "datatype": "FP32", "shape": [-1, 3]}],
    }


def test_a_prediction_that_is_not_finite_is_written_bare_and_never_as_null(wide: OnnxModel) -> None:
    body = wide.answer(wide_request([-1, 0, 1]))
    assert b"null" not in body
    assert b"[NaN,-Infinity,0.0]" in body
    not_a_number, infinity, zero = json.loads(body)["outputs"][0]["data"]
    assert math.isnan(not_a_number)
    assert (infinity, zero) == (-math.inf, 0.0)


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
def test_bare_nan_and_a_byte_order_mark_are_let_in(wide: OnnxModel, prefix: bytes) -> None:
    body = prefix + b'{"inputs":[{"name":"X","shape":[1,3],"datatype":"FP32","data":[NaN,Infinity,1]}]}'
    data = json.loads(wide.answer(body))["outputs"][0]["data"]
    assert math.isnan(data[0])
    assert data[1] == math.inf


def body_with(**changes: Any) -> bytes:
    return json.dumps({"inputs": ROW, **changes}).encode()


HOSTILE: list[tuple[bytes, str]] = [
    (b"", "not valid JSON"),
    (b"{", "not valid JSON"),
    (b"\xff\xfe\x00", "it is not UTF-8"),
    (b'{"inputs": "\xc3\x28"}', "it is not UTF-8"),
    (b"null", "must be a JSON object, not null"),
    (b"[1,2]", "must be a JSON object, not a list"),
    (b"5", "must be a JSON object, not an integer"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"a":' * 100_000, "nested too deeply"),
    (b'{"inputs":[{"name":"X","shape":[1],"datatype":"FP32","data":[1e400]}]}', "a number is too large"),
    (b'{"inputs":[NaN,' + b"9" * 5000 + b"]}", "a number is too large"),
    (b"{}", "'inputs' must be a list"),
    (body_with(id=7), "'id' must be a string"),
    (b'{"id":"\\ud800","inputs":[]}', "'id' is not valid Unicode"),
    (body_with(outputs="amount_out"), "'outputs' must be a list"),
    (body_with(outputs=[7]), "every entry of 'outputs'"),
    (body_with(outputs=[{}]), "every entry of 'outputs'"),
    (body_with(outputs=[{"name": "nope"}]), "unknown output 'nope': the model gives 'amount_out'"),
    (body_with(outputs=[{"name": "amount_out"}] * 2), "asked for twice"),
]


@pytest.mark.parametrize(("body", "sentence"), HOSTILE)
def test_a_hostile_body_gets_one_plain_sentence(echo: OnnxModel, body: bytes, sentence: str) -> None:
    with pytest.raises(RequestRefused) as refusal:
        echo.answer(body)
    assert refusal.value.status == 400
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_failing_runtime_is_an_error_of_the_server_and_the_next_request_is_answered(picky: OnnxModel) -> None:
    def request(position: int) -> bytes:
        entry = {"name": "position", "shape": [1], "datatype": "INT64", "data": [position]}
        return json.dumps({"inputs": [entry]}).encode()

    with pytest.raises(RuntimeFailed) as failure:
        picky.answer(request(7))
    assert failure.value.status == 500
    assert "Traceback" not in str(failure.value)
    assert json.loads(picky.answer(request(2)))["outputs"][0]["data"] == [2.5]


def test_another_name_or_version_is_not_served(echo: OnnxModel) -> None:
    echo.check_served("echo", None)
    echo.check_served("echo", "1")
    with pytest.raises(NotServed, match="unknown model 'other': this server serves 'echo'"):
        echo.check_served("other", None)
    with pytest.raises(NotServed, match="unknown version '2' of 'echo': served is 1"):
        echo.check_served("echo", "2")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelServerError, match=r"there is no model file .*nothing\.onnx"):
        OnnxModel(tmp_path / "nothing.onnx", "m", "1")
    with pytest.raises(ModelServerError, match="there is no model file"):
        OnnxModel(tmp_path, "m", "1")


@pytest.mark.parametrize("content", [b"", b"not onnx", b"\x08\x08" * 500])
def test_a_file_that_is_no_model_is_one_plain_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelServerError, match="is not a usable ONNX model") as failure:
        OnnxModel(path, "m", "1")
    assert "\n" not in str(failure.value)


def test_outputs_that_are_no_tensors_say_how_to_export_instead(sequence_file: Path) -> None:
    with pytest.raises(ModelServerError, match="zipmap"):
        OnnxModel(sequence_file, "m", "1")
