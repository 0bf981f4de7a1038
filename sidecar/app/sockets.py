"""Where the sockets of managed models are: one folder for one state folder, the same at every start.

Keeps: a version that runs here has the same address after a restart, so a restart is no change of address, and ends
no evidence. The folder is this user's alone, or it is not used; whoever made it removes it again, and whoever found it
there leaves it, since another sidecar may be about to use it. Not below `state_dir` itself: a Unix socket's path may
have 107 bytes only. Called by the supervisor, which tells control.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger("sidecar.supervisor")


class SocketFolder(NamedTuple):
    """`made`: it was not there before, so that nobody else has anything in it yet."""

    path: Path
    made: bool


def socket_folder(state_dir: Path, otherwise: Path) -> SocketFolder:
    """The folder, made where needed; `otherwise` where it cannot be used, which is then said in the log."""
    digest = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"sidecar-{os.getuid()}-{digest}"
    made = False
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            made = True
        found = folder.lstat()
    except OSError as error:
        says = f"it cannot be made: {error.strerror}"
    else:
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return SocketFolder(folder, made)
        says = "it belongs to somebody else, or others may write there"
    log.warning("models change their address", extra={"fields": {"folder": str(folder), "says": says}})
    return SocketFolder(otherwise, made=False)
