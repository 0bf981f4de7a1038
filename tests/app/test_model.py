"""A managed model server as the supervisor starts it: a process that serves, or says in one sentence why not."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from sidecar.app.managed import without_secrets
from tests.model_server.tiny_models import elsewhere, greedy, times, written

# Stands between the interpreter and the module, as a limit that the machine has already.
STARTS = """\
import resource, runpy, sys
{limit}
sys.argv = ['model', *sys.argv[1:]]
runpy.run_module('{module}', run_name='__main__')
"""


class Process:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "model.onnx"
        self.socket = folder / "m.sock"
        self.process: asyncio.subprocess.Process

    async def start(self, limit: str = "pass") -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-c",
            STARTS.format(limit=limit, module="sidecar.app.model"),
            "--name=fraud",
            "--version=4",
            f"--socket={self.socket}",
            f"--file={self.file}",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=without_secrets(os.environ),
        )

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(120):
            return (await self.process.stdout.readline()).decode()

    async def ended(self) -> tuple[int, str, str]:
        async with asyncio.timeout(120):
            out, err = await self.process.communicate()
        return self.process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    process = Process(tmp_path)
    yield process
    if process.process.returncode is None:
        process.process.kill()
        await process.process.communicate()


async def test_it_says_ready_once_it_answers_and_ends_when_its_supervisor_is_gone(process: Process) -> None:
    written(times(2.0), process.file)
    await process.start()

    assert await process.line() == "ready\n"
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(process.socket))) as session:
        body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.5]}]}
        async with session.post("http://localhost/v2/models/fraud/infer", json=body) as answer:
            assert (await answer.json())["outputs"][0]["data"] == [3.0]
    os.kill(process.process.pid, signal.SIGINT)  # a terminal's Ctrl-C is the supervisor's to hear
    os.kill(process.process.pid, signal.SIGHUP)
    assert process.process.stdin is not None
    process.process.stdin.close()

    assert await process.ended() == (0, "", "")
    assert not process.socket.exists()


async def test_sigterm_ends_it(process: Process) -> None:
    written(times(2.0), process.file)
    await process.start()
    await process.line()
    process.process.send_signal(signal.SIGTERM)

    assert (await process.ended())[0] == 0


async def test_it_runs_within_bounds(process: Process) -> None:
    written(times(2.0), process.file)
    await process.start()
    await process.line()
    limits = Path(f"/proc/{process.process.pid}/limits").read_text()
    soft = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}

    assert int(soft["Max address space"]) < 64 << 30
    assert soft["Max core file size"] == "0"
    assert int(soft["Max open files"]) <= 16_384
    assert soft["Max cpu time"] == "unlimited"  # bounded only while it loads
    secrets = Path(f"/proc/{process.process.pid}/environ").read_bytes()
    assert b"ORT_DISABLE_TELEMETRY=1" in secrets


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "its file is not a usable ONNX model"),
        (b"not a model at all", "its file is not a usable ONNX model"),
        (os.urandom(1 << 20), "its file is not a usable ONNX model"),
        (elsewhere("../../secret").SerializeToString(), "outside the model's folder"),
        (elsewhere("*/_ORT_MEM_ADDR_/*").SerializeToString(), "no file beside it"),
    ],
    ids=["empty", "text", "random", "outside", "memory"],
)
async def test_a_hostile_model_is_one_sentence(process: Process, content: bytes, says: str) -> None:
    process.file.write_bytes(content)
    await process.start()
    code, out, err = await process.ended()

    assert code == 2
    assert out.startswith("fault ")
    assert says in out
    assert out.count("\n") == 1
    assert str(process.file) not in out
    assert err == f"sidecar: model fraud 4: {out.removeprefix('fault ')}"


async def test_a_model_that_asks_for_terabytes_gets_none_and_the_server_lives(process: Process) -> None:
    written(greedy(), process.file)
    await process.start()
    assert await process.line() == "ready\n"  # it asks only when it is asked
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(process.socket))) as session:
        body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.5]}]}
        for _ in range(3):
            async with session.post("http://localhost/v2/models/fraud/infer", json=body) as answer:
                assert answer.status == 500
                assert "the model failed on this request" in (await answer.json())["error"]
    resident = Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]
    assert int(resident) * resource.getpagesize() < 1 << 30


async def test_a_missing_file_is_one_sentence(process: Process) -> None:
    await process.start()
    code, out, err = await process.ended()

    assert code == 2
    assert out.startswith("fault ")
    assert "Traceback" not in err


async def test_a_socket_that_another_one_serves_is_not_taken(process: Process, tmp_path: Path) -> None:
    written(times(2.0), process.file)
    await process.start()
    await process.line()
    second = Process(tmp_path)
    await second.start()
    code, out, _ = await second.ended()

    assert (code, out) == (2, f"fault cannot listen on unix:{process.socket}: another process serves there\n")


async def test_bounds_that_the_machine_has_already_are_kept(process: Process) -> None:
    written(times(2.0), process.file)
    await process.start("resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))")
    await process.line()
    limits = Path(f"/proc/{process.process.pid}/limits").read_text()

    assert next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3:5] == ["64", "64"]


def test_loading_has_a_bound_of_its_own_that_ends_with_it() -> None:
    from sidecar.app.model import LOAD_CPU_S, LoadTime

    before = resource.getrlimit(resource.RLIMIT_CPU)
    with LoadTime():
        soft = resource.getrlimit(resource.RLIMIT_CPU)[0]
        used = resource.getrusage(resource.RUSAGE_SELF)
        assert LOAD_CPU_S - 2 <= soft - used.ru_utime - used.ru_stime <= LOAD_CPU_S
    assert resource.getrlimit(resource.RLIMIT_CPU) == before
