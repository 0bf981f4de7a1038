"""The entry: which reader a body goes to, and that hostile bytes end in one error."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.payload import Message, Reading, Undecodable, read_features, read_prediction
from sidecar.payload.reading import Protocol
from sidecar.records import Prediction
from tests.payload.samples import V2, features, message, prediction, tensor

GOOD = {"inputs": [tensor("a", "FP32", [1], [1.0])]}
PROTOCOLS: tuple[Protocol, ...] = ("auto", "oip", "kserve-v1", "tfserving", "mlflow", "seldon", "json")
PATHS = (
    "",
    V2,
    "/v2/models/m/versions/1/infer",
    "/v1/models/m:predict",
    "/v1/models/m/labels/x:predict",
    "/v1/models/m:classify",
    "/invocations",
    "/serving-endpoints/e/invocations",
    "/api/v0.1/predictions",
    "/score",
)


def test_the_content_type_is_no_discriminator() -> None:
    for content_type in ("", "text/plain", "application/octet-stream", "application/json; charset=utf-8", "text/csv"):
        assert features(GOOD, path=V2, content_type=content_type, content_encoding=" Identity ") == (1, {"a": [1.0]})


@pytest.mark.parametrize(
    ("document", "path", "columns"),
    [
        (GOOD, "/anything", {"a": [1.0]}),
        (GOOD, "/invocations", {"a": [1.0]}),
        ({"inputs": {"a": [1]}}, "/anything", {"a": [1.0]}),
        ({"inputs": {"a": [1]}}, V2, None),
        ({"signature_name": "s", "instances": [{"a": 1}]}, "", {"a": [1.0]}),
        ({"a": 1}, "/score", {"a": [1.0]}),
        ([{"a": 1}], "/score", {"a": [1.0]}),
        ({"data": {"names": ["a"], "ndarray": [[1]]}}, "/predict", {"a": [1.0]}),
        ({"data": 1}, "/predict", {"data": [1.0]}),
        ({"messages": [{"role": "user"}]}, "/score", None),
        ({"model": "m", "prompt": "hi"}, "/score", None),
        ({"model": "m", "input": ["hi"]}, "/score", None),
        ({"model": "diesel", "power": 3}, "/score", {"model": ["diesel"], "power": [3.0]}),
        ({"a": 1}, "/v1/chat/completions", None),
        ({"a": 1}, "/openai/v1/embeddings", None),
        ({"text_input": "hi"}, "/v2/models/m/generate_stream", None),
    ],
)
def test_auto_goes_by_the_route_first_and_by_the_keys_second(
    document: object, path: str, columns: dict[str, list[Any]] | None
) -> None:
    if columns is None:
        with pytest.raises(Undecodable) as caught:
            features(document, path=path)
        assert caught.value.reason == "protocol"
    else:
        assert features(document, path=path) == (1, columns)


@pytest.mark.parametrize(
    ("document", "path", "said"),
    [
        # The answer decides, not the request: a V2 route may answer in another form, and another route in V2's.
        ({"outputs": [tensor("label", "BYTES", [1], ["a"])]}, "/score", Prediction(("a",), None)),
        ({"predictions": [0.5]}, V2, Prediction(None, (0.5,))),
        ({"outputs": {"score": [0.5]}}, "", Prediction(None, (0.5,))),
        ({"results": [0.5]}, "", Prediction(None, (0.5,))),
        ({"data": {"ndarray": [[0.25, 0.75]]}}, "", Prediction(None, (0.75,))),
        ({"label": "x", "score": 0.5}, "", Prediction(("x",), (0.5,))),
        (0.5, "", Prediction(None, (0.5,))),
        ("cat", "", Prediction(("cat",), None)),
        ({"choices": [{"text": "hi"}]}, "", None),
        ({"object": "list", "data": [{"embedding": [0.1]}]}, "", None),
        ({"error": "no such model"}, V2, None),
        ([1, 2, 3], V2, None),
        ({"score": 0.5}, V2, None),
        ({}, "", None),
        (None, "/v1/chat/completions", None),
    ],
)
def test_an_answer_is_read_by_what_it_is(document: object, path: str, said: Prediction | None) -> None:
    if said is None:
        with pytest.raises(Undecodable) as caught:
            prediction(document, path=path)
        assert caught.value.reason == "protocol"
    else:
        assert prediction(document, path=path) == said


@pytest.mark.parametrize(
    "content_type", ["application/grpc+proto", "Multipart/form-data; boundary=x", "application/vnd.apache.parquet"]
)
def test_what_cannot_be_text_is_not_parsed(content_type: str) -> None:
    for path in ("", V2, "/invocations"):
        with pytest.raises(Undecodable) as caught:
            features(GOOD, path=path, content_type=content_type)
        assert caught.value.reason == "protocol"


def test_a_path_in_the_settings_says_where_plain_json_lies() -> None:
    reading: dict[str, Any] = {"row_path": ("payload", "rows", 0), "score_path": ("out", "scores")}
    body = {"instances": [], "payload": {"rows": [[{"a": 1}, {"a": 2}]]}}
    for protocol in ("auto", "json"):
        assert features(body, reading={**reading, "protocol": protocol}, path="/invocations") == (2, {"a": [1, 2]})
        said = {"predictions": ["no"], "out": {"scores": [0.5, 0.25]}}
        assert prediction(said, reading={**reading, "protocol": protocol}, path=V2).scores == (0.5, 0.25)
    nowhere: tuple[Any, ...] = ({}, {"payload": 1}, {"payload": {"rows": []}}, [1])
    for document in nowhere:
        with pytest.raises(Undecodable) as caught:
            features(document, reading=reading)
        assert caught.value.reason == "path"


def test_json_lines_are_rows() -> None:
    body = b'{"features":[1,2]}\n\n{"features":[3,4]}\n'
    found = {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert features(body, ("a", "b"), path="/invocations", content_type="application/jsonlines") == (2, found)


def test_no_path_whatever_takes_long_to_recognise() -> None:
    started = time.process_time()
    for part in (
        "/v2/models/",
        "/v1/models/",
        "/v2/models/x/versions/",
        "/v1/models/a/versions/b:c",
        "/api/v1.0/predictions",
    ):
        assert features({"a": 1}, path=part * (8_192 // len(part)) + "/") == (1, {"a": [1.0]})
    assert time.process_time() - started < 1.0


def test_of_duplicate_keys_the_last_one_counts_in_every_form() -> None:
    assert features(b'{"a":1,"a":2}') == (1, {"a": [2.0]})
    assert features(b'{"inputs":[],"inputs":[{"name":"x","name":"a","shape":[1],"datatype":"INT8","data":[2]}]}') == (
        1, {"a": [2.0]}
    )  # fmt: skip


HOSTILE = (
    b"",
    b"\xff\xfe",
    b"\x00" * 100,
    b"[" * 10_000,
    b"[" * 10_000 + b"]" * 10_000,
    b'{"inputs":' * 10_000,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b'{"instances":[' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"]}",
    b"9" * 5_000,
    b"[" + b"9" * 4_000 + b"]",
    b'{"instances":[[' + b"9" * 4_000 + b"]]}",
    b'{"instances":[{"a":1e999999}]}',
    b'"\xed\xa0\x80"',
    b'{"\\ud800":1}',
    b'{"instances":[null]}',
    b'{"instances":[[null]]}',
    b"null",
    b"true",
    b'{"predictions":[{}]}',
    b'{"predictions":{"a":{}}}',
    b'{"predictions":[[[]]]}',
    b'{"outputs":[null]}',
    b'{"data":{"ndarray":[[]],"names":[1]}}',
    b'{"data":{"tensor":{"shape":[9007199254740991,0],"values":[]}}}',
    b"json=%00",
    b'a,"b\n',
    b'a\r"',
    b",,,\n,,\n",
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_hostile_bytes_end_in_nothing_but_undecodable_and_soon(protocol: Protocol) -> None:
    reading = Reading(protocol, ("a", "b"))
    started = time.process_time()
    for body in HOSTILE:
        for path in PATHS:
            for more in ({}, {"json_bytes": 0}, {"json_bytes": len(body) // 2}, {"content_type": "text/csv"}):
                for read in (read_features, read_prediction):
                    try:
                        read(reading, Message(body, path, **more))
                    except Undecodable:
                        continue
    assert time.process_time() - started < 20.0


KEYS = [
    "inputs", "outputs", "instances", "predictions", "data", "columns", "name", "shape",
    "datatype", "score", "label", "ndarray", "tensor", "values", "names", "results",
    "dataframe_split", "dataframe_records", "b64", "examples", "context", "jsonData", "parameters",
    "binary_data_size", "a",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner | st.sampled_from(("FP32", "BYTES", [1], [2], [1, 2])),
            max_size=5,
        )
    ),
    max_leaves=24,
)


@settings(max_examples=300, deadline=None)
@given(document=JSON, protocol=st.sampled_from(PROTOCOLS), path=st.sampled_from(PATHS), cut=st.integers(-1, 60))
def test_no_json_whatever_escapes_as_another_error(document: Any, protocol: Protocol, path: str, cut: int) -> None:
    body = json.dumps(document).encode()
    reading = Reading(protocol, ("a", "b"), prediction="score" if cut % 2 else None)
    before = bytes(body)
    for json_bytes in (-1, cut):
        try:
            rows, columns = read_features(reading, message(body, path, json_bytes=json_bytes))
            assert all(len(column) == rows for column in columns.values())
        except Undecodable:
            pass
        try:
            said = read_prediction(reading, message(body, path, json_bytes=json_bytes))
            assert {len(part) for part in (said.labels, said.scores) if part is not None} == {said.rows}
        except Undecodable:
            pass
    assert body == before


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=200),
    protocol=st.sampled_from(PROTOCOLS),
    media=st.sampled_from(("", "text/csv", "application/jsonl")),
)
def test_no_bytes_whatever_escape_as_another_error(body: bytes, protocol: Protocol, media: str) -> None:
    for encoding in ("", "gzip", "deflate"):
        for read in (read_features, read_prediction):
            try:
                read(Reading(protocol, ("a",)), Message(body, "", media, encoding))
            except Undecodable:
                continue
