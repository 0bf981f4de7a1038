"""Listening sockets, bound once by the supervisor and handed to its children.

Keeps: a refusal is one sentence that names the key and what to do; a Unix socket's file that nobody answers on is
taken over, a live one never is. Does not accept anything. Called by `supervisor`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

from sidecar.address import Address

BACKLOG = 2048
_HINTS = {
    errno.EADDRINUSE: "another process listens there: stop it, or choose another address",
    errno.EADDRNOTAVAIL: "this machine does not have that address: choose one that it has, such as 127.0.0.1",
    errno.EACCES: "this user may not listen there: choose a port above 1023, or a folder that it may write to",
    errno.EEXIST: "a file that is no socket stands there: remove it, or choose another path",
    errno.ENOENT: "the folder does not exist: create it",
    socket.EAI_NONAME: "there is no such host: write an address of this machine, such as 127.0.0.1",
}


class CannotBind(Exception):
    """An address is taken or not ours. The message is for people."""


def bind(address: Address, key: str) -> socket.socket:
    """A listening socket for the setting `key`; raises CannotBind."""
    family = socket.AF_UNIX if address.unix else socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if address.unix:
            _remove_stale(Path(address.unix))
            listener.bind(address.unix)
        else:
            # So that connections of an earlier run that still linger do not stand in the way; a live listener does.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        says = _HINTS.get(error.errno or 0, (error.strerror or str(error)).lower())
        raise CannotBind(f"{key} {address}: {says}") from error
    return listener


def let_go(listener: socket.socket) -> None:
    """Closes a listener and removes its file, where it has one. A second time does nothing."""
    if listener.fileno() < 0:
        return
    name = listener.getsockname()
    listener.close()
    if isinstance(name, str) and name:
        with contextlib.suppress(OSError):
            Path(name).unlink()


def where(listener: socket.socket, *, tls: bool) -> str:
    """Where it listens, as a URL or unix:/path; the real port where 0 was asked for."""
    name = listener.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"{'https' if tls else 'http'}://{Address(name[0], name[1])}"


def _remove_stale(path: Path) -> None:
    """A socket's file outlives its process. Refused means that nobody listens; anything else means leave it."""
    if not path.exists():
        return
    if not path.is_socket():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)  # a full backlog must not hold us up
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except BlockingIOError:
            return
