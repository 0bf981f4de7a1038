"""KServe's own client against a URL, V1 and V2, JSON and binary; prints what it got as JSON. `bad`: refused calls."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig  # type: ignore[import-not-found]

ROWS = [[12.5, 34.0, 0.0], [80.0, 51.0, 1.0], [310.25, 19.0, 1.0]]


def request(*, binary_in: bool, binary_out: bool, number: int) -> Any:
    tensor = InferInput(name="X", shape=[3, 3], datatype="FP64")
    tensor.set_data_from_numpy(np.array(ROWS, np.float64), binary_data=binary_in)
    parameters = {"binary_data_output": True} if binary_out else None
    return InferRequest(model_name="fraud", request_id=f"v2-{number}", infer_inputs=[tensor], parameters=parameters)


async def calls(url: str) -> list[tuple[str, Any]]:
    one = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    done: list[tuple[str, Any]] = []
    for number, instances in enumerate((ROWS, ROWS[:1], ROWS * 20)):
        headers = {"X-Request-Id": f"v1-{number}"}
        answer = await one.infer(url, {"instances": instances}, headers=headers, model_name="fraud")
        done.append((f"v1 {len(instances)}", answer))
    done.append(("v1 ready", await one.is_model_ready(url, "fraud")))
    two = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    for number, (binary_in, binary_out) in enumerate([(False, False), (True, False), (False, True), (True, True)]):
        given = request(binary_in=binary_in, binary_out=binary_out, number=number)
        headers = {"X-Request-Id": f"v2-{number}"}
        answer = await two.infer(url, given, headers=headers, model_name="fraud")
        scores = next(output for output in answer.outputs if output.name == "score")
        done.append((f"v2 {binary_in} {binary_out}", [answer.id, np.asarray(scores.as_numpy()).tolist()]))
    done.append(("v2 live", await two.is_server_live(url)))
    await one.close()
    await two.close()
    return done


async def bad_calls(url: str) -> list[tuple[str, Any]]:
    async with httpx.AsyncClient() as client:
        answers = [
            ("no such model", await client.post(f"{url}/v1/models/nope:predict", json={"instances": ROWS})),
            ("no list", await client.post(f"{url}/v1/models/fraud:predict", json={"instances": 3})),
            ("no JSON", await client.post(f"{url}/v2/models/fraud/infer", content=b'{"inputs": [')),
        ]
    return [(name, [answer.status_code, answer.text]) for name, answer in answers]


def main() -> None:
    """Each line of standard input is `URL good` or `URL bad`; the answer is a line of JSON."""
    for line in sys.stdin:
        url, kind = line.split()
        done = asyncio.run(bad_calls(url) if kind == "bad" else calls(url))
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
