"""One control that may be killed at any time, a worker that routes by its tables, model servers, and a registry.

`Killed.call` is what an operator's program does: one call, its answer or the knowledge that there was none.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from registry_client.client import open_registry
from tests.process.whole_sidecar import ROOT, ROW, Answer, Model, ask, ask_once, compiled, until

ONE = "/v1/deployments/fraud"
GATES: dict[str, Any] = dict.fromkeys(
    (
        "duration", "completeness", "errors", "latency", "pairs", "agreement", "prediction", "outcome", "inputs",
        "lineage",
    ),
    False,
)  # fmt: skip
_WITHIN_S = 60.0
_SECRET = "a-token-of-some-length"
_WHO = {"authorization": f"Bearer {_SECRET}"}


class Killed:
    """The processes, and what they are asked. `closed` ends them all."""

    def __init__(self, folder: Path, models: dict[str, Model], *, traffic: bool) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.registry = open_registry(f"file:{folder / 'registry'}")
        self._armed = folder / "armed"
        self._born: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._short = tempfile.TemporaryDirectory(prefix="st-")
        self._admin = socket.create_server(("127.0.0.1", 0))
        self._data = socket.create_server(("127.0.0.1", 0))
        self.admin = f"http://127.0.0.1:{self._admin.getsockname()[1]}"
        self.data = f"http://127.0.0.1:{self._data.getsockname()[1]}"
        first, second, *_ = sorted(models)
        settings = {
            "listen": "127.0.0.1:0",
            "state_dir": str(self.state_dir),
            "admin": {
                "listen": "127.0.0.1:0",
                "tokens": [{"name": "ann", "role": "admin", "token_env": "SIDECAR_TOKEN_ANN"}],
            },
            "registry": {"uri": f"file:{folder / 'registry'}", "poll_s": 0.5},
            "deployments": [
                {
                    "name": "fraud",
                    "champion": {"version": first, "url": models[first].url},
                    "challengers": [{"version": second, "url": models[second].url}],
                    "gates": GATES,
                    # A watch is over at once; a canary stays at its one step.
                    "promotion": {
                        "watch_s": 0.001,
                        "canary": {"steps": [{"weight": 0.5, "dwell_s": 1e6, "min_pairs": 1_000_000}]},
                    },
                }
            ],
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        asyncio.run(self._fill(first, second))
        table, link = str(self.state_dir / "routing.msgpack"), f"{self._short.name}/link.sock"
        shared = ["--link", link, "--table", table]
        sockets = folder / "sockets"
        sockets.mkdir()
        nursery = str(Path(__file__).with_name("nursery.py"))
        own = ["--config", str(folder / "config.yaml"), "--admin-fd", str(self._admin.fileno())]
        own += ["--sockets", str(sockets)]
        self._begin([nursery, str(self._armed), *own, *shared], self._admin)
        until("the routing table", lambda: Path(table).exists(), _WITHIN_S)
        if traffic:
            given = ["--name", "w0", "--listen-fd", str(self._data.fileno()), "--log-fd", "2"]
            self._begin(["-m", "sidecar.app.worker", *given, *shared], self._data)
            until("the worker routes", self.ready, _WITHIN_S)

    async def _fill(self, *versions: str) -> None:
        for version in versions:
            await self.registry.register("fraud", version)
        await self.registry.set_alias("fraud", "champion", versions[0])

    def _begin(self, arguments: list[str], kept: socket.socket) -> None:
        with (self.folder / f"err-{len(self._processes)}.txt").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=compiled({"TMPDIR": self._short.name, "OPENBLAS_NUM_THREADS": "1", "SIDECAR_TOKEN_ANN": _SECRET}),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                pass_fds=[kept.fileno()],
            )
        self._processes.append(process)
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"born "):
                self._born.append(int(line.split()[1]))

    # --- killing -----------------------------------------------------------------------------------------------

    @property
    def lives(self) -> int:
        return len(self._born)

    def arm(self, place: str) -> None:
        """Control ends when it next comes to this place."""
        beside = self._armed.with_suffix(".new")
        beside.write_text(place, encoding="utf-8")
        beside.replace(self._armed)

    @property
    def armed(self) -> bool:
        return self._armed.exists()

    def kill(self) -> None:
        """Now."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._born[-1], signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Control's process as it is now."""
        return self._born[-1]

    def up(self) -> None:
        """Waits until control answers; a connection that comes while there is none waits in the socket."""
        until("control answers", lambda: self.answers("/healthz"), _WITHIN_S)

    # --- asking ------------------------------------------------------------------------------------------------

    def answers(self, path: str) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask_once(self.admin, path, None, _WHO).status == 200
        return False

    def ready(self) -> bool:
        return self.answers("/readyz")

    def call(self, path: str, body: dict[str, Any], key: str | None = None) -> Answer | None:
        """One call; None where the connection broke, so that nobody knows what became of it."""
        headers = _WHO | {"content-type": "application/json"} | ({} if key is None else {"idempotency-key": key})
        with contextlib.closing(http.client.HTTPConnection(self.admin.removeprefix("http://"), timeout=60)) as caller:
            try:
                return ask(caller, path, json.dumps(body).encode(), headers)
            except (OSError, http.client.HTTPException):
                return None

    def get(self, path: str) -> Any:
        answer = ask_once(self.admin, path, None, _WHO)
        assert answer.status == 200, answer
        return answer.document

    def text(self, path: str) -> str:
        return ask_once(self.admin, path, None, _WHO).body.decode()

    def alias(self) -> str:
        """Where the registry has the champion."""
        return asyncio.run(self.registry.aliases("fraud"))["champion"]

    def served(self) -> str | None:
        """The version that answers callers."""
        answer = ask_once(self.data, body=ROW)
        assert answer.status == 200, answer
        return answer.version

    def said(self) -> str:
        return "\n".join(path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("err-*.txt")))

    def close(self) -> list[int]:
        """All of them in order; their exit codes, the worker's first."""
        codes = []
        for process in reversed(self._processes):
            assert process.stdin is not None
            process.stdin.close()
            try:
                codes.append(process.wait(30))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
            if process.stdout is not None:
                process.stdout.close()
        self._admin.close()
        self._data.close()
        self._short.cleanup()
        return codes


@contextlib.contextmanager
def killed_control(folder: Path, *, traffic: bool) -> Iterator[Killed]:
    """All of it, on a folder."""
    with contextlib.ExitStack() as stack:
        models = {version: Model(version) for version in ("3", "4")}
        for model in models.values():
            stack.callback(model.close)
        control = Killed(folder, models, traffic=traffic)
        stack.callback(control.close)
        yield control
