"""The first process: binds the sockets once, starts control, the workers and the model servers that control asks for,
restarts what dies, passes signals.

It holds no state and parses no traffic. Sockets stay bound here while children come and go, so a connection made
during a restart waits in the backlog instead of being refused. `run` reads the settings, keeps the few values that
are needed here, and becomes a fresh process of the same id without the libraries that reading took: this process
lives as long as the sidecar, and half of its memory would be a parser that has done its work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

import msgspec

from sidecar import __version__
from sidecar.address import parse_listen
from sidecar.app.child import Child
from sidecar.app.listening import CannotBind, bind, let_go, where
from sidecar.app.managed import ModelServers
from sidecar.app.sockets import socket_folder
from sidecar.decide.routing_table import RoutingTable
from sidecar.telemetry.logs import configure

log = logging.getLogger("sidecar.supervisor")

# Control's matrices are small. OpenBLAS would give each core a thread, and they wait for each other by spinning.
_ONE_CORE = {"OPENBLAS_NUM_THREADS": "1"}
CONTROL_STOP_S = 10.0
DRAIN_MARGIN_S = 3.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_INTERRUPTED = 130
_CANNOT_START = 2


class Orders(msgspec.Struct, frozen=True):
    """What the supervisor needs to know of the settings."""

    config_path: str
    listen: str
    admin_listen: str
    workers: int
    state_dir: str
    drain_s: float
    tls: bool
    admin_tls: bool


class Supervisor:
    """All processes of one sidecar. Raises CannotBind."""

    def __init__(self, orders: Orders, run_dir: Path) -> None:
        self._orders = orders
        self._table = Path(orders.state_dir) / "routing.msgpack"
        self._data = bind(parse_listen(orders.listen), "listen")
        try:
            self._admin = bind(parse_listen(orders.admin_listen), "admin.listen")
        except CannotBind:
            let_go(self._data)
            raise
        shared = ["--link", str(run_dir / "link.sock"), "--table", str(self._table)]
        data_fd, admin_fd = self._data.fileno(), self._admin.fileno()
        # A worker's own standard output is a pipe to here; the access log goes to the one of the whole sidecar.
        self._log_fd = os.dup(1)
        state_dir = Path(orders.state_dir)
        sockets, self._made_sockets = socket_folder(state_dir, otherwise=run_dir)
        self._models = ModelServers(sockets, state_dir / "models")
        given = ["--config", orders.config_path, "--admin-fd", str(admin_fd), "--sockets", str(sockets), *shared]
        # Nobody else's standard output is obeyed.
        self._control = Child(
            *("control", "sidecar.app.control", given, admin_fd),
            environment=_ONE_CORE | os.environ,
            heard=self._models.obey,
        )
        self._workers = [
            Child(
                f"worker-{number}",
                "sidecar.app.worker",
                ["--name", f"w{number}", "--listen-fd", str(data_fd), "--log-fd", str(self._log_fd), *shared],
                data_fd,
                self._log_fd,
            )
            for number in range(orders.workers)
        ]
        self._stopping = asyncio.Event()
        self._hurried = False

    async def run(self) -> int:
        """Control first, for the routing table; then the workers; then whatever dies, until a signal comes."""
        self._hear_signals()
        if await self._up([self._control]) and await self._up(self._workers):
            data, admin = where(self._data, tls=self._orders.tls), where(self._admin, tls=self._orders.admin_tls)
            print(f"sidecar {__version__} serving on {data}, admin on {admin}", flush=True)  # noqa: T201
            await self._stopping.wait()
        failed = [child.code for child in (self._control, *self._workers) if child.code]
        asked = self._stopping.is_set()
        # Workers stop accepting now. Without this a caller that comes would wait in the backlog for nothing, instead
        # of being refused at once and trying elsewhere.
        let_go(self._data)
        codes = await asyncio.gather(*(child.stop(self._drain_s() + DRAIN_MARGIN_S) for child in self._workers))
        await self._control.stop(CONTROL_STOP_S)
        # The models last: workers that drain wait for their answers, a control that still starts for their readiness.
        await self._models.stop()
        if self._hurried:
            return _INTERRUPTED
        if not asked:
            return _CANNOT_START if _CANNOT_START in failed else 1
        # SIGTERM itself ends a worker that was not serving yet: nothing was lost.
        return 1 if any(code not in (0, -signal.SIGTERM) for code in codes) else 0

    def close(self) -> None:
        """Lets go of the sockets."""
        # One that was refused may have met another of the same state folder: that one's sockets are there, or will be.
        if self._made_sockets or self._control.code != _CANNOT_START:
            self._models.leave()
        let_go(self._data)
        let_go(self._admin)
        os.close(self._log_fd)

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGHUP, self._control.reload)
        # Blocked by `run`, so that none was lost while this process became itself. Children are made after this.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _interrupted(self) -> None:
        """Ctrl-C drains; a second one means now."""
        if self._stopping.is_set():
            self._hurried = True
            for child in (*self._workers, self._control):
                child.kill()
            self._models.kill()
        self._stopping.set()

    async def _up(self, children: list[Child]) -> bool:
        """Starts them; True once all are ready, False when one ended before, or a signal came."""
        for child in children:
            child.start()
        came = asyncio.create_task(_all_came_up(children), name="children ready")
        stopped = asyncio.create_task(self._stopping.wait(), name="stop signal")
        either: set[asyncio.Task[bool]] = {came, stopped}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in either:
            task.cancel()
        return came.done() and came.result() and not self._stopping.is_set()

    def _drain_s(self) -> float:
        """How long workers may drain, as their table tells them: a reload may have changed it."""
        try:
            table = msgspec.msgpack.decode(self._table.read_bytes(), type=RoutingTable)
        except (OSError, msgspec.DecodeError):
            return self._orders.drain_s
        return max(self._orders.drain_s, table.bounds.drain_s)


async def _all_came_up(children: list[Child]) -> bool:
    return all(await asyncio.gather(*(child.came_up() for child in children)))


def run(config_path: Path) -> int:
    """The process behind `sidecar run`, which does not come back: the exit code is that of `main`.

    Raises ConfigFaults for a faulty file and OSError if this interpreter cannot be started again.
    """
    from sidecar.config_file import load  # noqa: PLC0415  kept out of the process that stays

    settings = load(config_path)
    orders = Orders(
        config_path=str(config_path),
        listen=settings.listen,
        admin_listen=settings.admin.listen,
        workers=settings.workers,
        state_dir=settings.state_dir,
        drain_s=settings.timeouts.drain_s,
        tls=settings.tls.on,
        admin_tls=settings.admin.tls.on,
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    arguments = [sys.executable, "-P", "-m", "sidecar.supervisor", msgspec.json.encode(orders).decode()]
    os.execv(sys.executable, arguments)  # noqa: S606  our own interpreter and module, no shell


def main() -> int:
    """0 after a clean drain, 1 when requests were cut, 2 with one sentence when it could not start."""
    configure("supervisor")
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    # Not in state_dir: a Unix socket's path may have 107 bytes only.
    with tempfile.TemporaryDirectory(prefix="sidecar-") as run_dir:
        try:
            supervisor = Supervisor(orders, Path(run_dir))
        except CannotBind as error:
            print(f"sidecar: {error}", file=sys.stderr)  # noqa: T201
            return 2
        try:
            return asyncio.run(supervisor.run())
        finally:
            supervisor.close()


if __name__ == "__main__":
    sys.exit(main())
