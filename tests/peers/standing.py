"""Real model servers from environments of their own, each a process group that ends with its test."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.architecture.source_trees import ROOT
from tests.process.whole_sidecar import until

STARTS_WITHIN_S = 180.0
ENDS_WITHIN_S = 15.0
PROGRAMS = Path(__file__).parent / "programs"


class Environment:
    """A virtual environment beside the product's, with a server and its own client in it."""

    def __init__(self, name: str) -> None:
        self.name = f".venv-{name}"
        self.bin = ROOT / self.name / "bin"
        assert (ROOT / self.name / "ready").exists(), f"{self.name} is not set up: run `make {self.name}/ready`"

    def variables(self, home: Path) -> dict[str, str]:
        """What a process needs, and nothing that could lead it elsewhere."""
        return {
            "PATH": f"{self.bin}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "DO_NOT_TRACK": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GIT_PYTHON_REFRESH": "quiet",
            # Triton's Python backend takes the system's libpython unless it is shown that of this interpreter.
            "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
        }

    def run(self, folder: Path, program: str, *arguments: str) -> None:
        """One of `programs` to its end."""
        done = subprocess.run(
            [str(self.bin / "python"), str(PROGRAMS / program), *arguments],
            cwd=folder,
            env=self.variables(folder),
            capture_output=True,
            text=True,
            timeout=STARTS_WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"{program} {arguments} failed:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"

    @contextlib.contextmanager
    def calling(self, folder: Path, program: str) -> Iterator[Client]:
        """One of `programs` that goes on: its imports take longer than all its calls."""
        with (
            (folder / "client.txt").open("wb") as err,
            subprocess.Popen(
                [str(self.bin / "python"), str(PROGRAMS / program)],
                cwd=folder,
                env=self.variables(folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield Client(process, folder / "client.txt")
            finally:
                _end(process)

    @contextlib.contextmanager
    def serving(self, folder: Path, port: int, ready: str, *command: str) -> Iterator[str]:
        """A server while the context lasts; its address once `ready` is answered with 200."""
        said = folder / "said.txt"
        with said.open("wb") as out:
            process = subprocess.Popen(
                [str(self.bin / command[0]), *command[1:]],
                cwd=folder,
                env=self.variables(folder),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:

            def answers() -> bool:
                ended = process.poll()
                assert ended is None, f"{command} ended with {ended}:\n{said.read_text(errors='replace')[-6000:]}"
                return status(port, ready) == 200

            until(f"{command[0]} answering {ready}", answers, STARTS_WITHIN_S)
            yield f"http://127.0.0.1:{port}"
        finally:
            _end(process)


class Client:
    """A server's own client in a process of its environment; a line in, a line of JSON out."""

    def __init__(self, process: subprocess.Popen[str], said: Path) -> None:
        self._process, self._said = process, said

    def call(self, url: str, kind: str) -> dict[str, Any]:
        """What the client got, by the name of the call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{url} {kind}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the client ended:\n{self._said.read_text(errors='replace')[-6000:]}"
        return dict(json.loads(line))


def status(port: int, path: str) -> int | None:
    """The status of a GET; None while nobody answers."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None


def _end(process: subprocess.Popen[Any]) -> None:
    """The whole group: some of these servers are several processes."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDS_WITHIN_S)
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
