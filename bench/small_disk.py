"""A small file system in memory that can be filled to the last byte, which takes root."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SIZE = "256m"  # what a row writes itself has to fit in while it is not filled


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[str]:
    """At `folder`, while the context lasts; gives the reason if there can be none, else nothing."""
    if os.geteuid() != 0:
        yield "only root may mount a small disk to fill"
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"a small disk to fill cannot be mounted here: {done.stderr.strip()}"
        return
    try:
        yield ""
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte is left, while the context lasts."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (65_536, 1):
                _fill(file.fileno(), b"\0" * size)
        yield
    finally:
        filler.unlink(missing_ok=True)


def _fill(descriptor: int, block: bytes) -> None:
    try:
        while True:
            os.write(descriptor, block)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
