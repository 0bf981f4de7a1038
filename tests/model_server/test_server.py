from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sidecar.model_server import ModelServerError, OnnxModel, run_model_server, server, serving

INFER = "/v2/models/log/infer"


def request_of(rows: int) -> dict[str, Any]:
    tensor = {"name": "X", "shape": [rows, 3], "datatype": "FP32", "data": [1.0] * (3 * rows)}
    return {"id": "r", "inputs": [tensor]}


async def call(url: str, method: str = "GET", **options: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as answer:
        body = await answer.read()
        return answer.status, json.loads(body) if body else None


async def test_the_protocols_descriptions_are_there(wide_url: str) -> None:
    status, described = await call(f"{wide_url}/v2")
    assert (status, described["extensions"]) == (200, [])
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/log/ready", "/v2/models/log/versions/2/ready"):
        assert await call(wide_url + path) == (200, None)
    for path in ("/v2/models/log", "/v2/models/log/versions/2"):
        status, described = await call(wide_url + path)
        assert (status, described["versions"], described["inputs"][0]["name"]) == (200, ["2"], "X")


@pytest.mark.parametrize("path", [INFER, "/v2/models/log/versions/2/infer"])
@pytest.mark.parametrize("rows", [1, 64, 5000])
async def test_a_row_and_a_batch_are_answered_inline_or_from_the_thread(wide_url: str, path: str, rows: int) -> None:
    status, answer = await call(wide_url + path, "POST", json=request_of(rows))
    assert status == 200
    assert (answer["id"], answer["outputs"][0]["shape"]) == ("r", [rows, 3])
    assert answer["outputs"][0]["data"] == [0.0] * (3 * rows)


async def test_health_and_short_requests_are_answered_while_a_long_batch_computes(
    wide: OnnxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = asyncio.Event(), threading.Event()
    loop, compute = asyncio.get_running_loop(), wide.answer

    def slow_when_long(body: bytes) -> bytes:
        if len(body) > server.INLINE_BODY_BYTES:
            loop.call_soon_threadsafe(begun.set)
            assert release.wait(60)
        return compute(body)

    monkeypatch.setattr(wide, "answer", slow_when_long)
    async with serving(wide, "127.0.0.1:0") as url:
        batch = asyncio.ensure_future(call(url + INFER, "POST", json=request_of(5000)))
        await asyncio.wait_for(begun.wait(), 60)
        assert await call(f"{url}/v2/health/ready") == (200, None)
        assert (await call(url + INFER, "POST", json=request_of(1)))[0] == 200
        assert not batch.done()
        release.set()
        assert (await batch)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/v2/models/other", 404, "unknown model 'other'"),
        ("GET", "/v2/models/other/ready", 404, "unknown model 'other'"),
        ("POST", "/v2/models/other/infer", 404, "unknown model 'other'"),
        ("POST", "/v2/models/log/versions/9/infer", 404, "unknown version '9'"),
        ("GET", "/nowhere", 404, "/nowhere"),
        ("GET", INFER, 405, "GET"),
        ("POST", INFER, 400, "not valid JSON"),
    ],
)
async def test_every_error_is_json_with_a_sentence(
    wide_url: str, method: str, path: str, status: int, sentence: str
) -> None:
    seen, answer = await call(wide_url + path, method)
    assert seen == status
    assert list(answer) == ["error"]
    assert sentence in answer["error"]


async def test_a_failing_runtime_is_500_without_a_traceback(picky_url: str) -> None:
    tensor = {"name": "position", "shape": [1], "datatype": "INT64", "data": [7]}
    status, answer = await call(f"{picky_url}/v2/models/picky/infer", "POST", json={"inputs": [tensor]})
    assert status == 500
    assert "Traceback" not in answer["error"]


async def test_binary_tensors_are_refused_by_name(wide_url: str) -> None:
    headers = {"Inference-Header-Content-Length": "10"}
    status, answer = await call(wide_url + INFER, "POST", data=b"{}", headers=headers)
    assert status == 400
    assert "binary tensors are not supported" in answer["error"]


async def test_a_gzip_body_is_read_and_a_broken_one_refused(wide_url: str) -> None:
    headers = {"Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps(request_of(2)).encode())
    status, answer = await call(wide_url + INFER, "POST", data=body, headers=headers)
    assert (status, answer["outputs"][0]["shape"]) == (200, [2, 3])
    status, answer = await call(wide_url + INFER, "POST", data=b"this is no gzip", headers=headers)
    assert (status, answer) == (400, {"error": "the request body is not valid gzip"})


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 1000"])
async def test_a_caller_that_leaves_in_the_middle_of_a_body_harms_nobody(
    wide_url: str, caplog: pytest.LogCaptureFixture, framing: str
) -> None:
    host, port = wide_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n5\r\n".encode())
    await writer.drain()
    assert await call(f"{wide_url}/v2/health/ready") == (200, None)  # the server has seen the head by now
    writer.transport.abort()
    assert (await call(wide_url + INFER, "POST", json=request_of(1)))[0] == 200
    assert "Traceback" not in caplog.text


async def test_a_broken_chunk_is_400_without_a_traceback(wide_url: str) -> None:
    host, port = wide_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nno\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 60)
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b"Traceback" not in answer
    writer.close()
    await writer.wait_closed()


async def test_a_declared_body_over_the_limit_is_refused_before_it_is_sent(wide_url: str) -> None:
    host, port = wide_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    length = server.BODY_LIMIT_BYTES + 1
    writer.write(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    assert head.startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_grows_over_the_limit_is_refused(wide: OnnxModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_LIMIT_BYTES", 1000)
    squeezed = gzip.compress(b" " * 1_000_000)
    async with serving(wide, "127.0.0.1:0") as url:
        status, answer = await call(url + INFER, "POST", data=squeezed, headers={"Content-Encoding": "gzip"})
    assert status == 413
    assert "over 1000 bytes" in answer["error"]


async def test_it_serves_on_a_unix_socket_and_leaves_none_behind(wide: OnnxModel, tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    async with serving(wide, f"unix:{path}") as where:
        assert where == f"unix:{path}"
        connector = aiohttp.UnixConnector(str(path))
        async with aiohttp.ClientSession(connector=connector) as session, session.get("http://m/v2") as answer:
            assert answer.status == 200
        with pytest.raises(ModelServerError, match="another process serves there"):
            async with serving(wide, f"unix:{path}"):
                pass
        assert path.is_socket()
    assert not path.exists()


async def test_a_dead_socket_file_is_taken_over(wide: OnnxModel, tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(wide, f"unix:{path}"):
        assert path.is_socket()


@pytest.mark.parametrize("listen", ["8000", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:x", "unix:relative", ""])
async def test_a_malformed_address_is_refused_in_one_sentence(wide: OnnxModel, listen: str) -> None:
    with pytest.raises(ModelServerError, match="cannot listen"):
        async with serving(wide, listen):
            pass


async def test_a_port_in_use_is_named(wide: OnnxModel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ModelServerError, match=f"cannot listen on {listen}: address already in use"):
            async with serving(wide, listen):
                pass


@pytest.mark.usefixtures("wide")
def test_a_socket_path_that_is_a_plain_file_is_refused_and_kept(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("data")
    with pytest.raises(ModelServerError, match="cannot listen on unix:"):
        run_model_server(tmp_path / "model.onnx", "log", "2", f"unix:{precious}")
    assert precious.read_text() == "data"


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_one_line_and_ends_cleanly_on_a_signal(
    wide: OnnxModel, tmp_path: Path, number: signal.Signals
) -> None:
    code = "import sys; from sidecar.model_server import run_model_server; run_model_server(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(tmp_path / "model.onnx"), "log", "2", "127.0.0.1:0"]
    root = str(Path(server.__file__).parent.parent.parent)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving log 2 on http://127.0.0.1:")
        host, port = line.split("http://")[1].strip().split(":")
        with socket.create_connection((host, int(port)), timeout=60):
            process.send_signal(number)
            rest, complaint = process.communicate(timeout=60)
    assert (process.returncode, rest, complaint) == (0, "", "")


async def test_a_crowd_that_comes_while_it_is_busy_is_not_refused(wide: OnnxModel, tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    async with serving(wide, f"unix:{path}"):
        with contextlib.ExitStack() as held:
            for _ in range(500):  # nobody accepts meanwhile: this test has the loop
                caller = held.enter_context(socket.socket(socket.AF_UNIX))
                caller.setblocking(False)
                caller.connect(str(path))
