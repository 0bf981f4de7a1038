"""The processes of the example: two model servers and the sidecar, started as a person would start them.

Keeps: whatever is started is stopped, in reverse order, however the run ends; each writes to a log file of its own.
Called by the main program.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time

import aiohttp

START_S = 30.0
STOP_S = 30.0
# The console script that was installed beside this interpreter.
SIDECAR = Path(sys.executable).with_name("sidecar")


class DidNotStart(Exception):
    """A process ended or kept silent; the sentence quotes its last line."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, held together for a moment so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


@asynccontextmanager
async def started(
    session: aiohttp.ClientSession, arguments: list[str], ready_url: str, log: Path
) -> AsyncIterator[float]:
    """Runs `sidecar` with `arguments` until the block ends; yields the wall time at which `ready_url` said 200."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(SIDECAR), *arguments], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield await _ready(session, process, ready_url, log)
        finally:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _ready(session: aiohttp.ClientSession, process: subprocess.Popen[bytes], ready_url: str, log: Path) -> float:
    deadline = time() + START_S
    while time() < deadline:
        if process.poll() is not None:
            break
        try:
            async with session.get(ready_url) as answer:
                if answer.status == 200:
                    return time()
        except aiohttp.ClientConnectionError:
            pass  # not listening yet
        await asyncio.sleep(0.02)
    last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    raise DidNotStart(f"{ready_url} did not become ready: {last}")
