"""What this process holds of the system's memory and file descriptors, for the worker's pressure. Keeps nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """The resident set of this process, 0 where the system does not tell (proc_pid_statm(5), second field)."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as statm:  # noqa: PTH123  a path object a second for nothing
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def give_back() -> None:
    """Lets the system have the memory that was freed and is kept for later, as far as the C library can (glibc).

    Without it a worker that held much once would look as if it held it still, and go on refusing for that.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library: it has its own ways
        return
    trim(0)


def descriptors_used() -> float:
    """The share of this process's file descriptors that are in use, 0.0 to 1.0, nearly: the lowest free one tells."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        lowest_free = os.dup(0)
    except OSError:
        return 1.0
    os.close(lowest_free)
    return lowest_free / limit if limit > 0 else 0.0


def allow_descriptors() -> int:
    """Takes as many file descriptors as this process may have; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # as many as there were will do
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
