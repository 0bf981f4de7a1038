"""A real MLflow server of the tests' own, from the environment that `make test` sets up beside the product's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.child import free_ports
from tests.architecture.source_trees import ROOT

BIN = ROOT / ".venv-mlflow" / "bin"
STARTS_WITHIN_S = 180.0
# Its last word before it waits: "Application startup complete" comes before it listens.
_READY = "Uvicorn running on"


@dataclass(frozen=True)
class MlflowServer:
    """Where it listens: `url` for MLflow's own clients, `uri` for `open_registry`."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        return f"mlflow+{self.url}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process of MLflow's own needs, and nothing that could lead it elsewhere."""
        return _environment(self.folder) | {"MLFLOW_TRACKING_URI": self.url}


@contextlib.contextmanager
def mlflow_server(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[MlflowServer]:
    """Runs until the context ends. SQLite and served artifacts in the folder; one worker."""
    assert (BIN / "mlflow").exists(), f"{BIN} is not set up: run `make .venv-mlflow/ready`"
    (port,) = free_ports(1)
    command = [
        *(str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")),
        *arguments,
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(folder) | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        _wait(process.stdout)
        yield MlflowServer(port, folder)
    finally:
        # The command and the server that it starts are one group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _wait(output: IO[str]) -> None:
    """Until the server says that it serves; afterwards a thread keeps its output from filling the pipe."""
    said: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        with contextlib.suppress(ValueError):  # closed while it was read
            for line in output:
                if not ready.is_set():
                    said.append(line)
                if _READY in line:
                    ready.set()
        ended.set()
        ready.set()

    ended = threading.Event()
    threading.Thread(target=listen, name="mlflow-output", daemon=True).start()
    assert ready.wait(STARTS_WITHIN_S), "MLflow did not start:\n" + "".join(said)
    assert not ended.is_set(), "MLflow ended:\n" + "".join(said)


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # else seven processes more
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        # Webhooks to a listener of the tests, also to one that was not there a second ago.
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }
