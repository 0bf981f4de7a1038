"""What a server said before it reset the connection: still in the kernel, when the event loop has let go of it.

A second descriptor of the same socket keeps it readable. Only for requests that are sent piece by piece: the others
are whole before anything can be answered. Not for TLS, where the bytes mean nothing without their session.
"""

from __future__ import annotations

import asyncio
import os

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
    """What lies there unread, without waiting."""
    parts: list[bytes] = []
    size = 0
    while size < MOST_BYTES:
        try:
            part = os.read(descriptor, READ_BYTES)
        except OSError:  # nothing more, or the reset itself
            break
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)
