"""Readiness of a model server: asked as a caller would, up to one inference, and bounded in what it believes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from onnx import ModelProto

from sidecar.control import model_probe
from sidecar.control.model_probe import NotReady, Tensor, health, inference_path, warmed, zeros
from sidecar.model_server import OnnxModel, serving
from tests.model_server.tiny_models import fragile, times, written

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def loaded(model: ModelProto, folder: Path) -> OnnxModel:
    return OnnxModel(written(model, folder / "model.onnx"), "fraud", "4")


class Scripted:
    """A server that answers what a test says, by the end of the path."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "s.sock")
        self.asked: list[tuple[str, bytes]] = []
        metadata = {"name": "fraud", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}
        self.answers: dict[str, Answer] = {"fraud": self.says(200, json.dumps(metadata).encode())}

    def says(self, status: int, body: bytes = b"") -> Answer:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=body)

        return answer

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.raw_path, await request.read()))
        answer = self.answers.get(request.path.rsplit("/", 1)[1], self.says(200))
        return await answer(request)

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, self.socket).start()
        return runner


@pytest.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[Scripted]:
    scripted = Scripted(tmp_path)
    runner = await scripted.start()
    yield scripted
    await runner.cleanup()


async def test_a_real_server_is_ready_and_is_warmed_by_one_inference(tmp_path: Path) -> None:
    socket = str(tmp_path / "m.sock")
    async with serving(loaded(times(2.0), tmp_path), f"unix:{socket}"):
        await health(socket, "fraud", "4")
        assert await warmed(socket, "fraud", "4") is None
        with pytest.raises(NotReady, match=r"answers 404 .*unknown version '5'"):
            await health(socket, "fraud", "5")
        with pytest.raises(NotReady, match="unknown model 'other'"):
            await warmed(socket, "other", "4")


async def test_a_model_that_fails_on_zeros_is_ready_and_it_is_said(tmp_path: Path) -> None:
    socket = str(tmp_path / "m.sock")
    async with serving(loaded(fragile(), tmp_path), f"unix:{socket}"):
        says = await warmed(socket, "fraud", "4")

    assert says is not None
    assert says.startswith("it answered 500 to an inference of zeros: the model failed on this request")


async def test_nobody_there_is_not_ready(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="cannot be reached"):
        await health(str(tmp_path / "none.sock"), "fraud", "4")


async def test_the_model_itself_is_asked_for_and_then_one_row(scripted: Scripted) -> None:
    scripted.answers["fräud"] = scripted.answers["fraud"]

    assert await warmed(scripted.socket, "fräud", "4") is None
    assert [path for path, _ in scripted.asked] == [
        "/v2/health/ready",
        "/v2/models/fr%C3%A4ud/versions/4/ready",
        "/v2/models/fr%C3%A4ud",
        "/v2/models/fr%C3%A4ud/infer",
    ]


async def test_the_row_is_of_the_models_own_shape(scripted: Scripted) -> None:
    await warmed(scripted.socket, "fraud", "4")

    assert json.loads(scripted.asked[-1][1]) == {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0, 0]}]
    }


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (503, b"", "answers 503"),
        (400, b'{"error": "it is loading"}', "answers 400 to the question whether it is ready: it is loading"),
        (404, b"<html>", "answers 404"),
        (302, b"", "answers 302"),
    ],
)
async def test_any_answer_but_200_is_not_ready(scripted: Scripted, status: int, body: bytes, says: str) -> None:
    scripted.answers["ready"] = scripted.says(status, body)

    with pytest.raises(NotReady, match=says):
        await health(scripted.socket, "fraud", "4")


async def test_silence_is_not_waited_for(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    monkeypatch.setattr(model_probe, "HEALTH_S", 0.05)
    scripted.answers["ready"] = never

    with pytest.raises(NotReady, match="in time"):
        await health(scripted.socket, "fraud", "4")


def described(*inputs: Any) -> bytes:
    return json.dumps({"inputs": inputs}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"[" * 100_000,
        b"\xff",
        b'{"inputs": 7}',
        b'{"inputs": [' + b'{"name": "x"},' * 200_000,
        described({"name": "x", "datatype": "FP32", "shape": [-1, 0]}),
        described({"name": "x", "datatype": "FP32", "shape": [-5]}),
        described({"name": "x", "datatype": "FP32", "shape": []}),
        described({"name": "x", "datatype": "FP32", "shape": [10**6, 10**6]}),
        described({"name": "x", "datatype": "FP32", "shape": [10**18] * 32}),
        described({"name": "x", "datatype": "FP32", "shape": [1] * 33}),
        described(*({"name": f"x{n}", "datatype": "FP32", "shape": [400_000]} for n in range(3))),
    ],
)
async def test_odd_metadata_are_no_reason_to_wait_and_are_said(scripted: Scripted, body: bytes) -> None:
    scripted.answers["fraud"] = scripted.says(200, body)
    says = await warmed(scripted.socket, "fraud", "4")

    assert says is not None
    assert says.startswith("it was not warmed: ")
    assert [path for path, _ in scripted.asked if path.endswith("infer")] == []


@pytest.mark.parametrize(
    "body", [b'{"error": 7}', b"\xff", b'{"error": "a\\u0000b"}', b'{"error": "' + b"x" * 1_000_000 + b'"}']
)
async def test_an_odd_error_is_told_by_its_status_alone(scripted: Scripted, body: bytes) -> None:
    scripted.answers["infer"] = scripted.says(500, body)

    assert await warmed(scripted.socket, "fraud", "4") == "it answered 500 to an inference of zeros"


def test_zeros_are_of_each_datatypes_kind() -> None:
    given = zeros([Tensor("a", "BYTES", [-1, 1]), Tensor("b", "BOOL", [2]), Tensor("c", "INT64", [-1, -1])])

    assert [tensor["data"] for tensor in given] == [[""], [False, False], [0]]
    assert [tensor["shape"] for tensor in given] == [[1, 1], [2], [1, 1]]


@pytest.mark.parametrize(("name", "path"), [("fraud", "fraud"), ("a b", "a%20b"), ("../x", "..%2Fx")])
def test_a_name_stays_one_part_of_the_path(name: str, path: str) -> None:
    assert inference_path(name) == f"/v2/models/{path}/infer"
