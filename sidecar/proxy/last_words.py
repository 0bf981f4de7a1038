"""What a server said before it reset the connection: still in the kernel, when the event loop has let go of it.

A second descriptor of the same socket keeps it readable. Only for requests that are sent piece by piece: the others
are whole before anything can be answered. Not for TLS, where the bytes mean nothing without their session.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

READ_BYTES = 65_536
MOST_BYTES = 1_048_576


def spare_of(transport: asyncio.Transport) -> int:
    """Another descriptor of a connection, to be closed by who asks; -1 where there is none to be had."""
    connection = transport.get_extra_info("socket")
    if connection is None or transport.get_extra_info("ssl_object") is not None:
        return -1
    try:
        return os.dup(connection.fileno())
    except OSError:  # no descriptor left: then an early answer may be lost
        return -1


def left_in(descriptor: int) -> bytes:
    """What lies there unread, without waiting; then the descriptor is closed."""
    parts: list[bytes] = []
    size = 0
    with socket.socket(fileno=descriptor) as connection, contextlib.suppress(OSError):  # no more, or the reset itself
        while size < MOST_BYTES and (part := connection.recv(READ_BYTES, socket.MSG_DONTWAIT)):
            parts.append(part)
            size += len(part)
    return b"".join(parts)
