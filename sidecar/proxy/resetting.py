"""Ends a caller's connection so that it cannot look like the end of an answer: by a reset, not an orderly close.

Without it an answer that only its connection's end delimits would look whole when it was cut. Used by `listener`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

_NOW = struct.pack("ii", 1, 0)  # linger, for no time (socket(7))


def reset(transport: asyncio.Transport) -> None:
    """Gives up what was written and not sent; the other side sees a reset."""
    with contextlib.suppress(OSError, ValueError):  # one that is gone already
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
    transport.abort()
