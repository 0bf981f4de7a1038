"""Triton's own clients against a URL, sync and aio; prints what they got as JSON. `bad`: calls that are refused."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as sync  # type: ignore[import-not-found]
from tritonclient.http import aio
from tritonclient.utils import InferenceServerException  # type: ignore[import-not-found]

ROWS = 3
# Every way in and out, and how both are compressed.
WAYS = [
    ("json to json", False, False, None, None),
    ("json to binary", False, True, None, None),
    ("binary to json", True, False, None, None),
    ("binary to binary", True, True, None, None),
    ("json, gzip both ways", False, False, "gzip", "gzip"),
    ("json, deflate both ways", False, False, "deflate", "deflate"),
    ("binary, gzip both ways", True, True, "gzip", "gzip"),
    ("binary, deflate both ways", True, True, "deflate", "deflate"),
    ("binary, gzip answer", True, True, None, "gzip"),
    ("binary, deflate request", True, True, "deflate", None),
]


def inputs(client: Any, *, binary: bool, mixed: bool = False) -> list[Any]:
    """The same three rows; `mixed` sends some tensors in the JSON and some behind it."""
    columns = {
        "amount": np.array([[12.5], [80.0], [310.25]], np.float32),
        "age": np.array([[34.0], [51.0], [19.0]], np.float64),
        "foreign": np.array([[0], [1], [1]], np.int64),
        "currency": np.array([["EUR"], ["USD"], ["€uro"]], np.object_),
    }
    types = {"amount": "FP32", "age": "FP64", "foreign": "INT64", "currency": "BYTES"}
    made = []
    for number, (name, values) in enumerate(columns.items()):
        tensor = client.InferInput(name, [ROWS, 1], types[name])
        tensor.set_data_from_numpy(values, binary_data=number % 2 == 0 if mixed else binary)
        made.append(tensor)
    return made


def outputs(client: Any, *, binary: bool) -> list[Any]:
    return [client.InferRequestedOutput(name, binary_data=binary) for name in ("label", "score")]


def said(result: Any) -> dict[str, Any]:
    answer = result.get_response()
    labels = [str(np.asarray(v).astype(str)) for v in result.as_numpy("label").reshape(-1)]
    return {"labels": labels, "scores": result.as_numpy("score").astype(float).tolist(), "answer": answer}


def sync_calls(url: str) -> list[tuple[str, Any]]:
    client = sync.InferenceServerClient(url, concurrency=4)
    done: list[tuple[str, Any]] = [
        ("live", client.is_server_live()),
        ("ready", client.is_model_ready("fraud")),
        ("server", client.get_server_metadata()["extensions"]),
        ("metadata", client.get_model_metadata("fraud")),
        ("config", client.get_model_config("fraud")["input"]),
    ]
    for number, (way, binary_in, binary_out, coding_in, coding_out) in enumerate(WAYS):
        result = client.infer(
            "fraud",
            inputs(sync, binary=binary_in),
            outputs=outputs(sync, binary=binary_out),
            request_id=f"r{number}",
            headers={"X-Request-Id": f"sync-{number}"},
            request_compression_algorithm=coding_in,
            response_compression_algorithm=coding_out,
        )
        done.append((way, said(result)))
    mixed = client.infer("fraud", inputs(sync, binary=True, mixed=True), headers={"X-Request-Id": "sync-mixed"})
    done.append(("mixed, all outputs", said(mixed)))
    pending = [
        client.async_infer(
            "fraud",
            inputs(sync, binary=True),
            request_id=f"a{number}",
            headers={"X-Request-Id": f"async-{number}"},
            query_params={"n": number},
        )
        for number in range(4)
    ]
    done += [(f"async {number}", said(one.get_result())) for number, one in enumerate(pending)]
    client.close()
    return done


async def aio_calls(url: str) -> list[tuple[str, Any]]:
    done: list[tuple[str, Any]] = []
    async with aio.InferenceServerClient(url) as client:
        done.append(("aio live", await client.is_server_live()))
        for number, (way, binary_in, binary_out, coding_in, coding_out) in enumerate(WAYS):
            result = await client.infer(
                "fraud",
                inputs(aio, binary=binary_in),
                outputs=outputs(aio, binary=binary_out),
                request_id=f"i{number}",
                headers={"X-Request-Id": f"aio-{number}"},
                request_compression_algorithm=coding_in,
                response_compression_algorithm=coding_out,
            )
            done.append((f"aio {way}", said(result)))
    return done


def bad_calls(url: str) -> list[tuple[str, Any]]:
    client = sync.InferenceServerClient(url)
    wrong = sync.InferInput("amount", [1, 2], "FP32")
    wrong.set_data_from_numpy(np.array([[1.0, 2.0]], np.float32))
    done = []
    for name, model, given in [("no such model", "nope", inputs(sync, binary=True)), ("wrong shape", "fraud", [wrong])]:
        try:
            client.infer(model, given, request_id="bad")
        except InferenceServerException as refused:
            done.append((name, [refused.status(), refused.message()]))
    client.close()
    return done


def main() -> None:
    """Each line of standard input is `URL good` or `URL bad`; the answer is a line of JSON."""
    for line in sys.stdin:
        url, kind = line.removeprefix("http://").split()
        done = bad_calls(url) if kind == "bad" else sync_calls(url) + asyncio.run(aio_calls(url))
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
