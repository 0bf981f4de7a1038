"""A process as the kernel sees it: CPU time, resident memory, open files, children, and the core it runs on.

Read from /proc (see proc(5)), so Linux only. A process that ended meanwhile raises Gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STOP_S = 30.0


class Gone(Exception):
    """The process ended while it was being looked at."""


def cpu_s(pid: int) -> float:
    """Seconds of CPU, user and system, that all threads of a process have used."""
    # The name, in brackets, may contain blanks: fields are counted from behind it, utime is the 14th of all.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    for line in _read(pid, "status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Gone(f"process {pid} ended")


def open_files(pid: int) -> int:
    """How many descriptors a process has open."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError as error:
        raise Gone(f"process {pid} ended") from error


def children(pid: int) -> dict[int, str]:
    """A process's children and their command lines."""
    pids = [int(child) for child in _read(pid, f"task/{pid}/children").split()]
    return {child: _read(child, "cmdline").replace("\0", " ") for child in pids}


def pin(pid: int, core: int) -> None:
    """Binds every thread of a process to one core; threads and children that it makes later inherit that."""
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
    except OSError as error:
        raise Gone(f"process {pid} ended") from error


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL for its whole group. For processes that were started with a session of their own."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError as error:
        raise Gone(f"process {pid} ended") from error
