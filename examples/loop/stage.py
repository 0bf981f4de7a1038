"""The stage of the loop, all real processes: an MLflow server, a sidecar, and the endpoint that takes events.

Keeps: whatever is started is stopped in reverse order, however the run ends; each writes to a log file of its own.
Called by the main program.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from examples.loop import world
from examples.loop.receiver import Receiver

MLFLOW = Path(".venv-mlflow/bin/mlflow")
# The console script that was installed beside this interpreter.
SIDECAR = Path(sys.executable).with_name("sidecar")
_ENDS_WITHIN_S = 30.0


def configuration(folder: Path, registry_uri: str, receiver_url: str, ports: tuple[int, int]) -> Path:
    """The sidecar's settings: gates and patience short enough to watch, everything else as anybody would have it."""
    settings = {
        "listen": f"127.0.0.1:{ports[0]}",
        "state_dir": str(folder / "state"),
        "admin": {"listen": f"127.0.0.1:{ports[1]}"},
        "registry": {"uri": registry_uri, "poll_s": 1.0},
        "events": [{"url": receiver_url, "secret_env": "LOOP_SECRET"}],
        "deployments": [
            {
                "name": world.MODEL,
                "owner": "cards@example.com",
                "from_registry": {"managed": True},
                "drift": {"bucket_s": 1},
                "retrain": {"after_s": 3.0, "cooldown_s": 3_600.0, "window_s": 3_600.0},
                "gates": {
                    "pairs": {"min": 500},
                    "duration": {"min_hours": 0.001},
                    "latency": {"max_ratio": 5.0},
                    # The new version is to say something else: that is what it was trained for.
                    "agreement": "off",
                    "prediction": "off",
                    "outcome": {"test": "superior", "min_matched": 500},
                    "calibration": {"max_increase": 0.1},
                    "lineage": {"require": ["data", "code"]},
                },
                "promotion": {"mode": "auto", "dwell_s": 3.0},
            }
        ],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def mlflow_command(folder: Path, port: int) -> list[str]:
    """The command of a server of the example's own."""
    store = (
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    )
    return [str(MLFLOW.resolve()), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *store]


def mlflow_environment(folder: Path) -> dict[str, str]:
    """What it needs, and nothing that could lead it elsewhere."""
    return {
        "PATH": f"{MLFLOW.resolve().parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, held together for a moment so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


@asynccontextmanager
async def running(command: list[str], log: Path, environment: dict[str, str]) -> AsyncIterator[None]:
    """A process, and all that it starts, until the block ends."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, _ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[str]:
    """The receiver on a port of its own; its address."""
    app = web.Application()
    app.router.add_post("/events", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    finally:
        await runner.cleanup()


async def answers(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether somebody says 200 there."""
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
