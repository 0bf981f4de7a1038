"""An ONNX model on the CPU: its description, and answers to inference requests.

Invariant: `answer` returns a complete V2 response or raises a RequestRefused with one plain sentence;
whatever bytes come in, no other exception leaves it and no traceback can reach a caller.
One thread computes (intra and inter op threads are 1), so the server's cost is the cost of one core.
It knows nothing of sockets and of the event loop; `server.py` decides on which thread it runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson

from sidecar.model_server.errors import ModelServerError, NotServed, RequestRefused, RuntimeFailed
from sidecar.model_server.external_data import check_external_data
from sidecar.model_server.quiet_runtime import onnxruntime, runtime
from sidecar.model_server.tensors import Array, TensorSpec, is_finite, quoted, read_inputs, write_tensor

# onnxruntime's exceptions have no common ancestor below Exception.
_RUNTIME_ERRORS = (
    runtime.EPFail,
    runtime.EngineError,
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoModel,
    runtime.NoSuchFile,
    runtime.NotFound,
    runtime.NotImplemented,
    runtime.RuntimeException,
    RuntimeError,
    ValueError,
    MemoryError,
)
_ONLY_FATAL = 4  # onnxruntime's log level: its errors reach the caller as answers, not the terminal


class OnnxModel:
    """A loaded model under a name and a version. Safe to call from several threads."""

    def __init__(self, path: Path, name: str, version: str) -> None:
        """Load the file and read its inputs and outputs.

        Raises:
            ModelServerError: no such file, not an ONNX model, data outside its folder, or tensors that V2 cannot carry.
        """
        self.name = name
        self.version = version
        self._session = _load(path)
        self._inputs = _specs("input", self._session.get_inputs(), path)
        self._outputs = _specs("output", self._session.get_outputs(), path)

    def check_served(self, name: str, version: str | None) -> None:
        """Raise NotServed unless `name`, and `version` where one is asked for, are this model's."""
        if name != self.name:
            raise NotServed(f"unknown model {quoted(name)}: this server serves {quoted(self.name)}")
        if version is not None and version != self.version:
            raise NotServed(f"unknown version {quoted(version)} of {quoted(name)}: served is {self.version}")

    def metadata(self) -> dict[str, object]:
        """The answer of `GET /v2/models/{name}`."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": "onnxruntime_onnx",
            "inputs": [spec.metadata() for spec in self._inputs.values()],
            "outputs": [spec.metadata() for spec in self._outputs.values()],
        }

    def answer(self, body: bytes) -> bytes:
        """The response body to one inference request body, both JSON.

        Raises:
            RequestRefused: the request is not usable (400).
            RuntimeFailed: the model could not compute the answer (500).
        """
        request = parse_request(body)
        request_id = _request_id(request)
        wanted = self._wanted_outputs(request.get("outputs"))
        arrays = self._run(wanted, read_inputs(request.get("inputs"), self._inputs))
        response: dict[str, object] = {"model_name": self.name, "model_version": self.version}
        if request_id is not None:
            response["id"] = request_id
        response["outputs"] = [
            write_tensor(name, self._outputs[name].datatype, array) for name, array in zip(wanted, arrays, strict=True)
        ]
        if all(is_finite(array) for array in arrays):
            return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
        # As Triton does: a NaN stays a bare NaN. orjson would write null, which is another value.
        return json.dumps(response, default=lambda array: array.tolist(), separators=(",", ":")).encode()

    def _wanted_outputs(self, outputs: object) -> list[str]:
        if outputs is None or outputs == []:
            return list(self._outputs)
        if not isinstance(outputs, list):
            raise RequestRefused("'outputs' must be a list of objects with a 'name'")
        names: list[str] = []
        for output in outputs:
            name = output.get("name") if isinstance(output, dict) else None
            if not isinstance(name, str):
                raise RequestRefused("every entry of 'outputs' must be an object with a 'name'")
            if name not in self._outputs:
                given = ", ".join(map(quoted, self._outputs))
                raise RequestRefused(f"unknown output {quoted(name)}: the model gives {given}")
            if name in names:
                raise RequestRefused(f"output {quoted(name)} is asked for twice")
            names.append(name)
        return names

    def _run(self, outputs: list[str], inputs: dict[str, Array]) -> list[Array]:
        try:
            arrays: list[Array] = self._session.run(outputs, inputs)
        except _RUNTIME_ERRORS as fault:
            raise RuntimeFailed(f"the model failed on this request: {_first_line(fault)}") from fault
        return arrays


def parse_request(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Bare NaN and Infinity and a byte order mark are let in; 1e400 is not.

    Raises:
        RequestRefused: it is no JSON, too deep, or no object.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        request = _parse_leniently(body)
    if not isinstance(request, dict):
        raise RequestRefused(f"the request must be a JSON object, not {quoted(request)}")
    return request


def _parse_leniently(body: bytes) -> object:
    try:
        return json.loads(body, parse_float=_representable)
    except RecursionError:
        raise RequestRefused("the request is nested too deeply") from None
    except json.JSONDecodeError as fault:
        raise RequestRefused(f"the request is not valid JSON: {fault.msg} at character {fault.pos}") from None
    except UnicodeDecodeError:
        raise RequestRefused("the request is not valid JSON: it is not UTF-8") from None
    except ValueError:  # from _representable, or an integer of thousands of digits
        raise RequestRefused("the request is not valid JSON: a number is too large") from None


def _representable(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):  # Infinity itself does not come through here
        raise ValueError("a number is too large")
    return value


def _request_id(request: dict[str, Any]) -> str | None:
    request_id = request.get("id")
    if request_id is None:
        return None
    if not isinstance(request_id, str):
        raise RequestRefused("'id' must be a string")
    try:
        request_id.encode()
    except UnicodeEncodeError:
        raise RequestRefused("'id' is not valid Unicode") from None
    return request_id


def _load(path: Path) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise ModelServerError(f"there is no model file {path}")
    try:
        check_external_data(path)
    except OSError as fault:
        raise ModelServerError(f"{path} cannot be read: {fault.strerror}") from fault
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _RUNTIME_ERRORS as fault:
        raise ModelServerError(f"{path} is not a usable ONNX model: {_first_line(fault)}") from fault


def _specs(side: str, tensors: list[Any], path: Path) -> dict[str, TensorSpec]:
    specs: dict[str, TensorSpec] = {}
    for tensor in tensors:
        spec = TensorSpec.of_runtime(tensor.name, tensor.type, tensor.shape)
        if spec is None:
            raise ModelServerError(
                f"{path}: {side} {quoted(tensor.name)} is a {tensor.type}, which is not a tensor; "
                "for scikit-learn classifiers export with the option zipmap set to False"
            )
        specs[spec.name] = spec
    return specs


def _first_line(fault: BaseException) -> str:
    """The first line of a message, cut to a readable length: it becomes part of a sentence."""
    lines = str(fault).strip().splitlines() or [type(fault).__name__]
    return lines[0][:300]
