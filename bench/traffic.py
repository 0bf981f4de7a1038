"""What is asked and answered: payments of the demo as Open Inference V2 requests, and one fixed answer.

Requests differ, so that control has something real to watch. The answer comes from nginx at once and costs next to
nothing: what is measured is the proxy in between.
"""

from __future__ import annotations

import json

import numpy as np

from sidecar.demo import payments

MODEL, CHAMPION, CHALLENGER = "payments", "3", "4"
_DISTINCT = 256
_SEED = 600
# An id and a trace that no other request has, so that a proxy never sees the same head twice.
_OWN_IDS = (
    'string.format("x-request-id: bench-%012d\\r\\ntraceparent: 00-5d1deca4000000000000%012x-%016x-01\\r\\n", '
    "count, count, count)"
)


def bodies() -> list[bytes]:
    """Some hundred requests of one payment each, about 600 bytes long."""
    rows = payments.stream(np.random.default_rng(_SEED), _DISTINCT)
    made = []
    for row in range(_DISTINCT):
        one = {name: column[row : row + 1] for name, column in rows.items()}
        made.append(json.dumps({"inputs": payments.inference_inputs(one)}, separators=(",", ":")).encode())
    return made


def large_body(size: int) -> bytes:
    """One V2 request of exactly so many bytes: a long vector, and blanks at the end, which JSON allows."""
    values = "0.12345678," * ((size - 120) // 11)
    count = values.count(",")
    tensor = f'{{"name":"embedding","datatype":"FP32","shape":[1,{count}],"data":[{values[:-1]}]}}'
    return f'{{"inputs":[{tensor}]}}'.encode().ljust(size)


def answer(version: str) -> str:
    """A V2 answer as the demo's models give it."""
    outputs = [
        {"name": "label", "datatype": "INT64", "shape": [1], "data": [0]},
        {"name": "probability", "datatype": "FP32", "shape": [1], "data": [0.125]},
    ]
    return json.dumps({"model_name": MODEL, "model_version": version, "outputs": outputs}, separators=(",", ":"))


def wrk_script(requests: list[bytes], pause_ms: float = 0.0, *, own_ids: bool = False) -> str:
    """The Lua script by which wrk sends these bodies in turn and tells its result as one line of JSON.

    With `pause_ms` each connection rests that long between an answer and its next request. With `own_ids` every
    request has an x-request-id and a traceparent of its own.
    """
    listed = ",\n".join(f"[==[{body.decode()}]==]" for body in requests)
    pause = f"function delay() return {pause_ms:.3f} end\n" if pause_ms else ""
    sent = f"lines[at] .. {_OWN_IDS} .. rest[at]" if own_ids else "prepared[at]"
    return f"""\
local bodies = {{
{listed}
}}
local prepared, lines, rest, at, count = {{}}, {{}}, {{}}, 0, 0
function init()
  count = os.time() % 100000 * 1000000
  for i, body in ipairs(bodies) do
    prepared[i] = wrk.format("POST", nil, {{["content-type"] = "application/json"}}, body)
    local _, first = prepared[i]:find("\\r\\n", 1, true)
    lines[i], rest[i] = prepared[i]:sub(1, first), prepared[i]:sub(first + 1)
  end
end
function request()
  at = at % #prepared + 1
  count = count + 1
  return {sent}
end
{pause}function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'result {{"requests":%d,"seconds":%.6f,"failed":%d,"refused":%d,"p50_ms":%.4f,"p99_ms":%.4f}}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.timeout, e.status,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""
