"""A file that is replaced in one piece, on disk when the call returns. Only its owner may read it."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file as a whole: a reader sees the old one or the new one, also after a crash. Raises OSError."""
    beside = path.with_name(f".{path.name}.new")
    # A challenger's own headers stand in the routing table, and may be secrets.
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
