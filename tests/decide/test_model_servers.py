"""The line in which control asks for model servers: what is written is read again, anything else is refused whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.decide.model_servers import LONGEST_LINE_BYTES, MOST_SERVERS, ModelServer, read, saying_path, written

FOUR = ModelServer("fraud", "4", "/run/m-4.sock", "/state/models/fraud/4/x.onnx")
FIVE = ModelServer("fraud – é", "5", "/run/m-5.sock")


@pytest.mark.parametrize("servers", [(), (FOUR,), (FOUR, FIVE)])
def test_what_is_written_is_read_again(servers: tuple[ModelServer, ...]) -> None:
    line = written(servers)

    assert "\n" not in line
    assert read(line.encode()) == servers


def one(**changes: Any) -> bytes:
    server = {"name": "fraud", "version": "4", "socket": "/run/m-4.sock", "file": "/models/4"} | changes
    return json.dumps({"model_servers": [server]}).encode()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "cannot be read"),
        (b"ready\n", "cannot be read"),
        (b"{}", "model_servers"),
        (b'{"model_servers": 3}', "array"),
        (b'{"model_servers": [], "more": 1}', "unknown field"),
        (b'{"model_servers": [', "cannot be read"),
        (b'{"model_servers": [{"name": "\xff"}]}', "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b" " * (LONGEST_LINE_BYTES + 1), "longer than"),
        (one(name=""), "name or version"),
        (one(name="a\nb"), "name or version"),
        (one(version="\x00"), "name or version"),
        (one(version="9" * 600), "name or version"),
        (one(name=4), "str"),
        (one(socket="m-4.sock"), "not absolute"),
        (one(file="models/4"), "not absolute"),
        (one(file="/models/\x004"), "not absolute"),
        (one(file="/" + "x" * 5000), "too long"),
        (written((FOUR, FOUR)).encode(), "same socket"),
        (written(ModelServer("m", "1", f"/{n}") for n in range(MOST_SERVERS + 1)).encode(), "more than"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(line: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(line)


def test_the_saying_lies_beside_the_socket() -> None:
    assert saying_path("/run/m-4.sock") == "/run/m-4.says"
