"""A process as the kernel sees it: CPU time, resident memory, open files, children, and the core it runs on.

Read from /proc (see proc(5)), so Linux only. A process that ended meanwhile raises Gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
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


def mapped_files(pid: int) -> set[str]:
    """The files that a process has mapped, loaded libraries among them."""
    return {line.split(maxsplit=5)[5] for line in _read(pid, "maps").splitlines() if len(line.split(maxsplit=5)) == 6}


def pin(pid: int, core: int) -> None:
    """Binds every thread of a process to one core; threads and children that it makes later inherit that."""
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
    except OSError as error:
        raise Gone(f"process {pid} ended") from error


def put_behind(pid: int) -> None:
    """Lets every thread of a process run only when its core has nothing else to do: sched(7), SCHED_IDLE.

    Threads and children that it makes later inherit that.
    """
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
    except OSError as error:
        raise Gone(f"process {pid} ended") from error


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Children that are started within the context are born on that core, with all their threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def stop(process: subprocess.Popen[bytes], patience_s: float = STOP_S) -> None:
    """SIGTERM, then SIGKILL for its whole group. For processes that were started with a session of their own.

    Without patience it is SIGKILL at once: for who has nothing to save and might drain for long.
    """
    if process.poll() is None:
        if patience_s > 0:
            process.terminate()
        try:
            process.wait(patience_s)
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
