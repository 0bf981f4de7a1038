"""Calls of MLServer by Triton's client and by a plain one, compressed where that is accepted. `bad`: refused calls."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as sync  # type: ignore[import-not-found]

ROWS = [[12.5, 34.0, 0.0], [80.0, 51.0, 1.0], [310.25, 19.0, 1.0]]
FLAT = [value for row in ROWS for value in row]
OUTPUTS = [{"name": "predict"}, {"name": "predict_proba"}]
CODINGS = ("identity", "gzip")
INFER = "/v2/models/fraud/infer"


def columns(rows: list[list[float]]) -> list[dict[str, Any]]:
    names = ("amount", "age", "foreign")
    return [
        {"name": name, "shape": [len(rows), 1], "datatype": "FP64", "data": [row[place] for row in rows]}
        for place, name in enumerate(names)
    ]


def wide(data: Any, rows: int) -> list[dict[str, Any]]:
    return [{"name": "predict", "shape": [rows, 3], "datatype": "FP64", "data": data}]


BODIES: list[tuple[str, dict[str, Any]]] = [
    ("wide, flat", {"inputs": wide(FLAT, 3), "outputs": OUTPUTS}),
    ("wide, nested", {"inputs": wide(ROWS, 3), "outputs": OUTPUTS}),
    ("many rows", {"inputs": wide(FLAT * 40, 120), "outputs": OUTPUTS}),
    ("a tensor a feature", {"parameters": {"content_type": "pd"}, "inputs": columns(ROWS), "outputs": OUTPUTS}),
]


def ask(url: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str | None, str]:
    """Status, coding and text of one answer."""
    with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)) as connection:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"} | given)
        answer = connection.getresponse()
        coding, content = answer.getheader("content-encoding"), answer.read()
        return answer.status, coding, (gzip.decompress(content) if coding == "gzip" else content).decode()


def calls(url: str) -> list[tuple[str, Any]]:
    paths = ("/v2/health/live", "/v2/health/ready", "/v2/models/fraud", "/v2/models/fraud/ready")
    done: list[tuple[str, Any]] = [(path, ask(url, path)) for path in paths]
    for coding in CODINGS:
        for number, (name, body) in enumerate(BODIES):
            document = json.dumps({"id": f"{coding}-{number}"} | body).encode()
            answer = ask(url, INFER, document, x_request_id=f"{coding}-{number}", accept_encoding=coding)
            done.append((f"{name}, {coding}", answer))
    client = sync.InferenceServerClient(url.removeprefix("http://"))
    outputs = [sync.InferRequestedOutput(output["name"], binary_data=False) for output in OUTPUTS]
    tensor = sync.InferInput("predict", [3, 3], "FP64")
    tensor.set_data_from_numpy(np.array(ROWS, np.float64), binary_data=False)
    for coding in CODINGS:
        result = client.infer(
            "fraud",
            [tensor],
            outputs=outputs,
            request_id=f"client-{coding}",
            headers={"X-Request-Id": f"client-{coding}"},
            response_compression_algorithm=None if coding == "identity" else coding,
        )
        done.append((f"client, {coding}", result.as_numpy("predict_proba").tolist()))
    client.close()
    return done


def bad_calls(url: str) -> list[tuple[str, Any]]:
    return [
        ("no such model", ask(url, "/v2/models/nope/infer", b'{"inputs": []}')),
        ("no inputs", ask(url, INFER, b'{"id": "x"}')),
        ("no JSON", ask(url, INFER, b'{"inputs": [')),
    ]


def main() -> None:
    """Each line of standard input is `URL good` or `URL bad`; the answer is a line of JSON."""
    for line in sys.stdin:
        url, kind = line.split()
        done = bad_calls(url) if kind == "bad" else calls(url)
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
