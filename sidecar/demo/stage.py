"""The demo's stage, all real processes: a folder registry with both versions, two model servers, a sidecar in front."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml

from registry_client.baseline import Baseline
from registry_client.client import open_registry
from registry_client.from_columns import build_baseline
from sidecar.demo import payments
from sidecar.model_server import OnnxModel

MODEL = "payments"
CHAMPION, CHALLENGER = "3", "4"
_MODELS = Path(__file__).parent / "models"
_START_S = 30.0
_STOP_S = 15.0


class StageFault(Exception):
    """A part of the demo did not start. The message says which and why."""


async def fill_registry(folder: Path) -> None:
    """Registers both versions as a training pipeline would: model, lineage, and the baseline of its training data."""
    lineage = json.loads((_MODELS / "lineage.json").read_text())
    rows, truth = payments.training_set()
    registry = open_registry(f"file:{folder}")
    for version in (CHAMPION, CHALLENGER):
        artifact = _MODELS / f"{MODEL}-{version}.onnx"
        baseline = await asyncio.to_thread(_baseline, artifact, version, rows, truth)
        await registry.register(MODEL, version, artifact=artifact, baseline=baseline, lineage=lineage[version])
    await registry.set_alias(MODEL, "champion", CHAMPION)
    await registry.set_alias(MODEL, "challenger", CHALLENGER)
    await registry.close()


def _baseline(artifact: Path, version: str, rows: payments.Payments, truth: np.ndarray) -> Baseline:
    body = json.dumps({"inputs": payments.inference_inputs(rows)}).encode()
    outputs = json.loads(OnnxModel(artifact, MODEL, version).answer(body))["outputs"]
    scores = next(output["data"] for output in outputs if output["name"] == "probability")
    columns = {**rows, "probability": np.asarray(scores), "fraud": truth}
    return build_baseline(
        columns, prediction="probability", outcome="fraud", name="generated payments", now=datetime.now(UTC)
    )


def write_config(folder: Path, port: int, admin_port: int) -> Path:
    """The sidecar's configuration: gates short enough for a demo, everything else as anybody would have it."""
    config = {
        "listen": f"127.0.0.1:{port}",
        "state_dir": str(folder / "state"),
        "admin": {"listen": f"127.0.0.1:{admin_port}"},
        "registry": {"uri": f"file:{folder / 'registry'}"},
        "deployments": [
            {
                "name": MODEL,
                "owner": "risk-ml@example.com",
                "champion": {"version": CHAMPION, "url": f"unix:{folder / 'model-3.sock'}"},
                "challengers": [{"version": CHALLENGER, "url": f"unix:{folder / 'model-4.sock'}"}],
                "baseline": "registry",
                "drift": {"bucket_s": 1},
                "sampling": {"keep_rows": 256},  # the payments are made up; so a named cause can be proven
                "gates": {
                    "pairs": {"min": 2000},
                    "duration": {"min_hours": 0.002},
                    "errors": {"max_increase": 0.01},
                    "latency": {"max_ratio": 5.0},
                    "agreement": {"min": 0.85},
                    "outcome": {"test": "superior", "min_matched": 1000},
                    "calibration": {"max_increase": 0.1},
                    "lineage": {"require": ["data", "code"]},
                },
                "promotion": {"watch_s": 600},
            }
        ],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


@contextlib.asynccontextmanager
async def process(arguments: list[str], ready: str) -> AsyncIterator[str]:
    """A `sidecar …` process while the context lasts; gives the line that said it is ready. Raises StageFault."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "sidecar.cli",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C ends the demo, and the demo ends its parts in order
    )
    logged: list[str] = []
    drain = asyncio.create_task(_keep_last(child.stderr, logged), name="standard error")
    try:
        line = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                while child.stdout is not None and ready not in line:
                    if not (raw := await child.stdout.readline()):
                        break
                    line = raw.decode()
        if ready not in line:
            raise StageFault(f"`sidecar {arguments[0]}` did not start: {' '.join(logged) or 'it said nothing'}")
        yield line
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # Not by Popen, which looks first whether it has ended, and takes its exit code from the one who waits.
                os.kill(child.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), _STOP_S)
            except TimeoutError:
                child.kill()
                await child.wait()
        await drain


async def _keep_last(stream: asyncio.StreamReader | None, lines: list[str]) -> None:
    while stream is not None and (line := await stream.readline()):
        lines.append(line.decode(errors="replace").strip())
        del lines[:-5]


@contextlib.asynccontextmanager
async def standing(folder: Path, port: int, admin_port: int) -> AsyncIterator[tuple[str, str]]:
    """Everything up; gives the addresses of the data plane and of the admin API."""
    await fill_registry(folder / "registry")
    config = write_config(folder, port, admin_port)
    async with contextlib.AsyncExitStack() as stack:
        for version in (CHAMPION, CHALLENGER):
            artifact = folder / "registry" / MODEL / "versions" / version / "model.onnx"
            listen = f"unix:{folder / f'model-{version}.sock'}"
            arguments = ["serve-model", str(artifact), "--name", MODEL, "--version", version, "--listen", listen]
            await stack.enter_async_context(process(arguments, "serving"))
        line = await stack.enter_async_context(process(["run", "-c", str(config)], "serving on"))
        words = line.replace(",", " ").split()
        data, admin = (word for word in words if word.startswith("http://"))
        yield data, admin
