from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from registry_client.errors import InvalidDocument
from registry_client.onnx_inlining import inline, weight_files

LIMIT = 100_000_000


def model_of(*arrays: np.ndarray) -> onnx.ModelProto:
    """One that adds up weights; the last ones stand in the branches of an If, as an attribute's graph."""
    weights = [numpy_helper.from_array(array, f"w{n}") for n, array in enumerate(arrays)]
    value = helper.make_tensor_value_info
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [value("out", TensorProto.FLOAT, [None])],
        [numpy_helper.from_array(np.arange(900, dtype=np.float32), "inner")],
    )
    constant = helper.make_node(
        "Constant", [], ["c"], value=numpy_helper.from_array(np.ones(700, dtype=np.float32), "location")
    )
    nodes = [
        constant,
        helper.make_node("Sum", ["x", *(weight.name for weight in weights)], ["y"]),
        helper.make_node("If", ["b"], ["z"], then_branch=branch, else_branch=branch),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, [None]), value("b", TensorProto.BOOL, [])],
        [value("y", TensorProto.FLOAT, [None]), value("z", TensorProto.FLOAT, [None])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def saved(model: onnx.ModelProto, folder: Path, **how: Any) -> Path:
    folder.mkdir(exist_ok=True)
    onnx.save_model(model, folder / "model.onnx", save_as_external_data=True, **how)
    return folder / "model.onnx"


def inlined(path: Path, target: Path, limit_bytes: int = LIMIT) -> onnx.ModelProto:
    inline(path, {name: path.parent / name for name in weight_files(path)}, target, limit_bytes)
    return onnx.load(target, load_external_data=False)


WEIGHTS = (np.arange(1_000, dtype=np.float32), np.linspace(0, 1, 5_000, dtype=np.float32), np.ones(3, np.float32))


@pytest.mark.parametrize("one_file", [True, False])
@pytest.mark.parametrize("attributes", [True, False])
def test_the_weights_are_in_the_model_as_the_library_itself_would_put_them(
    tmp_path: Path, one_file: bool, attributes: bool
) -> None:
    path = saved(model_of(*WEIGHTS), tmp_path / "m", all_tensors_to_one_file=one_file, convert_attribute=attributes)
    beside = {file.name for file in path.parent.iterdir()} - {path.name}
    assert set(weight_files(path)) == beside
    assert len(beside) == 1 if one_file else len(beside) > 2
    assert inlined(path, tmp_path / "whole.onnx") == model_of(*WEIGHTS)
    assert weight_files(tmp_path / "whole.onnx") == ()


def test_a_model_that_holds_its_weights_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save_model(model_of(*WEIGHTS), path)
    assert weight_files(path) == ()
    inline(path, {}, tmp_path / "same.onnx", LIMIT)
    assert (tmp_path / "same.onnx").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"weights" * 100,
        b"\n\x08location",
        b"\xff" * 100 + b"\n\x08location",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f\n\x08location",
        b"\x3b\n\x08location",
        b"\x3a\x0a\n\x08location" * 200,
    ],
    ids=range(7),
)
def test_what_is_no_model_is_left_to_whoever_runs_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert weight_files(tmp_path / "model.onnx") == ()
    inline(tmp_path / "model.onnx", {}, tmp_path / "same.onnx", LIMIT)
    assert (tmp_path / "same.onnx").read_bytes() == content


def test_every_cut_and_every_changed_byte_is_a_model_a_refusal_or_left_alone(tmp_path: Path) -> None:
    path = saved(model_of(np.arange(300, dtype=np.float32)), tmp_path / "m")
    content = path.read_bytes()
    target = tmp_path / "whole.onnx"
    for at in range(0, len(content), 3):
        for damaged in (content[:at], content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]):
            path.write_bytes(damaged)
            target.unlink(missing_ok=True)
            beside = next(file for file in path.parent.iterdir() if file != path)
            try:
                inline(path, dict.fromkeys(weight_files(path), beside), target, LIMIT)
            except InvalidDocument:
                continue
            assert target.stat().st_size <= len(content) + 3 * (beside.stat().st_size + 20)  # three tensors lie there


@pytest.mark.parametrize(
    ("entry", "value"),
    [("length", "9999999"), ("length", "-1"), ("length", "1e3"), ("offset", "9999999"), ("offset", "9" * 30)],
)
def test_weights_that_are_not_there_are_told(tmp_path: Path, entry: str, value: str) -> None:
    path = saved(model_of(WEIGHTS[0]), tmp_path / "m")
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    for pair in tensor.external_data:
        if pair.key == entry:
            pair.value = value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidDocument):
        inlined(path, tmp_path / "whole.onnx")


def test_a_few_bytes_that_want_the_same_weights_many_times_are_refused(tmp_path: Path) -> None:
    path = saved(model_of(np.zeros(100_000, dtype=np.float32)), tmp_path / "m")
    model = onnx.load(path, load_external_data=False)
    for _ in range(1_000):
        model.graph.initializer.append(model.graph.initializer[0])
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidDocument, match="larger than"):
        inlined(path, tmp_path / "whole.onnx")
    assert not (tmp_path / "whole.onnx").exists()
