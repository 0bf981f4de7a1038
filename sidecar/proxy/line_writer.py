"""Writes lines to a file or to standard output, and never makes the one who has a line wait.

A thread of its own writes, since a full disk, a slow one and a pipe that nobody reads all block. What waits is bounded
in bytes; what does not fit, or cannot be written, is dropped and counted. Lines of several processes on one file or
pipe never mix: a file is appended to with one write for many whole lines, a pipe gets no more than PIPE_BUF at once,
which POSIX keeps together. Standard output is shared with others, so its flags are never touched.
Does not know what a line says. Used by `access_log`; the event loop is the only one who calls its methods.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import stat
import threading
from collections import deque

from sidecar.records import ACCESS_LOG_DROP_REASONS

log = logging.getLogger("sidecar.worker.access_log")

BUFFER_BYTES = 1_048_576
# A line waits so long for others to be written with it.
BATCH_S = 0.02
FILE_BATCH_BYTES = 262_144
# The longest that a line may be: what a pipe takes in one piece.
LINE_BYTES = select.PIPE_BUF
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
_MODE = 0o640
_NOTHING = -1


class LineWriter:
    """A bounded buffer and the thread that empties it.

    Each number below is changed by one thread only, so no lock is ever waited for.

    Attributes:
        dropped: reason of records.ACCESS_LOG_DROP_REASONS -> lines that were never written, whole.
    """

    def __init__(self, stdout_fd: int) -> None:
        self._stdout_fd = stdout_fd
        self._lines: deque[bytes] = deque()
        self._put_bytes = 0
        self._done_bytes = 0
        self._room = BUFFER_BYTES
        self._in_hand = 0  # lines that the thread has taken and not yet dealt with
        self._path = ""
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._runner: threading.Thread | None = None  # `_thread` would be a word of C, which this becomes
        self._stale = True  # the path is another one now, or the file under it
        # The thread's own:
        self._fd = _NOTHING
        self._batch_bytes = LINE_BYTES
        self._torn = False
        self._failing = False
        self.dropped = dict.fromkeys(ACCESS_LOG_DROP_REASONS, 0)

    # --- called by the event loop ----------------------------------------------------------------------------

    def to(self, path: str) -> None:
        """Writes to this file from now on, which is opened anew; an empty path is standard output."""
        self._path = path
        if self._runner is None:
            self._runner = threading.Thread(target=self._run, name="access log", daemon=True)
            self._runner.start()
        self.reopen()

    def reopen(self) -> None:
        """The file was moved away: lets go of it soon, lines or not, and opens it anew for the next line."""
        self._stale = True
        self._wake.set()

    def put(self, line: bytes) -> None:
        """One whole line with its end, or several; at most LINE_BYTES."""
        size = len(line)
        if self._put_bytes - self._done_bytes + size > self._room:
            self.dropped["buffer_full" if self._room else "shutting_down"] += 1
            return
        self._put_bytes += size
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    async def close(self, within_s: float) -> None:
        """Lets what waits be written, at most `within_s`; the rest is dropped and counted."""
        thread = self._runner
        if thread is None:
            return
        self._closing.set()
        self._wake.set()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while thread.is_alive() and loop.time() < deadline:
            await asyncio.sleep(0.01)
        self._room = 0
        self.dropped["shutting_down"] += len(self._lines) + self._in_hand

    # --- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._lines or not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(BATCH_S)
            self._wake.clear()  # before the lines are taken: one that comes meanwhile sets it again
            if self._stale:
                self._stale = self._torn = False
                self._let_go()
            if self._lines:
                self._write_all()
            if self._closing.is_set():
                self._wake.set()
        self._let_go()

    def _write_all(self) -> None:
        if self._fd == _NOTHING:
            try:
                self._open()
            except OSError as error:
                self._complain(error)
        while self._lines and not self._stale:
            batch = self._take()
            self._in_hand = len(batch)
            self._write(batch)
            self._in_hand = 0
            self._done_bytes += sum(map(len, batch))

    def _take(self) -> list[bytes]:
        batch = [self._lines.popleft()]
        size = len(batch[0])
        while self._lines and size + len(self._lines[0]) <= self._batch_bytes:
            batch.append(self._lines.popleft())
            size += len(batch[-1])
        return batch

    def _open(self) -> None:
        if self._path:
            # Not blocking: a named pipe without a reader refuses instead of holding this thread for good.
            self._fd = os.open(self._path, _FLAGS | os.O_NONBLOCK, _MODE)
        else:
            self._fd = self._stdout_fd
        regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._batch_bytes = FILE_BATCH_BYTES if regular else LINE_BYTES

    def _let_go(self) -> None:
        if self._fd not in (_NOTHING, self._stdout_fd):
            os.close(self._fd)
        self._fd = _NOTHING

    def _write(self, batch: list[bytes]) -> None:
        if self._fd == _NOTHING:
            self.dropped["write_failed"] += len(batch)
            return
        # A line that a full disk cut short ends before the next begins.
        rest = memoryview(b"".join((b"\n", *batch) if self._torn else batch))
        try:
            while rest:
                written = self._some(rest)
                self._torn = rest[written - 1] != 0x0A
                rest = rest[written:]
            self._failing = False
        except OSError as error:
            self.dropped["write_failed"] += min(len(batch), bytes(rest).count(b"\n"))
            self._complain(error)
            self._let_go()

    def _some(self, data: memoryview) -> int:
        """Writes some of it; waits for a pipe that is full, unless it is wanted no more. Raises OSError."""
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:
                if self._stale or not self._room:
                    raise
                ready = select.poll()
                ready.register(self._fd, select.POLLOUT)
                ready.poll(1000.0)

    def _complain(self, error: OSError) -> None:
        """Once, until it works again."""
        if not self._failing:
            fields = {"path": self._path or "standard output", "says": error.strerror or str(error)}
            log.warning("the access log cannot be written", extra={"fields": fields})
        self._failing = True
