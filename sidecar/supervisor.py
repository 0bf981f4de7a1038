"""The first process: binds the sockets once, starts control and the workers, restarts what dies, passes signals.

It holds no state and parses no traffic. Sockets stay bound here while children come and go, so a connection made
during a restart waits in the backlog instead of being refused. Children read its end from their standard input:
when the supervisor dies, they drain and stop too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import tempfile
from pathlib import Path

from sidecar import __version__
from sidecar.address import Address
from sidecar.config import Settings
from sidecar.config_file import load
from sidecar.telemetry.logs import configure

log = logging.getLogger("sidecar.supervisor")

BACKLOG = 2048
FIRST_WAIT_S, LONGEST_WAIT_S, SETTLED_S = 0.1, 5.0, 10.0
CONTROL_STOP_S = 10.0


class CannotBind(Exception):
    """An address is taken or not ours. The message is for people."""


def bind(address: Address, key: str) -> socket.socket:
    """A listening socket; raises CannotBind."""
    family = socket.AF_UNIX if address.unix else socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if address.unix:
            _remove_stale(address.unix)
            listener.bind(address.unix)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotBind(f"{key} {address}: {error.strerror}; is another process listening there?") from error
    return listener


def _remove_stale(path: str) -> None:
    """A socket's file outlives its process; one that nobody answers on is removed, a live one is left."""
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            Path(path).unlink()


def _where(listener: socket.socket) -> str:
    name = listener.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"http://{Address(name[0], name[1])}"


class Child:
    """One child process, restarted with back-off for as long as the supervisor runs."""

    def __init__(self, name: str, module: str, arguments: list[str], fds: tuple[int, ...]) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._fds = fds
        self._stopping = False
        self.name = name
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()

    async def run(self) -> int:
        """Runs until stopped; returns early, with its exit code, only if it ends before it was ever ready."""
        loop = asyncio.get_running_loop()
        wait_s = FIRST_WAIT_S
        while not self._stopping:
            began = loop.time()
            code = await self._run_once()
            if self._ends():
                return code
            wait_s = FIRST_WAIT_S if loop.time() - began > SETTLED_S else min(LONGEST_WAIT_S, wait_s * 2)
            log.warning("child died", extra={"fields": {"child": self.name, "code": code, "restart_in_s": wait_s}})
            await asyncio.sleep(wait_s)
        return 0

    def _ends(self) -> bool:
        return self._stopping or not self.ready.is_set()

    async def _run_once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, pass_fds=self._fds
        )
        self.process = process
        if process.stdout is not None:
            while line := await process.stdout.readline():
                if line == b"ready\n":
                    self.ready.set()
        return await process.wait()

    def send(self, number: signal.Signals) -> None:
        """Passes a signal on, if there is anybody to get it."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def stop(self, task: asyncio.Task[int], within_s: float) -> int:
        """SIGTERM, then SIGKILL once the time is over."""
        self._stopping = True
        self.send(signal.SIGTERM)
        done, _ = await asyncio.wait({task}, timeout=within_s)
        if not done:
            log.warning("child did not stop in time", extra={"fields": {"child": self.name, "within_s": within_s}})
            self.send(signal.SIGKILL)
        return await task


class Supervisor:
    """All processes of one sidecar."""

    def __init__(self, settings: Settings, config_path: Path, run_dir: Path) -> None:
        self._settings = settings
        data = bind(settings.listen_address, "listen")
        admin = bind(settings.admin_address, "admin.listen")
        self._sockets = (data, admin)
        link, table = str(run_dir / "link.sock"), str(Path(settings.state_dir) / "routing.msgpack")
        self._control = Child(
            "control",
            "sidecar.app.control",
            ["--config", str(config_path), "--admin-fd", str(admin.fileno()), "--link", link, "--table", table],
            (admin.fileno(),),
        )
        self._workers = [
            Child(
                f"worker-{number}",
                "sidecar.app.worker",
                ["--name", f"w{number}", "--listen-fd", str(data.fileno()), "--link", link, "--table", table],
                (data.fileno(),),
            )
            for number in range(settings.workers)
        ]

    async def run(self) -> int:
        """Control first, for the routing table; then the workers; then whatever dies, until a signal comes."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._control.send, signal.SIGHUP)
        stop = loop.create_task(stopping.wait(), name="stop signal")
        control = loop.create_task(self._control.run(), name="control")
        ready = loop.create_task(self._control.ready.wait(), name="control ready")
        await asyncio.wait({stop, control, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if control.done() and not stopping.is_set():
            stop.cancel()
            return await control
        workers = [(child, loop.create_task(child.run(), name=child.name)) for child in self._workers]
        if not stopping.is_set():
            await asyncio.wait(
                [loop.create_task(child.ready.wait(), name="worker ready") for child, _ in workers]
                + [task for _, task in workers]
                + [stop],
                return_when=asyncio.FIRST_COMPLETED,
            )
            data, admin = (_where(listener) for listener in self._sockets)
            print(f"sidecar {__version__} serving on {data}, admin on {admin}", flush=True)  # noqa: T201
        await asyncio.wait({stop, *(task for _, task in workers)}, return_when=asyncio.FIRST_COMPLETED)
        drain_s = self._settings.timeouts.drain_s + 3.0
        codes = await asyncio.gather(*(child.stop(task, drain_s) for child, task in workers))
        await self._control.stop(control, CONTROL_STOP_S)
        return max(codes, default=0) if stopping.is_set() else 1

    def close(self) -> None:
        """Lets go of the sockets."""
        for listener in self._sockets:
            listener.close()


def run(config_path: Path) -> int:
    """The process behind `sidecar run`. 0 after a clean drain, 2 when it could not start."""
    configure("supervisor")
    settings = load(config_path)
    Path(settings.state_dir).mkdir(parents=True, exist_ok=True)
    # Not in state_dir: a Unix socket's path may have 107 bytes only.
    with tempfile.TemporaryDirectory(prefix="sidecar-") as run_dir:
        try:
            supervisor = Supervisor(settings, config_path, Path(run_dir))
        except CannotBind as error:
            print(f"sidecar: {error}", file=sys.stderr)  # noqa: T201
            return 2
        try:
            return asyncio.run(supervisor.run())
        finally:
            supervisor.close()
