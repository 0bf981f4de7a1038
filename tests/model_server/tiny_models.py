"""ONNX files for other rooms' tests: one that scores a row, and some that nobody should load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto, helper

Tensor = TensorProto


def written(model: ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def times(factor: float) -> ModelProto:
    """x [N, 1] -> score [N, 1], that many times x."""
    nodes = [helper.make_node("Mul", ["x", "factor"], ["score"])]
    return _model(nodes, [("x", Tensor.FLOAT)], "score", [helper.make_tensor("factor", Tensor.FLOAT, [1], [factor])])


def fragile() -> ModelProto:
    """As many rows as its input says: it fails on zeros, and answers to ones."""
    nodes = [
        helper.make_node("Sub", ["x", "one"], ["index"]),
        helper.make_node("Gather", ["list", "index"], ["score"]),
    ]
    list_ = helper.make_tensor("list", Tensor.FLOAT, [1], [0.5])
    one = helper.make_tensor("one", Tensor.INT64, [1], [2])
    return _model(nodes, [("x", Tensor.INT64)], "score", [list_, one])


def greedy() -> ModelProto:
    """Asks for four terabytes before it has seen a request."""
    size = helper.make_tensor("size", Tensor.INT64, [2], [1 << 20, 1 << 20])
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["much"]),
        helper.make_node("ReduceSum", ["much"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["x", "sum"], ["score"]),
    ]
    return _model(nodes, [("x", Tensor.FLOAT)], "score", [size])


def elsewhere(location: str, where: str = "initializer") -> ModelProto:
    """Its factor is in another file. `where` it says so: initializer, attribute, subgraph, sparse or function."""
    model = times(2.0)
    factor = helper.make_tensor("factor", Tensor.FLOAT, [1], [2.0])
    factor.ClearField("float_data")
    factor.ClearField("raw_data")
    factor.data_location = Tensor.EXTERNAL
    factor.external_data.add(key="offset", value="0")
    factor.external_data.add(key="location", value=location)
    factor.external_data.add(key="length", value="4")
    constant = helper.make_node("Constant", [], ["factor"], value=factor)
    if where == "initializer":
        del model.graph.initializer[:]
        model.graph.initializer.append(factor)
    elif where == "attribute":
        model.graph.node.insert(0, constant)
    elif where == "subgraph":
        inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("factor", Tensor.FLOAT, [1])])
        model.graph.node.append(helper.make_node("If", ["yes"], ["chosen"], then_branch=inner, else_branch=inner))
    elif where == "sparse":
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(factor)
    else:
        function = model.functions.add()
        function.node.append(constant)
    return model


def _model(
    nodes: Sequence[NodeProto], inputs: list[tuple[str, int]], output: str, initializers: Sequence[TensorProto]
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, ["N", 1]) for name, kind in inputs],
        [helper.make_tensor_value_info(output, Tensor.FLOAT, ["N", 1])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
