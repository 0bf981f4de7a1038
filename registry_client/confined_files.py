"""Reading and writing files below one root folder, so that neither a crash nor a hostile name does harm.

Invariant: every path is resolved and must lie below the root; a file is either the old or the new one, never half of
it (written aside, synced, renamed, folder synced); reads are bounded. It knows nothing of models or JSON. Blocking;
the folder registry calls it in threads. A file left aside by a crash starts with a dot and is never read.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from registry_client.errors import DigestMismatch, InvalidDocument, InvalidName, NotFound, Unreachable

ASIDE = ".aside-"
_CHUNK_BYTES = 1024 * 1024
_LOCK_POLL_S = 0.01


def confined(root: Path, path: Path) -> Path:
    """The path with its links resolved; InvalidName where it leaves the root (which must be resolved already)."""
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise InvalidName(f"{path} cannot be resolved: {error}") from error
    if not resolved.is_relative_to(root):
        raise InvalidName(f"{path} leads out of the registry's folder {root}")
    return resolved


@contextlib.contextmanager
def opened(root: Path, path: Path) -> Iterator[BinaryIO]:
    """A regular file below the root, for reading; NotFound, InvalidName or Unreachable otherwise."""
    path = confined(root, path)
    try:
        # Not blocking, so that a pipe put in the file's place cannot stop the thread for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no {path}") from error
    except OSError as error:
        raise Unreachable(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidDocument(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise Unreachable(f"{path} cannot be read: {error.strerror}") from error


def read_bounded(root: Path, path: Path, limit_bytes: int) -> bytes:
    """The whole file; InvalidDocument where it is larger than the limit."""
    with opened(root, path) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise InvalidDocument(f"{path} is larger than {limit_bytes} bytes")
    return data


def write_atomic(path: Path, data: bytes) -> None:
    """Replace or create a file in one step that survives a crash; Unreachable where the folder refuses."""
    aside = path.with_name(f"{ASIDE}{uuid4().hex}")
    try:
        try:
            with aside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise Unreachable(f"{path} cannot be written: {error.strerror}") from error


def copy_checked(source: BinaryIO, target: Path, *, expected: str | None, subject: str) -> str:
    """Copy to `target` in one step, hashing on the way; returns `sha256:<hex>`.

    DigestMismatch, and no target, where `expected` is given and differs: bytes of a wrong digest never get the name.
    """
    aside = target.with_name(f"{ASIDE}{uuid4().hex}")
    hashed = sha256()
    try:
        try:
            with aside.open("xb") as file:
                while chunk := source.read(_CHUNK_BYTES):
                    hashed.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            found = f"sha256:{hashed.hexdigest()}"
            if expected is not None and found != expected:
                raise DigestMismatch(subject, expected=expected, found=found)
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(target.parent)
    except OSError as error:
        raise Unreachable(f"{subject} cannot be copied to {target}: {error.strerror}") from error
    return found


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename is only on disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, wait_s: float) -> Iterator[None]:
    """Hold a lock file against other threads and processes; Unreachable where it stays taken for `wait_s`.

    The kernel frees it when its holder dies. It is polled, because a blocked thread could not be given up.
    """
    deadline_s = time.monotonic() + wait_s
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unreachable(f"{path} cannot be locked: {error.strerror}") from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline_s:
                    raise Unreachable(f"another process has held {path} for {wait_s:g} seconds") from error
                time.sleep(_LOCK_POLL_S)
            except OSError as error:
                raise Unreachable(f"{path} cannot be locked: {error.strerror}") from error
        yield
    finally:
        os.close(descriptor)
