"""One child process of the supervisor: started, restarted with back-off, told of signals, stopped in time.

Keeps: a child that was ready once is started again for as long as it is not stopped; one that ends before it was ever
ready is not, since it would fail again, unless its `Patience` says when. The child reads its standard input, a pipe
held here: when this process dies, however it dies, the pipe ends and the child drains. Says `ready` on its standard
output; whatever else it says there goes to `heard`. Called by `supervisor` and `managed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sidecar.decide.model_servers import LONGEST_LINE_BYTES

log = logging.getLogger("sidecar.supervisor")

FIRST_WAIT_S, LONGEST_WAIT_S, SETTLED_S = 0.1, 5.0, 10.0
_READY = b"ready\n"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait before it is started again, at most; doubled each time.

    `unready_s` is the first wait after an end before it was ready, `unready_longest_s` the longest; None: a child that
    never was ready is not started again, one that once was is treated as if it had been.
    """

    longest_s: float = LONGEST_WAIT_S
    unready_s: float | None = None
    unready_longest_s: float = 300.0

    def wait_s(self, before_s: float, lived_s: float, *, ready: bool) -> float:
        """The next wait, after one of `before_s` and a life of `lived_s`."""
        if not ready and self.unready_s is not None:
            return min(self.unready_longest_s, max(self.unready_s, before_s * 2))
        if lived_s > SETTLED_S:
            return FIRST_WAIT_S
        return min(self.longest_s, before_s * 2)


_USUAL = Patience()


def _nobody_hears(line: bytes) -> None:
    del line


def _nobody_minds(code: int) -> None:
    del code


class Child:
    """A process `python -m module`, for as long as the supervisor wants it.

    Args:
        environment: all that it gets; None: what this process has.
        heard: is given each line that it says, `ready` too.
        ended: is given its exit code each time it ended unasked.

    Attributes:
        code: what it last ended with; None while it has never ended.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: list[str],
        *fds: int,
        environment: Mapping[str, str] | None = None,
        patience: Patience = _USUAL,
        heard: Callable[[bytes], None] = _nobody_hears,
        ended: Callable[[int], None] = _nobody_minds,
    ) -> None:
        # -P: a file in the working directory must not take the place of a module.
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._fds = fds
        self._name = name
        self._environment = environment
        self._patience = patience
        self._heard = heard
        self._ended = ended
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
            self.code, ready = await self._run_once()
            if self._stopping.is_set() or not (self._was_ready or self._patience.unready_s is not None):
                break
            self._ended(self.code)
            wait_s = self._patience.wait_s(wait_s, loop.time() - began, ready=ready)
            fields = {"child": self._name, "code": self.code, "restart_in_s": wait_s}
            log.warning("child died", extra={"fields": fields})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
        self._known.set()

    async def _run_once(self) -> tuple[int, bool]:
        """Its exit code, and whether it was ready."""
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=pipe,
                stdout=pipe,
                pass_fds=self._fds,
                env=self._environment,
                limit=LONGEST_LINE_BYTES,
            )
        except OSError as error:  # no memory or no process left: worth another try
            log.warning("child did not start", extra={"fields": {"child": self._name, "says": str(error.strerror)}})
            return 1, False
        self._process = process
        if self._stopping.is_set():  # stopped while it was being made, so that it has heard of nothing
            self._send(signal.SIGTERM)
        if process.stdout is not None:
            while line := await _next_line(process.stdout):
                if line == _READY:
                    self._ready()
                self._heard(line)
        was_ready, self._is_ready = self._is_ready, False
        return await process.wait(), was_ready

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


async def _next_line(stream: asyncio.StreamReader) -> bytes:
    """The next line, empty at the end. One that does not fit the buffer becomes an empty line."""
    try:
        return await stream.readline()
    except ValueError:
        return b"\n"
