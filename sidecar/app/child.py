"""One child process of the supervisor: started, restarted with back-off, told of signals, stopped in time.

Keeps: a child that was ready once is started again for as long as it is not stopped; one that ends before it was ever
ready is not, since it would fail again. The child reads its standard input, a pipe held here: when this process dies,
however it dies, the pipe ends and the child drains. Says `ready` on its standard output. Called by `supervisor`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys

log = logging.getLogger("sidecar.supervisor")

FIRST_WAIT_S, LONGEST_WAIT_S, SETTLED_S = 0.1, 5.0, 10.0


class Child:
    """A process `python -m module`, for as long as the supervisor wants it.

    Attributes:
        code: what it last ended with; None while it has never ended.
    """

    def __init__(self, name: str, module: str, arguments: list[str], *fds: int) -> None:
        # -P: a file in the working directory must not take the place of a module.
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._fds = fds
        self._name = name
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._known = asyncio.Event()
        self._was_ready = False
        self._is_ready = False
        self._reload_due = False
        self.code: int | None = None

    def start(self) -> None:
        """Begins its life."""
        self._task = asyncio.create_task(self._live(), name=self._name)

    async def came_up(self) -> bool:
        """Waits until it is ready (True), or has ended before it ever was (False)."""
        await self._known.wait()
        return self._was_ready

    def reload(self) -> None:
        """SIGHUP, as soon as it can hear: before it is ready, that signal would end it."""
        if self._is_ready:
            self._send(signal.SIGHUP)
        else:
            self._reload_due = True

    async def stop(self, within_s: float) -> int:
        """SIGTERM, then SIGKILL once the time is over. Its exit code; 0 if it was not even started."""
        self._stopping.set()
        if self._task is None:
            return 0
        self._send(signal.SIGTERM)
        done, _ = await asyncio.wait({self._task}, timeout=within_s)
        if not done:
            log.warning("child did not stop in time", extra={"fields": {"child": self._name, "within_s": within_s}})
            self._send(signal.SIGKILL)
        await self._task
        return self.code or 0

    def kill(self) -> None:
        """Ends it at once."""
        self._stopping.set()
        self._send(signal.SIGKILL)

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            began = loop.time()
            self.code = await self._run_once()
            if self._stopping.is_set() or not self._was_ready:
                break
            wait_s = FIRST_WAIT_S if loop.time() - began > SETTLED_S else min(LONGEST_WAIT_S, wait_s * 2)
            fields = {"child": self._name, "code": self.code, "restart_in_s": wait_s}
            log.warning("child died", extra={"fields": fields})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
        self._known.set()

    async def _run_once(self) -> int:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, pass_fds=self._fds)
        except OSError as error:  # no memory or no process left: worth another try
            log.warning("child did not start", extra={"fields": {"child": self._name, "says": str(error.strerror)}})
            return 1
        self._process = process
        if self._stopping.is_set():  # stopped while it was being made, so that it has heard of nothing
            self._send(signal.SIGTERM)
        if process.stdout is not None:
            while line := await process.stdout.readline():
                if line == b"ready\n":
                    self._ready()
        self._is_ready = False
        return await process.wait()

    def _ready(self) -> None:
        self._is_ready = self._was_ready = True
        self._known.set()
        if self._reload_due:
            self._reload_due = False
            self._send(signal.SIGHUP)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # Not by Popen, which looks first whether it has ended, and takes its exit code from the one who waits.
                os.kill(self._process.pid, number)
