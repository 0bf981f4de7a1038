"""Requests and answers of the protocols, and short ways to read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sidecar.payload import Message, Reading, read_features, read_prediction
from sidecar.records import Column, Prediction

V2 = "/v2/models/m/infer"


def tensor(name: str, datatype: str, shape: list[int], data: object, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


def request(*tensors: dict[str, Any]) -> bytes:
    return json.dumps({"inputs": list(tensors)}).encode()


def answer(*tensors: dict[str, Any]) -> bytes:
    return json.dumps({"model_name": "m", "outputs": list(tensors)}).encode()


def message(body: bytes | object, path: str = "", **more: Any) -> Message:
    return Message(body if isinstance(body, bytes) else json.dumps(body).encode(), path, **more)


def features(
    body: bytes | object,
    names: tuple[str, ...] = (),
    *,
    path: str = "",
    reading: dict[str, Any] | None = None,
    **more: Any,
) -> tuple[int, dict[str, list[Any]]]:
    rows, columns = read_features(Reading(names=names, **(reading or {})), message(body, path, **more))
    assert rows == columns.rows
    assert all(len(column) == rows for column in columns.values())
    assert columns.numbers.shape == (rows, len(columns.names))
    assert set(columns.order) == {*columns.names, *columns.others}
    return rows, plain(columns)


def prediction(
    body: bytes | object, name: str | None = None, *, path: str = "", reading: dict[str, Any] | None = None, **more: Any
) -> Prediction:
    return read_prediction(Reading(prediction=name, **(reading or {})), message(body, path, **more))


def plain(columns: Mapping[str, Column]) -> dict[str, list[Any]]:
    """Columns as lists; NaN is None, since it equals nothing."""
    lists = {n: c.tolist() if isinstance(c, np.ndarray) else list(c) for n, c in columns.items()}
    return {n: [None if isinstance(v, float) and v != v else v for v in c] for n, c in lists.items()}  # noqa: PLR0124
