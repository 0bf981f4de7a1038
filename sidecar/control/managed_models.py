"""Versions whose model the sidecar runs itself: fetched, asked of the supervisor, warmed, and only then ready.

Keeps: a version is ready after its file had its digest and its server has answered an inference, and not after its
server has been ailing for a minute; what is wanted already is left alone, however often it is asked for; a fault of
one version is a sentence of that version, and is tried again at a growing pace. A control that starts anew stops no
server that it has not looked at yet: it tells the supervisor to leave that one as it is.
Does not: decide which versions are wanted (`following` does), or start processes (the supervisor does).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry_client.client import Registry
from registry_client.errors import RegistryError
from sidecar.control.model_artifacts import ModelArtifacts, digest_in
from sidecar.control.model_probe import NotReady, health, inference_path, warmed
from sidecar.decide.model_servers import MOST_SERVERS, ModelServer, saying_path, written
from sidecar.standing import Target

log = logging.getLogger("sidecar.control.models")

FETCH_WAIT_S, LONGEST_FETCH_WAIT_S = 1.0, 60.0
# While a server starts it is asked often: the time until the first copy is counted in these.
STARTING_S, SOON_S, LATER_S = 20.0, 0.05, 1.0
WATCH_S = 2.0
AILING_S = 60.0
LONGEST_CALM_S = 3600.0
# Copies under way may end before their server does.
LINGER_S = 10.0
TIDY_S = 600.0
# As the kernel and `address` bound the path of a socket.
_LONGEST_SOCKET_BYTES = 100
_SAYING_BYTES = 1000

Key = tuple[str, str]  # deployment, version


def _nobody() -> None:
    """Nobody has to be told."""


@dataclass(slots=True)
class _Life:
    """One wanted version, from its wish to its end."""

    model: str
    server: ModelServer
    held: bool = False
    says: str | None = "its artifact is being fetched"
    ready: bool = False
    stuck: bool = False  # something was wrong already; it may come later
    calm_s: float = 0.0
    task: asyncio.Task[None] | None = None


class ManagedModels:
    """All of them. `want` is called within the running loop; `close` ends what is under way here, not the servers.

    Args:
        registry: open.
        folder: where model files are kept.
        sockets: the folder that the supervisor names.
        ask: takes a line to the supervisor.
        clock: seconds since the epoch.
        source: names the registry, such as its address: files of one are never another's.
        pace: how much longer than usual everything is waited for.
    """

    def __init__(
        self,
        registry: Registry,
        folder: Path,
        sockets: Path,
        ask: Callable[[str], None],
        clock: Callable[[], float],
        *,
        source: str = "",
        pace: float = 1.0,
    ) -> None:
        self.changed: Callable[[], None] = _nobody
        self._artifacts = ModelArtifacts(registry, folder, clock, source=source)
        self._sockets = sockets
        self._ask = ask
        self._pace = pace
        self._lives: dict[Key, _Life] = {}
        self._lingering: dict[str, tuple[ModelServer, asyncio.TimerHandle]] = {}
        self._tidying: asyncio.Task[None] | None = None
        self._asked: str | None = None
        self._moved = asyncio.Event()

    # --- what following calls --------------------------------------------------------------------------------

    def want(self, wanted: Mapping[Key, str], held: Collection[Key] = ()) -> None:
        """These versions shall run, and no others: (deployment, version) -> the registry's name of the model.

        `held`: of these, those whose file stays the one that was fetched before, where it is still there.
        The first call of a life has to name all that may be serving: what it does not name is stopped.
        """
        for key, life in list(self._lives.items()):
            if wanted.get(key) != life.model:
                self._end(key)
        for key, model in sorted(wanted.items()):
            if key in self._lives:
                self._lives[key].held = key in held
            elif len(self._lives) < MOST_SERVERS:
                self._begin(key, model, held=key in held)
        if self._tidying is None:
            self._tidying = asyncio.create_task(self._tidy(), name="old models")
        self._tell()

    def target(self, deployment: str, version: str, model: str | None = None) -> Target:
        """Where this version answers once it is ready; the same after a restart of everything.

        `model` is the registry's name, by default the deployment's: another model has another address, so that it is
        not taken for ready while the one before still answers, and evidence about that one is not counted for it.
        """
        return Target(f"unix:{self._socket((deployment, version), model or deployment)}", inference_path(deployment))

    def ready(self, deployment: str, version: str) -> Target | None:
        """Warmed and answering; None: not yet, or not any more. `following` lets nobody go for that."""
        life = self._lives.get((deployment, version))
        return self.target(deployment, version, life.model) if life is not None and life.ready else None

    def says(self, deployment: str, version: str) -> str | None:
        """What is wrong or waited for; None where all is well, or the version is not wanted."""
        life = self._lives.get((deployment, version))
        if life is None:
            return None if len(self._lives) < MOST_SERVERS else f"more than {MOST_SERVERS} models cannot be run"
        return life.says

    def digest(self, deployment: str, version: str) -> str | None:
        """The content of the file that is served, `sha256:<hex>`; None while there is none."""
        life = self._lives.get((deployment, version))
        return None if life is None or life.server.file is None else digest_in(Path(life.server.file))

    async def settled(self, within_s: float) -> None:
        """Waits until each wanted version is ready or something is known to be wrong with it, and no longer than this.

        A control that starts anew finds its servers running: after this it knows so before it makes the first table.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not all(life.ready or life.stuck for life in self._lives.values()):
                    self._moved.clear()
                    await self._moved.wait()

    async def close(self) -> None:
        """Ends what is under way. The servers go on: the next control, or the supervisor's end, sees to them."""
        tasks = [life.task for life in self._lives.values() if life.task is not None]
        tasks += [self._tidying] if self._tidying is not None else []
        for task in tasks:
            task.cancel()
        for _, timer in self._lingering.values():
            timer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- the wishes, and the line that tells them ------------------------------------------------------------

    def _socket(self, key: Key, model: str) -> str:
        name = hashlib.sha256("\0".join((*key, model)).encode()).hexdigest()[:12]
        return str(self._sockets / f"m-{name}.sock")

    def _begin(self, key: Key, model: str, *, held: bool) -> None:
        server = ModelServer(key[0], key[1], self._socket(key, model))
        before = self._lingering.pop(server.socket, None)
        if before is not None:
            before[1].cancel()
        life = self._lives[key] = _Life(model, server, held)
        life.task = asyncio.create_task(self._live(life), name=f"model {key[0]} {key[1]}")
        life.task.add_done_callback(lambda task: self._failed(life, task))

    def _end(self, key: Key) -> None:
        life = self._lives.pop(key)
        if life.task is not None:
            life.task.cancel()
        socket = life.server.socket
        timer = asyncio.get_running_loop().call_later(LINGER_S * self._pace, self._let_go, socket)
        self._lingering[socket] = (ModelServer(life.server.name, life.server.version, socket), timer)

    def _let_go(self, socket: str) -> None:
        del self._lingering[socket]
        self._tell()

    def _tell(self) -> None:
        """All servers of now, if the supervisor has not been told so already."""
        servers = [life.server for life in self._lives.values()]
        servers += [server for server, _ in self._lingering.values()]
        line = written(sorted(servers[:MOST_SERVERS], key=lambda server: server.socket))
        if line != self._asked:
            self._asked = line
            self._ask(line)

    # --- one version's way -----------------------------------------------------------------------------------

    async def _live(self, life: _Life) -> None:
        if len(life.server.socket.encode()) > _LONGEST_SOCKET_BYTES:
            life.says = f"the path {life.server.socket} is too long for a socket: set TMPDIR to a shorter folder"
            self._stuck(life)
            return
        while True:
            file = await self._file(life)
            life.server = ModelServer(life.server.name, life.server.version, life.server.socket, str(file))
            self._tell()
            life.says = "its model server is starting"
            while await self._came(life, file):
                self._turned(life, ready=True)
                await self._ailed(life)
                self._turned(life, ready=False)
                life.calm_s = min(LONGEST_CALM_S, max(AILING_S, life.calm_s * 2))

    async def _file(self, life: _Life) -> Path:
        wait_s = FETCH_WAIT_S
        while True:
            try:
                return await self._artifacts.there(life.model, life.server.version, held=life.held)
            except RegistryError as error:
                life.says = str(error)
            except OSError as error:
                life.says = f"its artifact cannot be kept: {error.strerror or error}"
            self._stuck(life)
            log.warning("a model could not be fetched", extra={"fields": _fields(life)})
            await asyncio.sleep(wait_s * self._pace)
            wait_s = min(LONGEST_FETCH_WAIT_S, wait_s * 2)

    async def _came(self, life: _Life, file: Path) -> bool:
        """Waits until it is ready; False when its file has gone meanwhile, so that it never will be."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        well_since: float | None = None
        while True:
            now = loop.time()
            fault = await asyncio.to_thread(_saying, life.server.socket)
            try:
                note = await _well(life.server, fault)
            except NotReady as error:
                well_since = None
                life.says = f"its model server is not ready: {fault or error}"
                if fault is not None:
                    self._stuck(life)
            else:
                well_since = now if well_since is None else well_since
                life.says = note
                if now - well_since >= life.calm_s * self._pace:
                    return True
                life.says = "it answers again, and is watched for a while before it gets copies"
            if not await asyncio.to_thread(file.is_file):
                return False
            await asyncio.sleep((SOON_S if now - began < STARTING_S and fault is None else LATER_S) * self._pace)

    async def _ailed(self, life: _Life) -> None:
        """Returns when it has been ailing for long: not answering, or crashing again and again."""
        loop = asyncio.get_running_loop()
        well_at, note = loop.time(), life.says
        while loop.time() - well_at < AILING_S * self._pace:
            await asyncio.sleep(WATCH_S * self._pace)
            fault = await asyncio.to_thread(_saying, life.server.socket)
            try:
                await health(life.server.socket, life.server.name, life.server.version)
            except NotReady as error:
                life.says = f"its model server does not answer: {fault or error}"
                continue
            if fault is not None:
                life.says = f"its model server had to be started again: {fault}"
                continue
            well_at, life.says = loop.time(), note

    def _stuck(self, life: _Life) -> None:
        life.stuck = True
        self._moved.set()

    def _turned(self, life: _Life, *, ready: bool) -> None:
        life.ready, life.stuck = ready, not ready
        self._moved.set()
        log.info("a model is ready" if ready else "a model is not ready any more", extra={"fields": _fields(life)})
        self.changed()

    def _failed(self, life: _Life, task: asyncio.Task[None]) -> None:
        """A fault of our own in one version's way: told, and that version stays as it is."""
        if task.cancelled() or (fault := task.exception()) is None:
            return
        life.says = f"it is not looked after any more ({type(fault).__name__}): restart the sidecar"
        self._stuck(life)
        log.error("a model is not looked after any more", extra={"fields": _fields(life)}, exc_info=fault)

    async def _tidy(self) -> None:
        while True:
            try:
                await self._artifacts.tidy({(life.model, life.server.version) for life in self._lives.values()})
            except OSError as error:
                log.warning("old models were not removed", extra={"fields": {"says": str(error.strerror)}})
            await asyncio.sleep(TIDY_S * self._pace)


async def _well(server: ModelServer, fault: str | None) -> str | None:
    """What `warmed` notes. Raises NotReady, also while it is not known that it got over its fault."""
    note = await warmed(server.socket, server.name, server.version)
    if fault is not None:
        raise NotReady(fault)
    return note


def _fields(life: _Life) -> dict[str, object]:
    return {"deployment": life.server.name, "version": life.server.version, "says": life.says}


def _saying(socket: str) -> str | None:
    """Why the server of this socket last ended, as the supervisor left it."""
    try:
        with Path(saying_path(socket)).open("rb") as file:
            return " ".join(file.read(_SAYING_BYTES).decode("utf-8", "replace").split()) or None
    except OSError:
        return None
