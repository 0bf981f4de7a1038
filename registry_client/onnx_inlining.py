"""Weights that lie in files beside an ONNX model, put into the model's own file.

MLflow's `onnx.log_model` moves every weight of a kilobyte or more into a file of its own, unless it is told not to; a
registry hands out one file with one digest. Invariant: the same inputs give the same bytes; whatever is not concerned
stays as it was, byte for byte; only files that the caller names are read, only within their size, and nothing is
allocated by what a length claims. It does not judge whether the rest is a model. Blocking. Called by `mlflow_artifact`.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from registry_client.connecting import one_line
from registry_client.errors import InvalidDocument

# Where a tensor can stand, by the field numbers of onnx.proto: message -> field -> the message in it.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 9, 13, 14, 1
# An entry whose key is `location`, as it stands in the file: what does not hold it needs no second look.
_MARK = b"\n\x08location"
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_DEEPEST = 50
_PIECE_BYTES = 1024 * 1024
_TEXT_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes of the model itself, from `start` to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Weights:
    """Bytes of another file."""

    location: str
    offset: int
    length: int


_Piece: TypeAlias = _Span | _Weights | bytes
_SizeOf: TypeAlias = Callable[[str], int]


class _Damaged(Exception):
    """The bytes are no protobuf message."""


def weight_files(model: Path) -> tuple[str, ...]:
    """The other files that a model's weights lie in, as they are named there; none for what is no ONNX file."""
    named: dict[str, None] = {}

    def seen(location: str) -> int:
        named[location] = None
        return 1 << 62  # its size is not known yet, and nothing is read

    _pieces_of(model, seen)
    return tuple(named)


def inline(model: Path, weights: Mapping[str, Path], target: Path, limit_bytes: int) -> None:
    """Write the model with all its weights to `target`; InvalidDocument where they contradict each other.

    `weights` has a path for every name in `weight_files(model)`.
    """
    pieces = _pieces_of(model, lambda location: weights[location].stat().st_size)
    total = sum(map(_size, pieces))
    if total > limit_bytes:
        raise InvalidDocument(f"the model with its weights is larger than {limit_bytes} bytes")
    with model.open("rb") as itself, target.open("xb") as file:
        for piece in pieces:
            if isinstance(piece, bytes):
                file.write(piece)
            elif isinstance(piece, _Span):
                file.writelines(_read(itself, piece.start, piece.end - piece.start))
            else:
                with weights[piece.location].open("rb") as beside:
                    file.writelines(_read(beside, piece.offset, piece.length))
        file.flush()
        os.fsync(file.fileno())


def _read(file: BinaryIO, offset: int, length: int) -> Iterator[bytes]:
    file.seek(offset)
    while length > 0:
        data = file.read(min(length, _PIECE_BYTES))
        if not data:
            raise InvalidDocument("a file of the model became shorter while it was read")
        length -= len(data)
        yield data


def _size(piece: _Piece) -> int:
    if isinstance(piece, bytes):
        return len(piece)
    return piece.end - piece.start if isinstance(piece, _Span) else piece.length


def _pieces_of(path: Path, size_of: _SizeOf) -> list[_Piece]:
    """What the whole file is made of; the file as it is where it names no other, or is no ONNX model."""
    whole: list[_Piece] = [_Span(0, path.stat().st_size)]
    if not path.stat().st_size:
        return whole
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(_MARK) < 0:
            return whole
        try:
            return _rewritten(data, _Span(0, len(data)), "model", size_of, 0) or whole
        except _Damaged:
            return whole


def _rewritten(data: mmap.mmap, within: _Span, kind: str, size_of: _SizeOf, depth: int) -> list[_Piece] | None:
    """The content of a message with the weights in it; None where nothing in it lies elsewhere."""
    if depth > _DEEPEST:
        raise _Damaged
    if kind == "tensor":
        return _tensor(data, within, size_of)
    pieces: list[_Piece] = []
    copied = within.start
    for field in _fields(data, within):
        inside = _INSIDE[kind].get(field.number)
        value = field.value
        if inside is None or isinstance(value, int) or data.find(_MARK, value.start, value.end) < 0:
            continue
        inner = _rewritten(data, value, inside, size_of, depth + 1)
        if inner is not None:
            pieces += [_Span(copied, field.start), _head(field.number, sum(map(_size, inner))), *inner]
            copied = value.end
    return [*pieces, _Span(copied, within.end)] if pieces else None


def _tensor(data: mmap.mmap, within: _Span, size_of: _SizeOf) -> list[_Piece] | None:
    """A tensor that holds what lay elsewhere; None where nothing does."""
    kept: list[_Piece] = []
    entries: dict[str, str] = {}
    elsewhere = False
    for field in _fields(data, within):
        if field.number == _EXTERNAL_DATA and isinstance(field.value, _Span):
            texts = {inner.number: inner.value for inner in _fields(data, field.value)}
            entries[_text(data, texts.get(1))] = _text(data, texts.get(2))
        elif field.number == _DATA_LOCATION:
            elsewhere = field.value == _EXTERNAL
        elif field.number != _RAW_DATA:
            kept.append(_Span(field.start, field.end))
    if not elsewhere or "location" not in entries:
        return None
    location, offset = entries["location"], _number(entries.get("offset", "0"))
    size = size_of(location)
    length = _number(entries["length"]) if "length" in entries else max(0, size - offset)
    if offset + length > size:
        raise InvalidDocument(f"the model wants more weights from {one_line(location)!r} than there are in it")
    return [*kept, _head(_RAW_DATA, length), _Weights(location, offset, length)]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field from its tag at `start` to its `end`; `value` is a number, or where its bytes are."""

    number: int
    start: int
    end: int
    value: int | _Span


def _fields(data: mmap.mmap, within: _Span) -> Iterator[_Field]:
    """The fields of a message, in order."""
    at, end = within.start, within.end
    while at < end:
        start = at
        tag, at = _varint(data, at, end)
        value: int | _Span = 0
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, at = _varint(data, at, end)
        elif wire_type == _LENGTH:
            size, at = _varint(data, at, end)
            value = _Span(at, at + size)
            at += size
        elif wire_type in {_EIGHT_BYTES, _FOUR_BYTES}:
            at += 8 if wire_type == _EIGHT_BYTES else 4
        else:  # groups, which nothing writes since ONNX began
            raise _Damaged
        if at > end:
            raise _Damaged
        yield _Field(tag >> 3, start, at, value)


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise _Damaged


def _head(number: int, length: int) -> bytes:
    """Tag and length of a field."""
    written = bytearray()
    for value in (number << 3 | _LENGTH, length):
        left = value
        while left > 0x7F:
            written.append(left & 0x7F | 0x80)
            left >>= 7
        written.append(left)
    return bytes(written)


def _text(data: mmap.mmap, value: int | _Span | None) -> str:
    if not isinstance(value, _Span) or value.end - value.start > _TEXT_BYTES:
        raise _Damaged
    return data[value.start : value.end].decode("utf-8", "replace")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidDocument(f"the model says {one_line(text)!r} where a number of bytes should stand")
    return int(text)
