from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry_client.from_columns import build_baseline
from sidecar.control.exchange_reader import ExchangeReader, reading_of
from sidecar.records import Answer
from tests.control.live_samples import answer, baseline, deployment, exchange, leg

BINARY = b'{"inputs":[{"name":"amount","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}'


def test_names_and_texts_come_from_the_baseline_unless_settings_name_features() -> None:
    columns = {"country": ["de", "at"] * 50, "amount": np.arange(100.0)}
    mixed = build_baseline(columns, now=baseline().created_at)
    reading = reading_of(deployment(), mixed)
    assert (reading.names, reading.texts) == (("country", "amount"), frozenset({"country"}))
    named = reading_of(deployment(payload={"features": ["x"], "prediction": "y"}), mixed)
    assert (named.names, named.prediction, named.row_path) == (("x",), "y", None)
    paths = reading_of(deployment(payload={"row_path": "$.a[0]", "score_path": "$"}), None)
    assert (paths.names, paths.row_path, paths.score_path) == ((), ("a", 0), ())


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({}, 1),
        ({"path": "/v1/models/fraud:predict", "body": b'{"instances":[[1],[2]]}'}, 2),
        ({"path": "", "content_type": "text/csv", "body": b"amount\n1\n"}, 1),
        ({"body": BINARY + b"\0" * 4, "json_bytes": len(BINARY)}, 1),
    ],
)
def test_requests_of_every_kind_are_read_from_an_exchange(changes: dict[str, Any], rows: int) -> None:
    reader = ExchangeReader(deployment(), baseline())
    found = reader.features(exchange(1, **changes))
    assert found is not None
    assert (found[0], found[1].order) == (rows, ("amount",))
    assert not reader.unread_requests


def test_what_cannot_be_read_is_counted_by_reason() -> None:
    reader = ExchangeReader(deployment(), baseline())
    assert reader.features(exchange(1, body=b"{")) is None
    assert reader.features(exchange(1, body=b"{}", json_bytes=9)) is None
    assert reader.prediction(leg("3", answer(["1"], [0.5], content_encoding="br")), "") is None
    assert reader.prediction(leg("3", None), "") is None
    assert reader.unread_requests == {"json": 1, "shape": 1}
    assert reader.unread_answers == {"encoding": 1}


def test_an_answer_is_read_by_its_own_header() -> None:
    reader = ExchangeReader(deployment(), baseline())
    body = b'{"outputs":[{"name":"score","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}'
    said = reader.prediction(leg("3", Answer(200, "", "", body + b"\0\0\0?", len(body))), "/v2/models/fraud/infer")
    assert said is not None
    assert (said.labels, said.scores) == (None, (0.5,))
