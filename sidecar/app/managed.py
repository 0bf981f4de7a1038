"""The supervisor's model servers: those that control asks for run, each as a `Child` on a Unix socket of its own.

Keeps: what runs is what the last readable line asked for; a line that cannot be read, or asks for a socket or file
outside their folders, changes nothing; a control that dies changes nothing. A model server gets no secrets of the
environment. Why one ended stands in a file beside its socket until it has run for a while, for control to read.
Does not: fetch, check or probe models (`control/managed_models` does), or restart: `Child` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath

from sidecar.app.child import SETTLED_S, Child, Patience
from sidecar.decide.model_servers import ModelServer, read, saying_path

log = logging.getLogger("sidecar.supervisor")

MODULE = "sidecar.app.model"
STOP_S = 12.0
# A model that never came up is no better a second later: garbage must not become load.
PATIENCE = Patience(longest_s=30.0, unready_s=5.0)
_SOCKET = re.compile(r"m-[0-9a-f]{12}\.sock")
_LONGEST_SAYING_BYTES = 600
# What Python and the dynamic linker need to start the same interpreter again; tokens and passwords are not among it.
_KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_KEPT_BEGINNINGS = ("LC_", "PYTHON")
# One model, one core; and nothing told to anybody (`model_server/quiet_runtime`).
_ADDED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What a model server gets of this environment."""
    kept = {n: v for n, v in environment.items() if n in _KEPT or n.startswith(_KEPT_BEGINNINGS)}
    return kept | _ADDED


def tell(line: str) -> None:
    """Control's end of it: says a line to the supervisor. One that is gone cannot hear, and will end this process."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


class ModelServers:
    """Those that run. `obey` is handed every line that control says.

    Args:
        sockets: the folder of their sockets.
        models: the folder below which their files are.
    """

    def __init__(self, sockets: Path, models: Path, module: str = MODULE) -> None:
        self._sockets = sockets
        self._models = PurePath(models.absolute())
        self._module = module
        self._places: dict[str, _Place] = {}
        self._over = False
        self._swept = False

    def obey(self, line: bytes) -> None:
        """Makes it so. Whatever is not a request for model servers is not for here."""
        if self._over or not line.startswith(b"{"):
            return
        try:
            wanted = {server.socket: server for server in read(line)}
            for server in wanted.values():
                self._check(server)
        except ValueError as error:
            log.warning("model servers stay as they are", extra={"fields": {"says": str(error)}})
            return
        self._sweep()
        for socket, place in list(self._places.items()):
            if place.idle:
                del self._places[socket]
            elif socket not in wanted:
                place.want(None)
        for socket, server in wanted.items():
            if server.file is not None:
                self._places.setdefault(socket, _Place(self._module)).want(server)

    async def stop(self, within_s: float = STOP_S) -> None:
        """Ends them all, and starts none any more."""
        self._over = True
        await asyncio.gather(*(place.end(within_s) for place in self._places.values()))

    def leave(self) -> None:
        """Removes the folder of the sockets, if nothing is in it."""
        with contextlib.suppress(OSError):
            self._sockets.rmdir()

    def kill(self) -> None:
        """Ends them at once."""
        self._over = True
        for place in self._places.values():
            place.kill()

    def _sweep(self) -> None:
        """Once, before anything runs: what a killed supervisor left. A control that asks holds the folder's lock."""
        if self._swept:
            return
        self._swept = True
        with contextlib.suppress(OSError):
            for path in self._sockets.glob("m-*"):
                path.unlink()

    def _check(self, server: ModelServer) -> None:
        socket = PurePath(server.socket)
        if socket.parent != self._sockets or not _SOCKET.fullmatch(socket.name):
            raise ValueError("a socket is not in the sidecar's own folder")
        if server.file is not None:
            file = PurePath(server.file)
            if not file.is_relative_to(self._models) or ".." in file.relative_to(self._models).parts:
                raise ValueError("a model file is not in the folder of models")


class _Place:
    """One socket, and the model server that is to answer there."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._wanted: ModelServer | None = None
        self._running: ModelServer | None = None
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self._saying = Path()
        self._said: str | None = None
        self._settled: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Nothing runs here, and nothing is to."""
        return self._wanted is None and self._running is None and (self._task is None or self._task.done())

    def want(self, server: ModelServer | None) -> None:
        """Another one, or none; the one before ends first, since a socket has one owner."""
        self._wanted = server
        if server != self._running and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._change(), name="model server")

    async def end(self, within_s: float) -> None:
        """Stops it for good."""
        self._wanted = None
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=within_s)
        await self._stop(within_s)

    def kill(self) -> None:
        """Ends it at once."""
        self._wanted = None
        if self._child is not None:
            self._child.kill()

    async def _change(self) -> None:
        while self._running != self._wanted:
            await self._stop(STOP_S)
            wanted = self._running = self._wanted
            if wanted is not None:
                self._start(wanted)

    def _start(self, server: ModelServer) -> None:
        self._saying = Path(saying_path(server.socket))
        # Written so that a name that begins with a dash is still a name.
        given = [f"--name={server.name}", f"--version={server.version}"]
        given += [f"--socket={server.socket}", f"--file={server.file}"]
        self._child = Child(
            f"model {server.name} {server.version}",
            self._module,
            given,
            environment=without_secrets(os.environ),
            patience=PATIENCE,
            heard=self._heard,
            ended=self._ended,
        )
        self._child.start()
        fields = {"model": server.name, "version": server.version}
        log.info("model server started", extra={"fields": fields})

    async def _stop(self, within_s: float) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        await child.stop(within_s)
        if self._running is not None:
            _removed(Path(self._running.socket))  # a killed one leaves it
            fields = {"model": self._running.name, "version": self._running.version}
            log.info("model server stopped", extra={"fields": fields})
        self._forget()

    def _heard(self, line: bytes) -> None:
        if line == b"ready\n":
            self._settled = asyncio.get_running_loop().call_later(SETTLED_S, self._forget)
        elif line.startswith(b"fault "):
            self._said = line[6:].decode("utf-8", "replace").strip()

    def _ended(self, code: int) -> None:
        """Leaves word of why, for control."""
        if self._settled is not None:
            self._settled.cancel()
        says, self._said = self._said or how(code), None
        beside = self._saying.with_suffix(".new")
        try:
            beside.write_bytes(says.encode()[:_LONGEST_SAYING_BYTES])
            beside.replace(self._saying)
        except OSError as error:
            log.warning("why a model server ended was not kept", extra={"fields": {"says": str(error.strerror)}})

    def _forget(self) -> None:
        """It runs well, or is wanted no longer: what was wrong with it is history."""
        if self._settled is not None:
            self._settled.cancel()
            self._settled = None
        _removed(self._saying)


def _removed(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def how(code: int) -> str:
    """An exit code as a sentence."""
    if code == -signal.SIGXCPU:
        return "its model took too much computing time to load"
    if code == -signal.SIGKILL:
        return "it was killed (SIGKILL), perhaps for want of memory"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"it crashed ({signal.Signals(-code).name})"
    return f"it ended with exit code {code}"
