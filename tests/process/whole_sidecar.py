"""Whole sidecars as a user starts them, model servers to put behind them, and callers: real processes and sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

INFER = "/v2/models/fraud/infer"
ROW = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]}]}).encode()
# How long a busy machine may keep a process from what it was about to do: who waits longer waits in vain.
PATIENCE_S = 60.0
START_S = 120.0
ROOT = Path(__file__).parents[2]


def until(what: str, look: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """The first answer of `look` that is true; these processes are others', so there is nothing to wait on.

    It looks ever less often: a look at the metrics costs those processes the time that they are waited for.
    """
    deadline, pause_s = time.monotonic() + within_s, 0.005
    while not (found := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s} s: {what}")
        time.sleep(pause_s)
        pause_s = min(0.05, pause_s * 1.4)
    return found


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def version(self) -> str | None:
        return self.headers.get("sidecar-version")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connect(url: str, timeout: float = PATIENCE_S) -> http.client.HTTPConnection:
    if url.startswith("unix:"):
        return UnixConnection(url.removeprefix("unix:"), timeout)
    return http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)


def ask(
    connection: http.client.HTTPConnection,
    path: str = INFER,
    body: bytes | None = ROW,
    headers: dict[str, str] | None = None,
) -> Answer:
    connection.request("GET" if body is None else "POST", path, body, headers or {})
    answer = connection.getresponse()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def ask_once(url: str, path: str = INFER, body: bytes | None = ROW, headers: dict[str, str] | None = None) -> Answer:
    with contextlib.closing(connect(url)) as connection:
        return ask(connection, path, body, headers)


class Model:
    """A model server that says which version it is. A request with `x-hold` waits until `release` is set.

    While `fails` is set it answers 500.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.fails = threading.Event()
        self.held = threading.Event()
        self.release = threading.Event()
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._answer({"ready": True})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                if "x-hold" in self.headers and "sidecar-shadow" not in self.headers:
                    model.held.set()
                    model.release.wait(PATIENCE_S)
                output = {"name": "label", "shape": [1], "datatype": "INT64", "data": [1]}
                self._answer({"model_name": "fraud", "model_version": model.version, "outputs": [output]})

            def _answer(self, document: Any) -> None:
                body = json.dumps(document).encode()
                status = b"500 Internal Server Error" if model.fails.is_set() else b"200 OK"
                head = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(b"HTTP/1.1 %b\r\n%b%b" % (status, head, body))

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def compiled(more: dict[str, str]) -> dict[str, str]:
    """The environment of a child: modules are compiled once for all tests, wherever they were installed from."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(ROOT / ".cache" / "pycache")} | more


class Sidecar:
    """One `sidecar run` in a folder of its own."""

    def __init__(self, folder: Path, settings: dict[str, Any], environment: dict[str, str]) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.settings = settings
        self.state_dir = Path(settings["state_dir"])
        self._environment = compiled(environment)
        self._out = folder / "out.txt"
        self._err = folder / "err.txt"
        self.process: subprocess.Popen[bytes]
        self.data = self.admin = ""
        self.family: set[int] = set()
        self.write(settings)

    def write(self, settings: dict[str, Any]) -> None:
        self.config.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def begin(self) -> Self:
        """Starts the process, and does not wait."""
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sidecar.cli", "run", "-c", str(self.config)],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self

    def start(self) -> Self:
        """Starts it and waits until it serves."""
        self.begin()
        line = until("the serving line", lambda: self._line() or self._ended(), START_S)
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.said}"
        self.data, self.admin = (part.split()[-1] for part in line.strip().split(","))
        self.family = {self.process.pid, *self.children()}
        return self

    def _line(self) -> str:
        return next((line for line in self._out.read_text().splitlines(keepends=True) if "serving on" in line), "")

    def _ended(self) -> str:
        return "" if self.process.poll() is None else "ended"

    @property
    def said(self) -> str:
        """Standard error."""
        return self._err.read_text()

    @property
    def sentences(self) -> list[str]:
        """Standard error without the structured log."""
        return [line for line in self.said.splitlines() if not line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.said.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["event"] == event]

    def children(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task")
        with contextlib.suppress(OSError):
            return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
        return []

    def child(self, module: str) -> list[int]:
        """The living children that run a module, oldest first."""
        found = sorted(pid for pid in self.children() if module in command(pid))
        self.family |= set(found)
        return found

    @property
    def control(self) -> int:
        """The control process; waits for one that is being started."""
        return int(until("a control process", lambda: self.child("sidecar.app.control"))[0])

    @property
    def worker(self) -> int:
        return int(until("a worker", lambda: self.child("sidecar.app.worker"))[0])

    def get(self, path: str) -> Any:
        answer = ask_once(self.admin, path, None)
        assert answer.status == 200, answer
        return answer.document

    def ready(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask_once(self.admin, "/readyz", None).status == 200
        return False

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        answer = ask_once(self.admin, "/metrics", None)
        assert answer.status == 200, answer
        page = answer.body.decode()
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another `sidecar …` command on this one."""
        environment = self._environment | {"SIDECAR_URL": self.admin}
        command_line = [sys.executable, "-m", "sidecar.cli", *arguments]
        return subprocess.run(
            command_line, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=START_S, check=False
        )

    def ended(self, within_s: float = PATIENCE_S) -> int:
        """Waits for its end; the exit code."""
        return self.process.wait(within_s)

    def stop(self, number: signal.Signals = signal.SIGTERM, within_s: float = PATIENCE_S) -> int:
        self.process.send_signal(number)
        return self.ended(within_s)

    def clear(self) -> None:
        """Whatever still lives of it is killed."""
        self.family |= set(self.children()) if self.process.poll() is None else set()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pid in self.family:
            if str(self.config) in command(pid) or "sidecar.app" in command(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def command(pid: int) -> str:
    """A process' command line; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


class Callers:
    """Requests without a pause on kept connections, while the context lasts."""

    def __init__(self, url: str, count: int = 2) -> None:
        self._url = url
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]
        self.answers: list[tuple[int, str | None]] = []
        self.faults: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        with contextlib.closing(connect(self._url)) as connection:
            while not self._over.wait(0.001):
                try:
                    answer = ask(connection)
                except (OSError, http.client.HTTPException) as fault:
                    self.faults.append(repr(fault))
                    connection.close()
                else:
                    self.answers.append((answer.status, answer.version))

    def more(self, number: int) -> None:
        """Waits until so many more were answered."""
        goal = len(self.answers) + number
        until(f"{number} more answers", lambda: len(self.answers) >= goal)

    @property
    def statuses(self) -> set[int]:
        return {status for status, _ in self.answers}

    @property
    def versions(self) -> list[str | None]:
        """Which versions answered, in order, each once in a row."""
        return [v for n, (_, v) in enumerate(self.answers) if n == 0 or v != self.answers[n - 1][1]]


Make = Callable[..., Sidecar]
