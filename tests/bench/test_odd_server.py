"""The misbehaving model servers misbehave as their names say. Real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import child, odd_server

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody"


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    found = dict(zip(odd_server.KINDS, child.free_ports(len(odd_server.KINDS)), strict=True))
    core = min(os.sched_getaffinity(0))
    folder: Path = tmp_path_factory.mktemp("odd") / "server"
    with odd_server.running(folder, found, core):
        yield found


def connect(port: int, timeout_s: float) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout_s)


def test_stuck_takes_a_request_and_says_nothing(ports: dict[str, int]) -> None:
    with connect(ports["stuck"], 0.2) as client:
        client.sendall(REQUEST)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_reset_resets(ports: dict[str, int]) -> None:
    with connect(ports["reset"], 60.0) as client:
        client.sendall(REQUEST)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_drip_answers_byte_by_byte(ports: dict[str, int]) -> None:
    with connect(ports["drip"], 60.0) as client:
        client.sendall(REQUEST)
        assert client.recv(100) == b"H"


def test_slow_answers_whole_requests_only(ports: dict[str, int]) -> None:
    with connect(ports["slow"], 60.0) as client:
        client.sendall(REQUEST[:-1])
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(60.0)
        client.sendall(REQUEST[-1:])
        answer = b""
        while len(answer) < len(odd_server.SLOW_BODY):
            answer += client.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
