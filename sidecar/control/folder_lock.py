"""One sidecar per state folder: an exclusive lock on `<state_dir>/lock` for as long as the process lives.

Keeps: the kernel gives the lock back when its holder ends, however it ends, so a stale file never blocks a start.
Does not: guard against programs that do not ask, or work between machines on a shared folder.
Called by: `store` before it opens anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from sidecar.control.database import StoreError


class FolderLock:
    """A held lock. Made by `take`, given back by `release`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, state_dir: Path, holder_pid: int | None = None) -> Self:
        """Makes the folder where needed and locks it; StoreError names the process that holds it already.

        `holder_pid` is the process to stop for the folder to be free, where that is not this one.
        """
        path = state_dir / "lock"
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"the state folder {state_dir} cannot be used ({error.strerror}): name another under state_dir,"
                " or make this one writable"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreError(
                f"the state folder {state_dir} is in use by the sidecar with process id {holder}: stop that one first,"
                " or give this one another state_dir"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"{path} cannot be locked ({error.strerror}): use a folder on a local disk") from error
        # Over what is there, so that a full disk has the room; without it the lock still holds.
        with contextlib.suppress(OSError):
            os.pwrite(descriptor, f"{holder_pid or os.getpid():<31}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Gives the folder back. The file stays: removing it would let two processes lock two files."""
        os.close(self._descriptor)
