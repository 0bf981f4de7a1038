"""Which other files a model file wants to be read with it, before the runtime opens any of them.

Keeps: a tensor's `external_data` names a regular file inside the model's own folder, or the model is refused. The
runtime checks this too, and had to be taught it several times (microsoft/onnxruntime pull requests 26776, 27430,
28408, 28709), memory addresses in place of file names included; several of its versions may be installed.
Reads the protobuf's own structure, so a hostile file cannot hide a name from it, and nothing is copied or allocated
by what the file claims. Does not judge whether the rest is a model: the runtime does. Called by `model`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from sidecar.model_server.errors import ModelServerError
from sidecar.model_server.tensors import quoted

# Where tensors can stand, by the field numbers of onnx.proto: message -> field -> the message in it.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
_KEY, _VALUE = 1, 2
_LOCATION = b"location"
# protobuf itself stops at a hundred messages within each other.
_DEEPEST = 100
_IN_MEMORY = "_ORT_MEM_ADDR_"
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


class _Damaged(Exception):
    """The bytes are no protobuf message. Says how, as the end of a sentence."""


def check_external_data(path: Path) -> None:
    """Raises ModelServerError, in one sentence, unless every file that the model names lies in the model's folder."""
    folder = path.resolve().parent
    try:
        for location in external_files(path):
            _check(folder, location, path)
    except _Damaged as damage:
        raise ModelServerError(f"{path} is not a usable ONNX model: {damage}") from None


def external_files(path: Path) -> Iterator[str]:
    """The files that the model's tensors lie in, as they are written there."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            # A key must stand in the file in one piece, so most models need no second look.
            if data.find(_LOCATION) < 0:
                return
            yield from _locations(data)


def _check(folder: Path, location: str, path: Path) -> None:
    if _IN_MEMORY in location or "\0" in location or "\\" in location or location.startswith("/") or not location:
        raise ModelServerError(f"{path}: its data would be read from {quoted(location)}, which is no file beside it")
    try:
        wanted = (folder / location).resolve()
        inside = wanted.is_relative_to(folder)
        there = inside and wanted.is_file()
    except (OSError, RuntimeError):  # a name that is too long, or links in a circle
        inside, there = True, False
    if not inside:
        raise ModelServerError(f"{path}: its data would be read from {quoted(location)}, outside the model's folder")
    if not there:
        raise ModelServerError(f"{path}: its data is in the file {quoted(location)}, which is not beside it")


def _locations(data: mmap.mmap) -> Iterator[str]:
    """Every value of an entry `location`, wherever a tensor can stand."""
    entered: list[tuple[str, int, int]] = [("model", 0, len(data))]  # a message, and where in it to go on
    while entered:
        kind, position, end = entered.pop()
        inside = _INSIDE[kind]
        key = value = b""
        while position < end:
            tag, position = _varint(data, position, end)
            number, wire_type = tag >> 3, tag & 7
            if wire_type != _LENGTH:
                position = _skipped(data, position, end, wire_type)
                continue
            size, position = _varint(data, position, end)
            if size > end - position:
                raise _Damaged("it ends too early")
            if number in inside:
                entered += [(kind, position + size, end), (inside[number], position, position + size)]
                break
            if kind == "entry" and number == _KEY:
                key = data[position : position + min(size, len(_LOCATION) + 1)]
            elif kind == "entry" and number == _VALUE:
                value = data[position : position + min(size, 4096)]
            position += size
        if len(entered) > _DEEPEST:
            raise _Damaged("it is nested too deeply")
        if key == _LOCATION:
            yield value.decode("utf-8", "replace")


def _skipped(data: mmap.mmap, position: int, end: int, wire_type: int) -> int:
    """Past a field that has no length."""
    if wire_type == _VARINT:
        return _varint(data, position, end)[1]
    if wire_type == _EIGHT_BYTES:
        position += 8
    elif wire_type == _FOUR_BYTES:
        position += 4
    else:  # groups, which nothing writes since ONNX began
        raise _Damaged("it is no protobuf message of that kind")
    if position > end:
        raise _Damaged("it ends too early")
    return position


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while position < end:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift > 63:
            raise _Damaged("it holds a number that is too long")
    raise _Damaged("it ends too early")
