"""Tiny ONNX models, made on the spot, and a running server for each test that wants one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from sidecar.model_server import OnnxModel, serving

ECHOED = (
    ("amount", TensorProto.FLOAT),
    ("count", TensorProto.INT64),
    ("small", TensorProto.UINT8),
    ("country", TensorProto.STRING),
    ("online", TensorProto.BOOL),
)


def onnx_model(nodes: list[NodeProto], inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> ModelProto:
    graph = helper.make_graph(nodes, "test", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def saved(model: ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def tensor(name: str, kind: int, shape: list[str | int]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.fixture
def echo(tmp_path: Path) -> OnnxModel:
    """One column per datatype; each comes back under the name `<input>_out`."""
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name, _ in ECHOED]
    inputs = [tensor(name, kind, ["N", 1]) for name, kind in ECHOED]
    outputs = [tensor(f"{name}_out", kind, ["N", 1]) for name, kind in ECHOED]
    return OnnxModel(saved(onnx_model(nodes, inputs, outputs), tmp_path), "echo", "1")


@pytest.fixture
def wide(tmp_path: Path) -> OnnxModel:
    """One tensor [N, 3] -> the logarithm [N, 3]: NaN below zero, an infinity at zero."""
    node = helper.make_node("Log", ["X"], ["Y"])
    inputs = [tensor("X", TensorProto.FLOAT, ["N", 3])]
    return OnnxModel(
        saved(onnx_model([node], inputs, [tensor("Y", TensorProto.FLOAT, ["N", 3])]), tmp_path), "log", "2"
    )


@pytest.fixture
def picky(tmp_path: Path) -> OnnxModel:
    """A vector [N] of positions in a list of three: the runtime itself fails on position 7."""
    node = helper.make_node("Gather", ["list", "position"], ["value"])
    graph = helper.make_graph(
        [node],
        "test",
        [tensor("position", TensorProto.INT64, ["N"])],
        [tensor("value", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor("list", TensorProto.FLOAT, [3], [0.5, 1.5, 2.5])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return OnnxModel(saved(model, tmp_path), "picky", "1")


@pytest.fixture
def sequence_file(tmp_path: Path) -> Path:
    """A model whose output is a sequence, as scikit-learn classifiers have by default."""
    node = helper.make_node("SequenceConstruct", ["X"], ["S"])
    output = helper.make_tensor_sequence_value_info("S", TensorProto.FLOAT, None)
    return saved(onnx_model([node], [tensor("X", TensorProto.FLOAT, ["N"])], [output]), tmp_path)


@pytest.fixture
async def wide_url(wide: OnnxModel) -> AsyncIterator[str]:
    async with serving(wide, "127.0.0.1:0") as url:
        yield url


@pytest.fixture
async def picky_url(picky: OnnxModel) -> AsyncIterator[str]:
    async with serving(picky, "127.0.0.1:0") as url:
        yield url
