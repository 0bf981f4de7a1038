"""Artifacts that were fetched once, kept under their digest, so that a version can be started with the registry away.

Invariant: bytes are checked against their digest when they are taken and each time they are given; damaged ones are
removed and never given; the folder stays below a bound in bytes, and what nobody asked for in a long time goes with
the next one that comes. Blocking. It does not know which version an artifact belongs to. Called by the cache.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from uuid import uuid4

from registry_client.confined_files import ASIDE, copy_checked, opened
from registry_client.errors import DigestMismatch, InvalidDocument, NotFound, Unreachable
from registry_client.kept_answers import shrink

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class KeptArtifacts:
    """Files by their content. `age_s`: how long one is kept that nobody asks for, in seconds."""

    def __init__(self, folder: Path, *, limit_bytes: int, age_s: float) -> None:
        self._folder = folder.resolve()
        self._limit_bytes = limit_bytes
        self._age_s = age_s

    def take(self, source: Path, digest: str | None) -> str:
        """Keep a copy of a file and return its digest; DigestMismatch where it is not the one that is given.

        InvalidDocument where it is larger than all that may be kept, Unreachable where the disk refuses.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with source.open("rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
                if size_bytes > self._limit_bytes:
                    raise InvalidDocument(
                        f"{source} has {size_bytes} bytes, and no more than {self._limit_bytes} bytes are kept"
                    )
                # Its name is known only when it was read, and it is read but once.
                aside = self._folder / f"{ASIDE}{uuid4().hex}"
                found = copy_checked(file, aside, expected=digest, subject=str(source))
            target = self._path(found)
            aside.replace(target)
        except OSError as error:
            raise Unreachable(f"{source} cannot be kept in {self._folder}: {error.strerror}") from error
        shrink(self._folder, target, limit_bytes=self._limit_bytes, age_s=self._age_s)
        return found

    def give(self, digest: str, target: Path) -> bool:
        """Copy a kept artifact to `target`; False where there is none. DigestMismatch where it was damaged."""
        path = self._path(digest)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened(self._folder, path) as file:
                copy_checked(file, target, expected=digest, subject=f"the kept artifact {path}")
            os.utime(path)
        except NotFound:
            return False
        except DigestMismatch:
            path.unlink(missing_ok=True)
            raise
        except OSError as error:
            raise Unreachable(f"{path} cannot be copied to {target}: {error.strerror}") from error
        return True

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise InvalidDocument(f"{digest[:80]!r} is no digest")
        return self._folder / digest.removeprefix("sha256:")
