"""Space on the state folder's disk that is kept for a rollback, and given back to it when the disk is full.

Keeps: the file is really allocated, a few MiB, and named for what it is; what was given back is taken again as soon as
there is room, in part where not for all. While it is spent, whoever else writes to the folder should wait (`spent`).
Does not: help on a disk that takes nothing at all, or keep other programs from taking what it gave back.
Called by: `controller` around a rollback, the rounds to take it up again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path

log = logging.getLogger("sidecar.control.reserve")

FILE_NAME = "reserve"
# A transition is some 20 pages in the write-ahead log, its head, and a routing table: 200 KB, also after a checkpoint.
SIZE_BYTES = 4 << 20
_LEAST_BYTES = 64 << 10


class Reserve:
    """The file. `held_bytes` is what it would give back now."""

    def __init__(self, folder: Path, size_bytes: int = SIZE_BYTES) -> None:
        self._path = folder / FILE_NAME
        self._size_bytes = size_bytes
        self._told = False
        self.held_bytes = 0
        self.spent = False

    @property
    def whole(self) -> bool:
        """Nothing is missing."""
        return self.held_bytes >= self._size_bytes

    def give_back(self) -> bool:
        """Frees the space; false where there was none. On disk when it returns: some file systems free late."""
        if self.held_bytes == 0:
            return False
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.ftruncate(descriptor, 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("the reserve cannot be given back", extra={"fields": {"says": error.strerror}})
            return False
        self.held_bytes, self.spent = 0, True
        return True

    def refill(self) -> None:
        """Takes as much of it as there is room for. Never raises."""
        self.spent = False
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._tell(error)
            return
        try:
            self._allocate(descriptor)
        finally:
            os.close(descriptor)

    def _allocate(self, descriptor: int) -> None:
        wanted = self._size_bytes
        while wanted >= _LEAST_BYTES and wanted > self.held_bytes:
            try:
                os.posix_fallocate(descriptor, 0, wanted)
            except OSError as error:
                # What was allocated before it failed.
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, self.held_bytes)
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    self._tell(error)
                    return
                wanted //= 2
            else:
                self.held_bytes, self._told = wanted, False
                return
        if self.held_bytes == 0:
            self._tell(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _tell(self, error: OSError) -> None:
        """Once, until it is there again."""
        if not self._told:
            self._told = True
            fields = {"file": str(self._path), "says": error.strerror}
            log.warning("no space is kept for a rollback on a full disk", extra={"fields": fields})
