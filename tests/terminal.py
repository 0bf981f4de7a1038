"""A terminal with a program in it: what it shows, what is typed into it, how it ends."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

PATIENCE_S = 90.0
# The child makes the terminal its own, so that Ctrl-C reaches it, and becomes the program.
_BECOME = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")


class Terminal:
    """Starts a program in a terminal of its own; everything that it writes is kept in `written`."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, *, columns: int = 160
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BECOME, *command],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**kept, "TERM": "xterm-256color", **(environment or {})},
        )  # fmt: skip
        os.close(theirs)
        self.written = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._ours)

    @property
    def text(self) -> str:
        """Everything written, without colours and movements."""
        return _ESCAPES.sub("", self.written)

    def until(self, *wanted: str) -> str:
        """Waits until all of these were written since the last call of this; gives what was."""
        begun, deadline = len(self.written), time.monotonic() + PATIENCE_S
        while True:
            fresh = _ESCAPES.sub("", self.written[begun:])
            if all(each in fresh for each in wanted):
                return fresh
            assert time.monotonic() < deadline, (wanted, fresh[-2_000:])
            assert self._read(), (wanted, fresh[-2_000:])

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Reads to the end; the exit code."""
        while self._read():
            pass
        return self._process.wait(PATIENCE_S)

    def _read(self) -> bool:
        """Some more of what it writes; False once nothing more comes."""
        ready, _, _ = select.select([self._ours], [], [], PATIENCE_S)
        assert ready, "the program has hung"
        try:
            more = os.read(self._ours, 65_536)
        except OSError:  # Linux says so when the other end is closed
            return False
        self.written += more.decode(errors="replace")
        return bool(more)
