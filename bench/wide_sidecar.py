"""A whole sidecar whose model has very many features, each judged and each with metrics of its own, after live traffic.

Called by `footprint`, which asks for its metrics.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import numpy as np
import yaml

from registry_client import build_baseline, to_json

FEATURES = 200
_TRAINED, _ROWS, _REQUESTS = 20_000, 100, 60
_START_S = 120.0
ROOT = Path(__file__).parent.parent


class NotThere(Exception):
    """The sidecar did not start, or has not counted what it was sent."""


@contextlib.contextmanager
def wide_sidecar() -> Iterator[str]:
    """Its admin address as HOST:PORT, once it has counted rows of every feature."""
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as name, _Model() as model:
        folder = Path(name)
        trained = {f"x{number}": rng.lognormal(size=_TRAINED) for number in range(FEATURES)}
        (folder / "baseline.json").write_bytes(to_json(build_baseline(trained, now=datetime.now(UTC))))
        deployment = {
            "name": "wide",
            "champion": {"version": "1", "url": model.url},
            "baseline": str(folder / "baseline.json"),
            "sampling": {"rows_per_s": 100_000},
            "drift": {"exported_features": FEATURES},
        }
        settings = {
            "listen": "127.0.0.1:0",
            "state_dir": str(folder / "state"),
            "admin": {"listen": "127.0.0.1:0"},
            "deployments": [deployment],
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = [sys.executable, "-m", "sidecar.cli", "run", "-c", str(folder / "config.yaml")]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder, env=environment
        ) as process:
            try:
                data, admin = _addresses(process)
                _send(data, rng)
                _wait_for_rows(admin)
                yield admin
            finally:
                process.send_signal(signal.SIGTERM)


def _addresses(process: subprocess.Popen[str]) -> tuple[str, str]:
    if process.stdout is None or not (line := process.stdout.readline()):
        raise NotThere("the sidecar did not start")
    data, admin = (part.split()[-1].removeprefix("http://") for part in line.strip().split(","))
    return data, admin


def _send(data: str, rng: np.random.Generator) -> None:
    connection = http.client.HTTPConnection(data, timeout=60)
    for _ in range(_REQUESTS):
        values = rng.lognormal(size=(FEATURES, _ROWS))
        inputs = [
            {"name": f"x{number}", "shape": [_ROWS], "datatype": "FP64", "data": column.tolist()}
            for number, column in enumerate(values)
        ]
        body = json.dumps({"inputs": inputs}).encode()
        connection.request("POST", "/v2/models/wide/infer", body, {"content-type": "application/json"})
        connection.getresponse().read()


def _wait_for_rows(admin: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(admin, timeout=60)
        connection.request("GET", "/v1/deployments/wide/drift")
        report = json.loads(connection.getresponse().read())
        if report["rows_sampled"] >= _ROWS * _REQUESTS // 2 and len(report["features"]) == FEATURES:
            return
        time.sleep(0.5)
    raise NotThere("the rows were not counted")


class _Model:
    """A model server that says the same to everything."""

    def __enter__(self) -> Self:
        output = {"name": "score", "shape": [_ROWS], "datatype": "FP64", "data": [0.5] * _ROWS}
        body = json.dumps({"model_name": "wide", "outputs": [output]}).encode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
