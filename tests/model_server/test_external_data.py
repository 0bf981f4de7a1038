"""A model file names further files only inside its own folder, wherever in the file it hides the name."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from sidecar.model_server import ModelServerError, OnnxModel
from sidecar.model_server.external_data import check_external_data, external_files
from tests.model_server.tiny_models import elsewhere, times, written

PLACES = ["initializer", "attribute", "subgraph", "sparse", "function"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "model.onnx"


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int, padding: int = 0) -> bytes:
    """`padding` bytes more than are needed, which protobuf allows."""
    out = bytearray()
    while number >= 0x80 or padding:
        out.append(number & 0x7F | 0x80)
        padding -= number < 0x80
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize("place", PLACES)
def test_the_name_is_found_wherever_a_tensor_can_stand(path: Path, place: str) -> None:
    written(elsewhere("weights.bin", place), path)

    assert set(external_files(path)) == {"weights.bin"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin",
        "/etc/passwd",
        "sub/../../secret.bin",
        "link.bin",
        "folder/secret.bin",
        "*/_ORT_MEM_ADDR_/*",
        "..\\secret.bin",
        "",
        "x" * 300,
    ],
)
def test_data_outside_the_models_folder_is_refused(path: Path, place: str, location: str) -> None:
    written(elsewhere(location, place), path)
    (path.parent / "sub").mkdir()
    secret = path.parents[1] / "secret.bin"
    secret.write_bytes(struct.pack("<f", 2.0))
    (path.parent / "link.bin").symlink_to(secret)
    (path.parent / "folder").symlink_to(path.parents[1])

    with pytest.raises(ModelServerError, match="data") as refusal:
        OnnxModel(path, "m", "1")
    assert "\n" not in str(refusal.value)


def test_data_beside_the_model_is_read(path: Path) -> None:
    written(elsewhere("weights.bin"), path)
    (path.parent / "weights.bin").write_bytes(struct.pack("<f", 4.0))
    body = b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[1.5]}]}'

    assert b"[6.0]" in OnnxModel(path, "m", "1").answer(body)


def test_data_that_is_not_there_is_named(path: Path) -> None:
    written(elsewhere("weights.bin"), path)

    with pytest.raises(ModelServerError, match=r"'weights\.bin', which is not beside it"):
        check_external_data(path)


def test_a_name_is_not_hidden_by_an_odd_encoding(path: Path) -> None:
    entry = varint(1 << 3 | 2, 2) + varint(8, 3) + b"location" + field(2, b"first") + field(2, b"../last")
    tensor = varint(13 << 3 | 2, 4) + varint(len(entry), 1) + entry
    path.parent.mkdir()
    path.write_bytes(field(7, b"") + field(7, field(5, tensor)))

    assert list(external_files(path)) == ["../last"]  # of two values the last one counts


def test_the_word_alone_is_no_name(path: Path) -> None:
    model = times(2.0)
    model.graph.node[0].doc_string = "location"
    model.graph.initializer[0].doc_string = "the key is location"
    model.metadata_props.add(key="location", value="../secret.bin")
    written(model, path)

    check_external_data(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"location" + b"\xff" * 30, "."),
        (field(7, b"\x2a\xff\x01location"), "ends too early"),
        (field(7, field(5, field(13, b"\x0a"))) + b"\x0a\x08location", "ends too early"),
        (b"\x0b" + b"location", "no protobuf message"),
        (b"\x08" + b"\xff" * 12 + b"location", "too long"),
        (b"\x09location", "."),
        (b"\x0d\x00" + b"location", "."),
    ],
)
def test_damaged_bytes_are_one_sentence(path: Path, content: bytes, says: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(ModelServerError, match=f"is not a usable ONNX model.*{says}") as refusal:
        OnnxModel(path, "m", "1")
    assert "\n" not in str(refusal.value)


def test_a_file_nested_without_end_is_refused(path: Path) -> None:
    graph = field(5, field(13, field(1, b"location") + field(2, b"x")))
    for _ in range(200):  # a graph in an attribute of a node of a graph, and so on
        graph = field(1, field(5, field(6, graph)))
    path.parent.mkdir()
    path.write_bytes(field(7, graph))

    with pytest.raises(ModelServerError, match="nested too deeply"):
        check_external_data(path)


def test_an_empty_file_names_nothing(path: Path) -> None:
    path.parent.mkdir()
    path.touch()

    assert list(external_files(path)) == []
