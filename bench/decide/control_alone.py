"""Control without workers on a folder that was filled before: what it does with much that is stored."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import child, process
from bench.build import ROOT, Build

NAME, CHAMPION, CHALLENGER = "fraud", "3", "4"
_START_S = 1_800.0  # without a snapshot every outcome is counted


@dataclass(frozen=True, slots=True)
class ControlAlone:
    """One that runs."""

    pid: int
    port: int

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One call; its document. Raises OSError for any but 200."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)) as connection:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"content-type": "application/json"})
            answer = connection.getresponse()
            document = json.loads(answer.read())
        if answer.status != 200:
            raise OSError(f"{method} {path} was answered with {answer.status}: {document}")
        return document


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ControlAlone]:
    """While the context lasts; its state is in `folder / "state"`."""
    away = "http://127.0.0.1:9"
    settings = {
        "state_dir": str(folder / "state"),
        "deployments": [
            {
                "name": NAME,
                "champion": {"version": CHAMPION, "url": away},
                "challengers": [{"version": CHALLENGER, "url": away}],
            }
        ],
    }
    config, log = folder / "config.yaml", folder / "log"
    config.write_text(yaml.safe_dump(settings))
    build = Build(sys.executable, str(ROOT))
    with socket.create_server(("127.0.0.1", 0)) as admin, log.open("ab") as file:
        fd, port = str(admin.fileno()), admin.getsockname()[1]
        given = ["--config", str(config), "--admin-fd", fd, "--link", str(folder / "link"), "--table"]
        control = subprocess.Popen(
            build.command("sidecar.app.control", *given, str(folder / "state" / "routing.msgpack")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            env=build.environment(),
            cwd=folder,
            pass_fds=[admin.fileno()],
        )
    try:
        if not child.await_line(control, b"ready", _START_S):
            raise OSError(f"control did not start: {child.said(log)}")
        yield ControlAlone(control.pid, port)
    finally:
        process.stop(control, 60.0)
